"""Counts: every number says what it counts, and links to the list of exactly those jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.queue.models import Kind
from app.queue.records import Counts, RunRecord, StepRecord
from app.queue.status import Status
from app.web import dom
from app.web.pieces import Painter, Piece

OF_ITEMS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.RUNNING, Status.PENDING)
"""The statuses of work items, in the order in which a progress bar fills."""

IN_TALLY = (Status.COMPLETED, Status.FAILED, Status.RUNNING, Status.CANCELLED, Status.PENDING)
"""The same, in the order in which they are told."""

BAR = 1000
"""Units of a progress bar's width."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a number counts over: all jobs, those of a run, of a step, or of all runs of a definition."""

    manager_id: int | None = None
    step_id: int | None = None
    step_name: str | None = None
    definition: str | None = None

    @classmethod
    def of_run(cls, run: RunRecord) -> Scope:
        return cls(run.id)

    @classmethod
    def of_step(cls, step: StepRecord) -> Scope:
        return cls(step.manager_id, step.id, step.name)

    def __str__(self) -> str:
        if self.step_id is not None:
            return f"step:{self.step_id}"
        if self.definition is not None:
            return f"definition:{self.definition}"
        return "all" if self.manager_id is None else f"manager:{self.manager_id}"

    @property
    def words(self) -> str:
        if self.step_name is not None:
            return f"of step {self.step_name}"
        return "" if self.manager_id is None else f"of run {self.manager_id}"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of jobs: of that kind and status (None: all), within that scope."""

    scope: Scope
    kind: Kind | None
    status: Status | None
    number: int

    @property
    def id(self) -> str:
        return dom.count(self.scope, self.kind_name, self.status_name)

    @property
    def kind_name(self) -> str:
        return self.kind or "all"

    @property
    def status_name(self) -> str:
        return self.status or "all"

    @property
    def is_zero(self) -> bool:
        return self.number == 0

    @property
    def noun(self) -> str:
        one, many = {
            Kind.MANAGER: ("manager job", "manager jobs"),
            Kind.STEP: ("step", "steps"),
            Kind.WORKER: ("work item", "work items"),
            None: ("job", "jobs"),
        }[self.kind]
        return one if self.number == 1 else many

    @property
    def url(self) -> str:
        """The list behind the number."""
        return dom.jobs_url(
            kind=self.kind,
            status=self.status,
            manager_id=self.scope.manager_id,
            step=self.scope.step_name,
            definition=self.scope.definition,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """The work items of a run or step, by status."""

    scope: Scope
    owner_id: int
    counts: Counts
    brief: bool = False

    @property
    def entries(self) -> Iterator[Count]:
        """The total, unless it goes without saying, and each status that there is."""
        if not self.brief or self.counts.total not in self.counts:
            yield Count(self.scope, Kind.WORKER, None, self.counts.total)
        by_status = self.counts.by_status()
        for status in IN_TALLY:
            if by_status[status]:
                yield Count(self.scope, Kind.WORKER, status, by_status[status])


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a progress bar."""

    status: Status
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress bar: how the work items of a run or step are divided among the statuses."""

    owner_id: int
    counts: Counts

    @property
    def segments(self) -> list[Segment]:
        by_status = self.counts.by_status()
        total = max(self.counts.total, 1)
        edges, passed = [0], 0
        for status in OF_ITEMS:
            passed += by_status[status]
            edges.append(passed * BAR // total)
        spans = zip(OF_ITEMS, edges, edges[1:], strict=False)
        return [Segment(status, start, end - start) for status, start, end in spans if end > start]

    @property
    def words(self) -> str:
        """What the bar says to those who cannot see it."""
        done = self.counts.completed + self.counts.failed + self.counts.cancelled
        return f"{done:,} of {self.counts.total:,} work items done"


@dataclass(frozen=True, slots=True)
class OpenFailures:
    """How many failures within a scope nobody has acknowledged: work items, and steps whose planning failed."""

    scope: Scope
    number: int

    @property
    def words(self) -> str:
        return f"open failures {self.scope.words or 'of all jobs'}"

    @property
    def url(self) -> str:
        """The list behind the number."""
        return dom.jobs_url(manager_id=self.scope.manager_id, step=self.scope.step_name, open="true")


def paint_number(painter: Painter, count: Count) -> Piece:
    """The bare number, for a table whose heads say what it counts."""
    return painter.piece("count_number.html", count.id, count=count)


def paint_chip(painter: Painter, count: Count) -> Piece:
    """The number with its word."""
    return painter.piece("count_chip.html", count.id, count=count)


def paint_tally(painter: Painter, tally: Tally) -> Piece:
    tally_id = dom.job(tally.owner_id, "tally")
    if tally.brief:
        return painter.piece("counts_tally_brief.html", tally_id, tally=tally)
    chips = [painter.once(paint_chip, count) for count in tally.entries]
    return painter.list("counts_tally.html", tally_id, chips, tally=tally)


def paint_progress(painter: Painter, progress: Progress) -> Piece:
    return painter.piece("counts_progress.html", dom.job(progress.owner_id, "progress"), progress=progress, bar=BAR)
