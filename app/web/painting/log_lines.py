"""A line of a log, wherever it is shown, and lines gathered into chunks and groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from app.queue.models import Level
from app.queue.records import LogLine
from app.web import dom
from app.web.painting.log_groups import Group, ends_group, group_name, grouped
from app.web.painting.terminal_text import Span, plain, spans
from app.web.pieces import Painter, Piece

WHOLE = 70_000
"""Characters of a message that was asked for by its line: all that is stored of it, with the note that it was cut."""
LONG = 4_000
"""Characters of a message among others: hundreds of them may be on one page."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the lines of one log look. `path`: the page on which each of them has a place.

    `linked`: this is that page, so that lines have their short ids and lead to themselves. `has_steps`: lines of
    several steps stand there. `says_who`: they tell which work item said them. `debugs`: lines of debugging are shown.
    `chosen`: the line asked for."""

    path: str
    characters: int = LONG
    linked: bool = False
    has_steps: bool = False
    says_who: bool = True
    debugs: bool = False
    text: str | None = None
    wrap: bool = True
    chosen: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line as one log shows it."""

    line: LogLine
    look: Look

    @property
    def id(self) -> str:
        return self.anchor if self.look.linked else dom.line(self.line.step_id, self.line.line)

    @property
    def anchor(self) -> str:
        return dom.anchor(self.line.line, self.line.step_id if self.look.has_steps else None)

    @property
    def url(self) -> str:
        """The page of the log, opened where the line stands."""
        place = f"{self.line.step_id}.{self.line.line}" if self.look.has_steps else self.line.line
        return f"{_before_place(self.look)}line={place}#{self.anchor}"

    @property
    def is_chosen(self) -> bool:
        return self.look.chosen == (self.line.step_id, self.line.line)

    @property
    def who(self) -> str | None:
        if self.line.worker_id is None or not self.look.says_who:
            return None
        return self.line.worker_name or str(self.line.worker_id)

    @property
    def mark(self) -> str:
        """What the line is, besides a line: the beginning or the end of a group."""
        if group_name(self.line) is not None:
            return "group-name"
        return "group-end" if ends_group(self.line) else ""

    @property
    def spans(self) -> tuple[Span, ...]:
        name = group_name(self.line)
        return spans(self.line.message if name is None else name, self._most, self.look.text)

    @property
    def characters_left(self) -> int:
        is_long = len(self.line.message) > self._most
        return max(len(plain(self.line.message)) - self._most, 0) if is_long else 0

    @property
    def _most(self) -> int:
        return WHOLE if self.is_chosen else self.look.characters


@lru_cache(maxsize=256)
def _before_place(look: Look) -> str:
    """The address of every line of the log, up to its place."""
    level = Level.DEBUG if look.debugs else None
    url = dom.with_query(look.path, {"level": level, "q": look.text, "wrap": None if look.wrap else "off"})
    return f"{url}{'&' if '?' in url else '?'}"


def paint_line(painter: Painter, shown: ShownLine) -> Piece:
    return painter.piece("log_line.html", shown.id, shown=shown, line=shown.line)


def paint_lines(painter: Painter, lines: Iterable[LogLine], look: Look) -> tuple[Piece, ...]:
    """Each line by itself."""
    return tuple(painter.once(paint_line, ShownLine(line, look)) for line in lines)


def paint_grouped(painter: Painter, lines: Iterable[LogLine], look: Look) -> tuple[Piece, ...]:
    """The lines, those of groups folded."""
    return tuple(_paint_entry(painter, each, look) for each in grouped(lines))


def _paint_entry(painter: Painter, entry: LogLine | Group, look: Look) -> Piece:
    if isinstance(entry, Group):
        return _paint_group(painter, entry, look)
    return painter.once(paint_line, ShownLine(entry, look))


def _paint_group(painter: Painter, group: Group, look: Look) -> Piece:
    name = f"{ShownLine(group.first, look).id}-group"
    lines = painter.list("log_chunk.html", f"{name}-lines", paint_lines(painter, group.lines, look), label=None)
    fold = painter.piece(
        "log_group.html",
        f"{name}-fold",
        {"lines": lines},
        group=group,
        shown=group.opening and ShownLine(group.opening, look),
        is_open=group.is_open or look.chosen is not None,
    )
    return painter.piece("log_group_entry.html", name, {"fold": fold})
