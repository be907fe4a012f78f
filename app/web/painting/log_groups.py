"""Groups of lines: what stands between ``::group::name`` and ``::endgroup::`` of one work item is folded.

Lines keep their order. Where another work item's lines come between, the fold ends, and another takes up the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.queue.records import LogLine
from app.web.painting.terminal_text import END_OF_GROUP, GROUP, plain


@dataclass(slots=True)
class Group:
    """Consecutive lines of one group. `opening`: the line that names it; None for the rest of an interrupted one."""

    name: str
    first: LogLine
    opening: LogLine | None
    lines: list[LogLine] = field(default_factory=list)
    is_open: bool = True
    """Whether its end has not been written yet."""


def grouped(lines: Iterable[LogLine]) -> Iterator[LogLine | Group]:
    """The lines with those of groups gathered."""
    names: dict[int | None, str] = {}
    current: Group | None = None
    for line in lines:
        if current and current.first.worker_id != line.worker_id:
            yield current
            current = None
        name = group_name(line)
        if name is not None:
            if current:
                yield current
            names[line.worker_id] = name
            current = Group(name, line, line)
        elif line.worker_id in names:
            current = current or Group(names[line.worker_id], line, None)
            current.lines.append(line)
            if ends_group(line):
                del names[line.worker_id]
                current.is_open = False
                yield current
                current = None
        else:
            yield line
    if current:
        yield current


def group_name(line: LogLine) -> str | None:
    """The name of the group that begins with this line."""
    return plain(line.message)[len(GROUP) :] if line.message.startswith(GROUP) else None


def ends_group(line: LogLine) -> bool:
    return line.message.startswith(END_OF_GROUP)
