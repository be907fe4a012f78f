"""A run: its row on the queue page, its steps, and its own page's head."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.models import Level
from app.queue.records import Kin, RunPage, RunRecord
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.web import dom
from app.web.logs.query import LogQuery, LogZoom
from app.web.painting.counts import OpenFailures, Progress, Scope, Tally, paint_progress, paint_tally
from app.web.painting.logs import QUEUE_PANEL, PanelSize
from app.web.painting.steps import StepHead, took
from app.web.painting.steps import paint_row as paint_step_row
from app.web.pieces import Painter, Piece
from app.web.shelf import Shelf

LIST = "runs"

IN_FULL = 1
"""A run that has just ended stays as it was before the reader's eyes, until so many others have ended after it."""


@dataclass(frozen=True, slots=True)
class RunHead:
    """What the head of a run says."""

    run: RunRecord

    @property
    def took(self) -> float | None:
        return took(self.run.started_at, self.run.finished_at)

    @property
    def can_cancel(self) -> bool:
        return not self.run.is_final

    @property
    def is_paused_itself(self) -> bool:
        """Whether the run is paused, and not its definition or the queue alone."""
        return self.run.paused is not None and self.run.paused.what == f"run {self.run.id}"

    @property
    def retry_url(self) -> str:
        """The preview of a retry of what failed; of what was cancelled, if that is all, or the whole run."""
        is_cancelled = self.run.status is Status.CANCELLED or not any(step.has_failed for step in self.run.steps)
        cancelled = "true" if is_cancelled else None
        return dom.with_query(f"{dom.job_url(self.run.id)}/retries/new", {"cancelled": cancelled})

    @property
    def can_retry(self) -> bool:
        return any(step.can_retry or step.status is Status.CANCELLED for step in self.run.steps)

    @property
    def has_acknowledged(self) -> bool:
        """Whether something of it has failed, and all of that is acknowledged."""
        failed = self.run.counts.failed or any(step.acknowledgement for step in self.run.steps)
        return bool(failed) and not self.run.open_failures

    @property
    def open(self) -> OpenFailures:
        return OpenFailures(Scope.of_run(self.run), self.run.open_failures)

    @property
    def acknowledgement_url(self) -> str:
        return dom.acknowledgement_url(self.run.id)

    @property
    def steps_done(self) -> int:
        return sum(step.is_final for step in self.run.steps)


def paint_list(painter: Painter, shelf: Shelf, snapshot: Snapshot, page: RunPage) -> Piece:
    """Runs that go on, and those that ended last, show the ends of their logs; of the others, what failed does."""
    ended = sorted((run for run in page.runs if run.is_final), key=lambda run: (run.finished_at or 0.0, run.id))
    brief = {run.id for run in ended[:-IN_FULL]}
    rows = [paint_row(painter, shelf, snapshot, run, run.id in brief) for run in page.runs]
    return painter.list("run_list.html", LIST, rows, total=page.total)


def paint_row(painter: Painter, shelf: Shelf, snapshot: Snapshot, run: RunRecord, brief: bool = False) -> Piece:
    return shelf.once((run, brief), lambda: _paint_row(painter, shelf, snapshot, run, brief))


def _paint_row(painter: Painter, shelf: Shelf, snapshot: Snapshot, run: RunRecord, brief: bool) -> Piece:
    head = RunHead(run)
    fold = {
        "summary": painter.piece("run_steps_summary.html", dom.job(run.id, "summary"), head=head, run=run),
        "steps": paint_steps(painter, shelf, snapshot, run, QUEUE_PANEL, brief=brief),
    }
    children = {
        "head": painter.once(paint_head, head),
        "progress": painter.once(paint_progress, Progress(run.id, run.counts)),
        "tally": painter.once(paint_tally, Tally(Scope.of_run(run), run.id, run.counts, brief)),
        "fold": painter.piece("run_fold.html", dom.job(run.id, "fold"), fold, is_open=not run.is_final),
    }
    return painter.piece("run_row.html", dom.job(run.id), children, run=run)


def paint_head(painter: Painter, head: RunHead) -> Piece:
    return painter.piece("run_head.html", dom.job(head.run.id, "head"), head=head, run=head.run)


def paint_title(painter: Painter, head: RunHead, kin: Kin) -> Piece:
    """The head of the run's own page."""
    run = head.run
    children = {
        "progress": painter.once(paint_progress, Progress(run.id, run.counts)),
        "tally": painter.once(paint_tally, Tally(Scope.of_run(run), run.id, run.counts)),
    }
    every_line = LogQuery(level=Level.DEBUG).url(LogZoom.run_path(run.id))
    return painter.piece(
        "run_title.html", dom.job(run.id, "head"), children, head=head, run=run, kin=kin, log_url=every_line
    )


def paint_steps(
    painter: Painter,
    shelf: Shelf,
    snapshot: Snapshot,
    run: RunRecord,
    size: PanelSize,
    on_run_page: bool = False,
    brief: bool = False,
) -> Piece:
    heads = [StepHead(step, len(run.steps), on_run_page, brief) for step in run.steps]
    rows = [paint_step_row(painter, shelf, snapshot, head, size) for head in heads]
    return painter.list("run_steps.html", dom.job(run.id, "steps"), rows, total=len(rows))
