"""Lists of jobs of any kind, and a work item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.queue.models import Kind
from app.queue.records import AttemptRecord, ItemRecord, JobRecord
from app.queue.status import FINAL, Status
from app.queue.whereabouts import place_of
from app.web import dom
from app.web.painting.log_lines import Look, ShownLine
from app.web.painting.steps import took
from app.web.pieces import Painter, Piece

LINE_LENGTH = 1_000
"""Characters of a line that are shown with its attempt."""

KIND_WORDS = {Kind.MANAGER: "manager job", Kind.STEP: "step", Kind.WORKER: "work item"}


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list of jobs."""

    job: JobRecord

    @property
    def url(self) -> str:
        if self.job.kind is Kind.STEP:
            return dom.step_url(self.job.manager_id, self.job.name)
        return dom.job_url(self.job.id)

    @property
    def kind_words(self) -> str:
        return KIND_WORDS[self.job.kind]

    @property
    def parent(self) -> tuple[str, str] | None:
        """What it is part of: a name and an address."""
        if self.job.kind is Kind.WORKER and self.job.step_name is not None:
            return self.job.step_name, dom.step_url(self.job.manager_id, self.job.step_name)
        if self.job.kind is Kind.STEP:
            return f"run {self.job.manager_id}", dom.job_url(self.job.manager_id)
        return None

    @property
    def sentence(self) -> str:
        if self.job.status is Status.PENDING and self.job.reason:
            return f"{self.job.reason}; {self.job.error}" if self.job.error else self.job.reason
        return self.job.error or self.job.reason

    @property
    def can_cancel(self) -> bool:
        return self.job.status not in FINAL

    @property
    def can_retry(self) -> bool:
        return self.job.status in (Status.FAILED, Status.CANCELLED)

    @property
    def retry_url(self) -> str:
        """The preview of a retry of a work item that failed, or was cancelled."""
        cancelled = "true" if self.job.status is Status.CANCELLED else None
        return dom.with_query(f"{dom.job_url(self.job.id)}/retries/new", {"cancelled": cancelled})

    @property
    def acknowledgement_url(self) -> str:
        return dom.acknowledgement_url(self.job.id)

    @property
    def took(self) -> float | None:
        return took(self.job.started_at, self.job.finished_at)


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    worker_id: int
    attempt: AttemptRecord
    is_alone: bool = False
    """There is no other, so that the log of the work item is its own."""

    @property
    def lines(self) -> list[ShownLine]:
        """The last that it said, each leading to its place in the log below."""
        look = Look(dom.job_url(self.worker_id), LINE_LENGTH, linked=True, says_who=False)
        return [] if self.is_alone else [ShownLine(line, look) for line in self.attempt.lines]

    @property
    def took(self) -> float | None:
        return took(self.attempt.started_at, self.attempt.finished_at)

    @property
    def where(self) -> tuple[str, str] | None:
        """The machine and the process that made it."""
        if self.attempt.claimed_by is None:
            return None
        return place_of(self.attempt.claimed_by)


@dataclass(frozen=True, slots=True)
class SlowItem:
    """A work item among the slowest of its run."""

    row: JobRow
    longest: float

    @property
    def width(self) -> int:
        """Hundredths of the longest."""
        return round(100 * (self.row.took or 0.0) / self.longest) if self.longest > 0 else 0


def paint_list(painter: Painter, list_id: str, jobs: Sequence[JobRecord], total: int) -> Piece:
    rows = [painter.once(paint_row, JobRow(job)) for job in jobs]
    return painter.list("job_list.html", list_id, rows, total=total)


def paint_slowest(painter: Painter, manager_id: int, slowest: Sequence[JobRecord]) -> Piece:
    """The work items of a run that took longest, each beside the longest of them."""
    longest = max((took(job.started_at, job.finished_at) or 0.0 for job in slowest), default=0.0)
    entries = [painter.once(_paint_slow, SlowItem(JobRow(job), longest)) for job in slowest]
    children = {"items": painter.list("slow_items.html", dom.job(manager_id, "slow-items"), entries)}
    return painter.piece("run_slowest.html", dom.job(manager_id, "slowest"), children, number=len(entries))


def _paint_slow(painter: Painter, item: SlowItem) -> Piece:
    return painter.piece("slow_item.html", dom.job(item.row.job.id, "slow"), item=item, row=item.row, job=item.row.job)


def paint_row(painter: Painter, row: JobRow) -> Piece:
    return painter.piece("job_row.html", dom.job(row.job.id), row=row, job=row.job)


def paint_item_title(painter: Painter, row: JobRow) -> Piece:
    """The head of a work item's own page."""
    return painter.piece("item_title.html", dom.job(row.job.id, "head"), row=row, job=row.job)


def paint_attempts(painter: Painter, item: ItemRecord) -> Piece:
    is_alone = len(item.attempts) == 1
    entries = [paint_attempt(painter, AttemptEntry(item.job.id, attempt, is_alone)) for attempt in item.attempts]
    return painter.list("item_attempts.html", dom.job(item.job.id, "attempts"), entries, total=len(entries))


def paint_attempt(painter: Painter, entry: AttemptEntry) -> Piece:
    attempt_id = dom.job(entry.worker_id, f"attempt-{entry.attempt.number}")
    return painter.piece("item_attempt.html", attempt_id, entry=entry, attempt=entry.attempt)


def paint_documents(painter: Painter, item: ItemRecord) -> Piece:
    documents_id = dom.job(item.job.id, "documents")
    if not item.document_count:
        return painter.same("item_documents.html", documents_id, item=None)
    return painter.piece("item_documents.html", documents_id, item=item)


def paint_data(painter: Painter, item: ItemRecord) -> Piece:
    """What the work item was given, and what it made of it."""
    return painter.piece("item_data.html", dom.job(item.job.id, "data"), item=item)
