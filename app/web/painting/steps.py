"""A step: its row among the steps of a run, and its own page's head."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.records import StepRecord
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.web import dom
from app.web.painting.counts import OpenFailures, Progress, Scope, Tally, paint_progress, paint_tally
from app.web.painting.logs import PanelSize, paint_panel
from app.web.pieces import Painter, Piece
from app.web.shelf import Shelf


@dataclass(frozen=True, slots=True)
class StepHead:
    """What the head of a step says: which of how many, what it is, how it is and why."""

    step: StepRecord
    of: int
    on_run_page: bool = False
    brief: bool = False
    """Whether one line will do: the reader has seen its end, or has come after it."""

    @property
    def brief_reason(self) -> str:
        """Why it is as it is, if its numbers do not say so."""
        return "" if self.step.status is Status.COMPLETED and self.step.counts.total else self.step.reason

    @property
    def heading(self) -> int:
        """The level of its heading, one below that of what it stands in."""
        return 3 if self.on_run_page else 4

    @property
    def depends(self) -> tuple[str, ...]:
        """The steps it waits for, where there is room to say so."""
        return self.step.depends if self.on_run_page else ()

    @property
    def url(self) -> str:
        return dom.step_url(self.step.manager_id, self.step.name)

    @property
    def retry_url(self) -> str:
        """The preview of a retry of what failed; of what was cancelled, if that is all, or the whole step."""
        is_cancelled = self.step.status is Status.CANCELLED or not self.step.has_failed
        cancelled = "true" if is_cancelled else None
        return dom.with_query(f"{dom.job_url(self.step.id)}/retries/new", {"cancelled": cancelled})

    @property
    def rerun_url(self) -> str:
        """The form that repeats the run from this step on."""
        return dom.with_query(f"{dom.job_url(self.step.manager_id)}/reruns/new", {"from": self.step.name})

    @property
    def open(self) -> OpenFailures:
        return OpenFailures(Scope.of_step(self.step), self.step.open_failures)

    @property
    def acknowledgement_url(self) -> str:
        return dom.acknowledgement_url(self.step.id)

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end, once it has ended."""
        return took(self.step.started_at, self.step.finished_at)


def took(started_at: float | None, finished_at: float | None) -> float | None:
    return None if started_at is None or finished_at is None else finished_at - started_at


def begun(step: StepRecord) -> bool:
    """Whether there is something to unfold: a step that never started has said nothing."""
    return step.started_at is not None or step.log_count > 0


def starts_open(step: StepRecord) -> bool:
    """Whether a reader who has not touched it sees the insides of the step."""
    return step.status in (Status.RUNNING, Status.FAILED)


def paint_row(painter: Painter, shelf: Shelf, snapshot: Snapshot, head: StepHead, size: PanelSize) -> Piece:
    """The row of a step among the steps of its run. What failed is never told in brief."""
    if head.brief and head.step.status is not Status.FAILED:
        return painter.once(paint_brief_row, head)
    return shelf.once((head, size), lambda: _paint_row(painter, shelf, snapshot, head, size))


def paint_brief_row(painter: Painter, head: StepHead) -> Piece:
    """The row of a step that is over, in one line."""
    step = head.step
    tally = Tally(Scope.of_step(step), step.id, step.counts, brief=True)
    return painter.piece("step_brief.html", dom.job(step.id), head=head, step=step, tally=tally)


def _paint_row(painter: Painter, shelf: Shelf, snapshot: Snapshot, head: StepHead, size: PanelSize) -> Piece:
    step = head.step
    log = paint_panel(painter, shelf, snapshot, step, size, starts_open(step)) if begun(step) else None
    children = {
        "head": painter.once(paint_head, head),
        "tally": painter.once(paint_tally, Tally(Scope.of_step(step), step.id, step.counts)),
        "log": log,
    }
    return painter.piece("step_row.html", dom.job(step.id), children, step=step)


def paint_head(painter: Painter, head: StepHead) -> Piece:
    return painter.piece("step_head.html", dom.job(head.step.id, "head"), head=head, step=head.step)


def paint_title(painter: Painter, head: StepHead) -> Piece:
    """The head of the step's own page."""
    progress = Progress(head.step.id, head.step.counts)
    children = {
        "progress": painter.once(paint_progress, progress),
        "tally": painter.once(paint_tally, Tally(Scope.of_step(head.step), head.step.id, head.step.counts)),
    }
    return painter.piece("step_title.html", dom.job(head.step.id, "head"), children, head=head, step=head.step)
