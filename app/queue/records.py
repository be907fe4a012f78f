"""What a snapshot shows: plain, frozen records, ready to be painted or sent as JSON. Times are seconds since the
epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.queue.models import Kind, Level
from app.queue.status import FINAL, Status


class Counts(NamedTuple):
    """How many jobs of one scope have each status."""

    pending: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, numbers: Mapping[Status, int]) -> Counts:
        return cls(*(numbers.get(Status(name), 0) for name in cls._fields))

    @property
    def total(self) -> int:
        return sum(self)

    def by_status(self) -> dict[Status, int]:
        return {Status(name): number for name, number in zip(self._fields, self, strict=True)}

    def plus(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @classmethod
    def sum(cls, counts: Iterable[Counts]) -> Counts:
        total = cls()
        for each in counts:
            total = total.plus(each)
        return total


class LevelCounts(NamedTuple):
    """How many lines of a log have each level."""

    debug: int = 0
    info: int = 0
    warn: int = 0
    error: int = 0

    @classmethod
    def of(cls, numbers: Mapping[Level, int]) -> LevelCounts:
        return cls(*(numbers.get(level, 0) for level in Level))

    def at_least(self, level: Level | None) -> int:
        """How many lines are as severe as that or more; of all of them without a level."""
        return sum(self[tuple(Level).index(level) if level else 0 :])

    @classmethod
    def sum(cls, counts: Iterable[LevelCounts]) -> LevelCounts:
        return cls(*map(sum, zip(cls(), *counts, strict=True)))


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of every job there is, by kind. `open_failures`: how many failed without anybody having acknowledged
    it."""

    manager: Counts
    step: Counts
    worker: Counts
    open_failures: int = 0

    @property
    def all(self) -> Counts:
        return Counts.sum((self.manager, self.step, self.worker))

    def of_kind(self, kind: Kind | None) -> Counts:
        return (
            self.all
            if kind is None
            else {Kind.MANAGER: self.manager, Kind.STEP: self.step, Kind.WORKER: self.worker}[kind]
        )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has said, when, and with which note, that a failure needs no more looking at."""

    who: str
    at: float
    note: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step of a run. `counts` are those of its own work items, `document_count` the documents it created."""

    id: int
    manager_id: int
    position: int
    name: str
    type: str
    description: str
    depends: tuple[str, ...]
    on_error: str
    always_run: bool
    status: Status
    reason: str
    counts: Counts
    planned: bool
    log_count: int
    document_count: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    totals: tuple[tuple[str, float], ...] = ()
    """(name, amount): what it has used in all, such as tokens."""
    taken_from: int | None = None
    """The run whose results stand for this step."""
    held_by: int | None = None
    """Another run that holds what its work items wait for, as `reason` says."""
    open_failures: int = 0
    """Its work items that failed, and its planning if that did, which nobody has acknowledged."""
    acknowledgement: Acknowledgement | None = None
    """Of the failure of its planning."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def has_failed(self) -> bool:
        """Whether something of it has failed."""
        return self.status is Status.FAILED or self.counts.failed > 0

    @property
    def can_retry(self) -> bool:
        """Whether a retry of it alone finds something. A step that was cancelled before it began may wait for others:
        it is taken up with its run."""
        began = self.started_at is not None
        return self.has_failed or self.counts.cancelled > 0 or (self.status is Status.CANCELLED and began)


@dataclass(frozen=True, slots=True)
class Paused:
    """By whom and when something was paused. `what`: "run 12", "definition news", "the queue"."""

    what: str
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run with all its steps in order. `parameters` are (name, value as text) pairs."""

    id: int
    definition: str
    name: str
    status: Status
    reason: str
    tags: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    created_at: float
    started_at: float | None
    finished_at: float | None
    steps: tuple[StepRecord, ...]
    scheduled_for: str | None = None
    """The tick that it was started for, in the time zone of its schedule: 2026-11-21T03:00:00+01:00."""
    rerun_of: int | None = None
    """The run that it repeats, which may have been deleted since."""
    paused: Paused | None = None
    """Why nothing of it is begun, while it is not over."""
    priority: int = 0
    """Of two runs that have work, the one with the higher priority goes first."""
    held_by: int | None = None
    """Another run that holds what it waits for, as `reason` says."""

    @property
    def counts(self) -> Counts:
        """Its work items by status: the sum over its steps."""
        return Counts.sum(step.counts for step in self.steps)

    @property
    def open_failures(self) -> int:
        return sum(step.open_failures for step in self.steps)

    @property
    def document_count(self) -> int:
        return sum(step.document_count for step in self.steps)

    @property
    def log_count(self) -> int:
        return sum(step.log_count for step in self.steps)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job of any kind, as a list shows it."""

    id: int
    kind: Kind
    name: str
    status: Status
    reason: str
    definition: str
    manager_id: int
    step_id: int | None
    step_name: str | None
    attempt: int
    error: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    document_count: int
    counts: Counts | None
    """Of its work items; None for a work item."""
    priority: int | None = None
    """Of a run."""
    held_by: int | None = None
    """Another run that holds what it waits for, as `reason` says."""
    open_failures: int = 0
    """Those of it, or of what is part of it, that nobody has acknowledged."""
    acknowledgement: Acknowledgement | None = None
    """Of its failure, if it is a work item, or a step that failed by its planning."""
    due_at: float | None = None
    """When a work item that waits for its next attempt may begin."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One execution of a work item, an earlier one or the last. `claimed_by`: the owner that made it. `lines`: the last
    that it said, those of debugging left out."""

    number: int
    status: Status
    error: str | None
    traceback: str | None
    claimed_by: str | None
    started_at: float | None
    finished_at: float | None
    lines: tuple[LogLine, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedDocument:
    """A document that a work item saved. `created`: it made it; otherwise it was the last to change it."""

    id: int
    title: str
    address: str
    source_type: str
    created: bool


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """A work item with everything that is known of it. `attempts`: the newest first. `documents`: the first of those
    that it saved; it made `documents_made` of them, and was the last to change `documents_changed` others."""

    job: JobRecord
    input: Any
    result: Any
    attempts: tuple[AttemptRecord, ...]
    documents: tuple[SavedDocument, ...]
    documents_made: int
    documents_changed: int

    @property
    def document_count(self) -> int:
        return self.documents_made + self.documents_changed


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log entry. `worker_id` and `worker_name` are None for what the step itself says."""

    step_id: int
    step_name: str
    line: int
    at: float
    level: Level
    message: str
    worker_id: int | None
    worker_name: str | None


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A failed work item, as an example of others that failed alike."""

    id: int
    name: str
    message: str
    at: float


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Work items of one step that failed with the same message, numbers and the like aside. `pattern` is empty for all
    those that came when the step had many groups already."""

    manager_id: int
    step_id: int
    step_name: str
    pattern: str
    count: int
    first: FailedItem
    last: FailedItem
    acknowledged: int = 0
    """How many of them are."""
    acknowledgement: Acknowledgement | None = None
    """The last one of any."""

    @property
    def open(self) -> int:
        return self.count - self.acknowledged


@dataclass(frozen=True, slots=True)
class MinuteRecord:
    """How many work items ended in one minute (since the epoch)."""

    minute: int
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """What somebody did to a run or a part of it. `made_id`: the run that a rerun started."""

    id: int
    at: float
    who: str
    verb: str
    said: str
    made_id: int | None
    manager_id: int | None
    job_id: int | None


@dataclass(frozen=True, slots=True)
class ActionPage:
    """A page of what people did. `total`: over all pages. `next`: the cursor of the next one."""

    total: int
    actions: tuple[ActionRecord, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Kin:
    """Runs that belong together: the one that a run repeats, if it is still there, and those that repeat it, the
    newest first."""

    rerun_of: int | None
    reruns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a list: how many jobs match on all pages together, those of this one, where the next one starts."""

    total: int
    jobs: tuple[JobRecord, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs. `newer`: how many match that are newer than the newest run that the list is to show."""

    total: int
    runs: tuple[RunRecord, ...]
    next: str | None
    newer: int = 0


@dataclass(frozen=True, slots=True)
class LogPage:
    total: int
    lines: tuple[LogLine, ...]
    next: str | None
