"""Any text in Markdown, so that it is shown as it is."""

from __future__ import annotations

import re

from app.steps.source_tree import printable

_MARKS = re.compile(r"([\\`*_{}\[\]()<>#|!~&:])")
_ESCAPED = re.compile(rf"\\{_MARKS.pattern}")
_LIST = re.compile(r"\A(\d*)([-+=.)])(?=\s|[-=]|\Z)", re.ASCII)


def escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", printable(text))


def sentence(text: str) -> str:
    """A line of prose that somebody else wrote: without what cannot be printed, and no list or heading at its begin."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return _LIST.sub(r"\1\\\2", _MARKS.sub(r"\\\1", line))


def unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def table(head: tuple[str, ...], rows: list[tuple[object, ...]], most: int) -> str:
    """A table with the first rows, and how many more there are."""
    if not rows:
        return "None."
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(escaped(str(cell)) for cell in row)} |" for row in rows[:most]]
    return "\n".join(lines) + (f"\n\nand {len(rows) - most:,} more" if len(rows) > most else "")
