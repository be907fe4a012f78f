"""Messages as they were meant for a terminal: its colours become classes, its groups folds, and all else is text.

Only colours and faces are obeyed (SGR, the escape sequences that end in m). Every other escape sequence stays in the
text, where it is shown as the symbol of its control character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

ESCAPE = "\x1b"
GROUP = "::group::"
END_OF_GROUP = "::endgroup::"

CHANGES = 500
"""Changes of colour or face that are obeyed in one message. With more, the page would be mostly markup."""

_SGR = re.compile("\x1b\\[([0-9;:]*)m")
_BASIC = {*range(30, 38), *range(40, 48)}  # 60 more: the bright ones
_FACES = {1: "bold", 2: "faint", 3: "italic", 4: "underlined", 7: "inverse", 9: "struck"}
_FACE_ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("underlined",), 27: ("inverse",), 29: ("struck",)}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a message that looks the same throughout. `found`: it is what the reader searched for."""

    text: str
    classes: str = ""
    found: bool = False


def plain(message: str) -> str:
    """The message without its colours."""
    return _SGR.sub("", message) if ESCAPE in message else message


def spans(message: str, most: int, wanted: str | None = None) -> tuple[Span, ...]:
    """The first `most` characters of the message, cut where its look changes."""
    coloured = list(_coloured(message, most)) if ESCAPE in message else [Span(message[:most])]
    return tuple(_marked(coloured, wanted) if wanted else coloured)


def _coloured(message: str, most: int) -> Iterator[Span]:
    look = _Look()
    pieces = _SGR.split(message, CHANGES)  # text, parameters, text, parameters, ..., and the rest
    for place, piece in enumerate(pieces):
        if place % 2:
            look.obey(piece)
        elif most > 0 and (text := plain(piece)):
            yield Span(text[:most], look.classes)
            most -= len(text)


@dataclass(slots=True)
class _Look:
    """The colours and faces in force."""

    ink: int | None = None
    paper: int | None = None
    faces: set[str] = field(default_factory=set)

    @property
    def classes(self) -> str:
        ink = [] if self.ink is None else ["ink", f"ink-{self.ink}"]
        paper = [] if self.paper is None else ["paper", f"paper-{self.paper}"]
        return " ".join([*ink, *paper, *sorted(self.faces)])

    def obey(self, parameters: str) -> None:
        codes = iter([int(code[:9] or 0) for code in re.split("[;:]", parameters)])
        for code in codes:
            if code == 0:
                self.ink, self.paper = None, None
                self.faces.clear()
            elif code in _FACES:
                self.faces.add(_FACES[code])
            elif code in _FACE_ENDS:
                self.faces.difference_update(_FACE_ENDS[code])
            elif code in (38, 48):
                self._paint(code == 38, _extended(codes))
            elif code in (39, 49):
                self._paint(code == 39, None)
            elif code % 60 in _BASIC and code < 108:
                self._paint(code % 60 < 40, code % 10 + (8 if code >= 90 else 0))

    def _paint(self, is_ink: bool, colour: int | None) -> None:
        if is_ink:
            self.ink = colour
        else:
            self.paper = colour


def _extended(codes: Iterator[int]) -> int | None:
    """A colour of 256 (5;n), or of all there are (2;red;green;blue), as the nearest of the 256."""
    kind = next(codes, 0)
    if kind == 5:
        return min(next(codes, 0), 255)
    if kind == 2:
        red, green, blue = (min(next(codes, 0), 255) * 5 // 255 for _ in range(3))
        return 16 + 36 * red + 6 * green + blue
    return None


def _marked(coloured: list[Span], wanted: str) -> Iterator[Span]:
    """Cuts the spans at the places where the wanted text was found, across colours too."""
    text = "".join(span.text for span in coloured)
    inside = [match.span() for match in re.finditer(re.escape(wanted), text, re.IGNORECASE)]
    edges = sorted({edge for match in inside for edge in match})
    begin = 0
    for span in coloured:
        end = begin + len(span.text)
        cuts = [begin, *(edge for edge in edges if begin < edge < end), end]
        for first, last in pairwise(cuts):
            found = any(start <= first < stop for start, stop in inside)
            yield Span(text[first:last], span.classes, found)
        begin = end
