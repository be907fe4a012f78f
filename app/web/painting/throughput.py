"""How much was done per minute, as a row of bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.queue.records import MinuteRecord
from app.web.pieces import Painter, Piece

ID = "throughput"
MINUTES = 30
BAR = 6
GAP = 2
HEIGHT = 32


@dataclass(frozen=True, slots=True)
class Throughput:
    """The minutes up to the last one in which a work item ended, so that it stays true when nobody repaints it."""

    minutes: tuple[MinuteRecord, ...]

    @property
    def first_at(self) -> float:
        return self.minutes[0].minute * 60.0

    @property
    def last_at(self) -> float:
        return self.minutes[-1].minute * 60.0

    @property
    def completed(self) -> int:
        return sum(each.completed for each in self.minutes)

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.minutes)

    @property
    def most(self) -> int:
        return max((each.completed + each.failed for each in self.minutes), default=0)

    @property
    def width(self) -> int:
        return len(self.minutes) * (BAR + GAP) - GAP

    @property
    def completed_path(self) -> str:
        return "".join(
            _bar(place, self._height(each.failed), self._height(each.completed)) for place, each in self._places()
        )

    @property
    def failed_path(self) -> str:
        return "".join(_bar(place, 0, self._height(each.failed)) for place, each in self._places())

    def _places(self) -> Iterator[tuple[int, MinuteRecord]]:
        return ((number * (BAR + GAP), each) for number, each in enumerate(self.minutes))

    def _height(self, number: int) -> int:
        """Whatever is more than nothing can be seen."""
        return max(round(HEIGHT * number / self.most), 1) if number else 0


def _bar(x: int, bottom: int, height: int) -> str:
    """A rectangle that stands so high above the ground, as part of an SVG path."""
    return f"M{x} {HEIGHT - bottom}v-{height}h{BAR}v{height}z" if height else ""


def paint_throughput(painter: Painter, minutes: tuple[MinuteRecord, ...]) -> Piece:
    return painter.piece("throughput.html", ID, chart=Throughput(minutes), height=HEIGHT)
