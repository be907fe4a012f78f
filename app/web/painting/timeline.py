"""The timeline of a run: when each of its steps ran.

Everything that has happened is drawn to scale. What is still going on has no end yet, and a page that is not repainted
must not be wrong about it: it reaches into a part at the right that stands for the time since.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.records import RunRecord, StepRecord
from app.web import dom
from app.web.painting.steps import took
from app.web.pieces import Painter, Piece

WIDTH = 1000
"""Units of the whole chart."""
KNOWN_WIDTH = 850
"""Units of what is to scale, while the run is not over."""
THINNEST = 6


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run's time from its start, or that of its first step if it was retried since, to the last thing that is known
    of its steps."""

    run: RunRecord

    @property
    def start(self) -> float:
        began = self.run.created_at if self.run.started_at is None else self.run.started_at
        return min([began, *(step.started_at for step in self.run.steps if step.started_at is not None)])

    @property
    def end(self) -> float:
        ends = [
            self.run.finished_at,
            *(time for step in self.run.steps for time in (step.started_at, step.finished_at)),
        ]
        return max([self.start, *(time for time in ends if time is not None)])

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def is_open(self) -> bool:
        return not self.run.is_final

    @property
    def bars(self) -> list[Bar]:
        return [Bar(self, step) for step in self.run.steps]

    def place(self, time: float) -> int:
        """Units from the left."""
        width = KNOWN_WIDTH if self.is_open else WIDTH
        return round(width * (time - self.start) / self.seconds) if self.seconds > 0 else 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A step in the timeline."""

    timeline: Timeline
    step: StepRecord

    @property
    def url(self) -> str:
        return dom.step_url(self.step.manager_id, self.step.name)

    @property
    def has_run(self) -> bool:
        return self.step.started_at is not None

    @property
    def took(self) -> float | None:
        return took(self.step.started_at, self.step.finished_at)

    @property
    def x(self) -> int:
        start = self.timeline.start if self.step.started_at is None else self.step.started_at
        return min(self.timeline.place(start), WIDTH - THINNEST)

    @property
    def width(self) -> int:
        if self.step.finished_at is None:
            return WIDTH - self.x
        return max(self.timeline.place(self.step.finished_at) - self.x, THINNEST)


def paint_timeline(painter: Painter, run: RunRecord) -> Piece:
    line = Timeline(run)
    return painter.piece("run_timeline.html", dom.job(run.id, "timeline"), timeline=line, run=run, width=WIDTH)
