"""finish: work items end, completed or failed; a failed one may get another attempt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from app.queue.changes import WorkAdded
from app.queue.prepared import PreparedUpdate
from app.queue.run_plan import Retry
from app.queue.status import Status, Verdict, attempt_verdict
from app.queue.store.acknowledge import open_failures
from app.queue.store.counting import count, count_minute
from app.queue.store.ending import end_of
from app.queue.store.failure_groups import group_failure
from app.queue.store.logging import Line, log
from app.queue.store.roll_up import roll_up
from app.queue.tables import attempt, step_job, worker_job
from app.queue.text import storable, stored_json
from app.queue.writer import Transaction

chance: Callable[[], float] = random.random
"""From 0 to 1: where jitter comes from."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt of a work item ended: with a result, or with an error.

    `permanent`: trying again cannot help. `retry_after`: the seconds that whoever turned it down asked to wait.
    `died`: its process ended with it."""

    worker_id: int
    attempt: int
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    permanent: bool = False
    retry_after: float | None = None
    died: bool = False


_complete = PreparedUpdate(
    update(worker_job)
    .where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    )
    .values(status=Status.COMPLETED, result=bindparam("with_result"), reason="", finished_at=end_of(worker_job))
)
_fail = (
    update(worker_job)
    .where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    )
    .values(
        status=bindparam("to"),
        reason=bindparam("why"),
        error=bindparam("with_error"),
        traceback=bindparam("with_traceback"),
        due_at=bindparam("due"),
        finished_at=end_of(worker_job, "finished"),
    )
    .returning(worker_job.c.step_id, worker_job.c.name, worker_job.c.claimed_by, worker_job.c.started_at)
)
_rules = select(step_job.c.on_error, step_job.c.retry).where(step_job.c.id == bindparam("of_step"))
_lines_by_now = select(step_job.c.log_count).where(step_job.c.id == bindparam("of_step"))
_ended_alike = select(func.count()).where(
    attempt.c.worker_id == bindparam("of_worker"), attempt.c.error == bindparam("with_error")
)


def finish(transaction: Transaction, step_id: int, endings: Sequence[Ending]) -> None:
    """Ends attempts of work items of one step. An attempt that is not the current one changes nothing."""
    completed = _complete_all(transaction, [ending for ending in endings if ending.error is None])
    count(transaction, step_id, {Status.RUNNING: -completed, Status.COMPLETED: completed}, tell=False)
    failed = 0
    for ending in endings:
        if ending.error is not None:
            failed += _fail_one(transaction, step_id, ending)
    count_minute(transaction, {Status.COMPLETED: completed, Status.FAILED: failed})
    open_failures(transaction, step_id, failed)
    roll_up(transaction, step_id, failed=failed > 0)


def _complete_all(transaction: Transaction, endings: Sequence[Ending]) -> int:
    """Completes the items in one statement, and returns how many were still the callers'."""
    if not endings:
        return 0
    rows = [
        {
            "of_worker": end.worker_id,
            "by_attempt": end.attempt,
            "with_result": stored_json(end.result),
            "now": transaction.now,
        }
        for end in endings
    ]
    return _complete.execute(transaction.connection, rows)


def _fail_one(transaction: Transaction, step_id: int, ending: Ending) -> int:
    """Fails one attempt; returns 1 if the item stays failed, 0 if it will be tried again or was not the caller's."""
    error = storable(ending.error or "")
    again = _next_attempt(transaction, step_id, ending)
    verdict, due_at = again or (Verdict(Status.FAILED, ""), 0.0)
    if ending.died and not again:
        error = _told_poison(transaction, ending, error)
    moved = transaction.connection.execute(
        _fail,
        {
            "of_worker": ending.worker_id,
            "by_attempt": ending.attempt,
            "to": verdict.status,
            "why": verdict.reason,
            "with_error": error,
            "with_traceback": storable(ending.traceback) if ending.traceback else None,
            "due": due_at,
            "finished": None if again else transaction.now,
        },
    ).one_or_none()
    if moved is None:
        return 0
    count(transaction, step_id, {Status.RUNNING: -1, verdict.status: 1}, tell=False)
    said = f"{moved.name} failed: {error}" + (f" ({verdict.reason})" if again else "")
    log(transaction, [Line(step_id, ending.worker_id, transaction.now, "warn" if again else "error", said)])
    if again:
        _keep_attempt(transaction, ending, error, moved)
        transaction.changes.append(WorkAdded(step_id, due_at, 1))
        return 0
    group_failure(transaction, step_id, ending.worker_id, error)
    return 1


def _next_attempt(transaction: Transaction, step_id: int, ending: Ending) -> tuple[Verdict, float] | None:
    rules = transaction.connection.execute(_rules, {"of_step": step_id}).one_or_none()
    if rules is None:  # the run has been deleted
        return None
    retry = Retry.by_default(rules.on_error) if rules.retry is None else Retry(**rules.retry)
    return attempt_verdict(retry, ending.attempt, ending.permanent, transaction.now, chance(), ending.retry_after)


def _told_poison(transaction: Transaction, ending: Ending, error: str) -> str:
    """The error of an item that has ended its process, and not for the first time."""
    alike = {"of_worker": ending.worker_id, "with_error": error}
    before: int = transaction.connection.execute(_ended_alike, alike).scalar_one()
    return f"{error} {before + 1} times, in {ending.attempt} attempts" if before else error


def _keep_attempt(transaction: Transaction, ending: Ending, error: str, moved: Any) -> None:
    row = {
        "worker_id": ending.worker_id,
        "number": ending.attempt,
        "error": error,
        "traceback": storable(ending.traceback) if ending.traceback else None,
        "claimed_by": moved.claimed_by,
        "started_at": moved.started_at,
        "finished_at": max(transaction.now, moved.started_at),
        "last_line": transaction.connection.execute(_lines_by_now, {"of_step": moved.step_id}).scalar_one(),
    }
    transaction.connection.execute(insert(attempt), row)
