"""retry: failed work runs again. The one way out of a final status.

What succeeded is never run again. The earlier attempts are kept beside the new one. With the items their step and its
run go on; whatever was cancelled or skipped because of the failure is evaluated again, and what a person cancelled
stays so, unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Float, bindparam, func, insert, literal, null, select, update

from app.queue.changes import RunChanged, StepChanged, StepReleased, WorkAdded
from app.queue.deletions import is_being_deleted
from app.queue.retrying import Again, reopened, run_of, steps_of_run, stopped_with, was_stopped
from app.queue.status import ACTIVE, FINAL, Status
from app.queue.store.acknowledge import count_open, forget_planning
from app.queue.store.counting import count
from app.queue.store.failure_groups import Gone, forget_groups, regroup
from app.queue.store.logging import log_line
from app.queue.store.roll_up import advance, roll_up
from app.queue.store.start import refuse_one_too_many
from app.queue.tables import attempt, manager_job, step_job, worker_job
from app.queue.writer import Transaction

__all__ = ["Again", "NothingToRetry", "Retried", "retry"]


@dataclass(slots=True)
class Retried:
    """What a retry did: `items` that had ended run again, `steps` that were over are evaluated again."""

    items: int = 0
    steps: list[str] = field(default_factory=list)


class NothingToRetry(Exception):
    """Nothing that was named has failed."""

    def __init__(self, again: Again) -> None:
        what = f"of job {again.job_id}"
        which = "that failure group" if again.pattern is not None else "that could run again"
        told = f"there is nothing {what} in {which}" if again.pattern is not None else f"nothing {what} has failed"
        super().__init__(f"{told}{' or was cancelled' if again.cancelled else ''}; it is left as it is")


_reopen_step = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.status.in_(tuple(FINAL)))
    .values(
        status=bindparam("to"),
        reason=bindparam("why"),
        ready=bindparam("is_ready"),
        # Whoever was planning it when it was stopped is fenced off.
        plan_attempt=step_job.c.plan_attempt + 1,
        finished_at=None,
        deadline=bindparam("now", type_=Float) + step_job.c.step_timeout,
    )
)
_reopen_run = (
    update(manager_job)
    .where(manager_job.c.id == bindparam("of_manager"), manager_job.c.status.in_(tuple(FINAL)))
    # Its time begins anew, and with it the timeout. When it first began is when it was created.
    .values(
        status=bindparam("to"),
        reason=bindparam("why"),
        started_at=bindparam("began"),
        finished_at=None,
        deadline=bindparam("began", type_=Float) + manager_job.c.timeout,
    )
)


def retry(transaction: Transaction, again: Again, reason: str, concurrency: int | None = None) -> Retried:
    """Lets the failed work run again. `reason` says who wants it: "retried by a person". `concurrency`: how many runs
    of its definition may be in progress at once, if that is limited. Raises NothingToRetry or AlreadyRunning."""
    run = transaction.connection.execute(run_of, {"of_manager": again.manager_id}).one_or_none()
    if run is None or is_being_deleted(transaction.connection, again.manager_id):
        raise NothingToRetry(again)
    steps = transaction.connection.execute(steps_of_run, {"of_manager": run.id}).all()
    moved = {step.id: _move_chosen(transaction, step, again, reason) for step in steps if again.covers(step)}
    over = reopened(run, steps, again, {step_id for step_id, number in moved.items() if number})
    if not over and not any(moved.values()):
        raise NothingToRetry(again)
    if run.status in FINAL and concurrency is not None:
        refuse_one_too_many(transaction, run.definition, concurrency)
    for step in steps:
        number = moved.get(step.id, 0)
        if step in over:
            number += _move_stopped(transaction, run, step, reason)
            _reopen(transaction, step)
        if number or step in over:
            _tell(transaction, step, number, again, reason)
        moved[step.id] = number
    _go_on(transaction, run, over)
    return Retried(sum(moved.values()), [step.name for step in over])


def _move_chosen(transaction: Transaction, step: Any, again: Again, reason: str) -> int:
    """Makes the step's failed work items pending, as far as they are meant; returns how many."""
    chosen = again.chosen(step.id)
    gone = [] if again.is_whole else _gone(transaction, chosen[Status.FAILED])
    moved = _move(transaction, step.id, Status.FAILED, chosen[Status.FAILED], reason)
    if moved and again.is_whole:
        forget_groups(transaction, step.id)
    regroup(transaction, step.id, gone)
    if moved:
        count_open(transaction, step.id)
    if Status.CANCELLED in chosen:
        moved += _move(transaction, step.id, Status.CANCELLED, chosen[Status.CANCELLED], reason)
    return moved


def _gone(transaction: Transaction, failed: ColumnElement[bool]) -> list[Gone]:
    """How many of those of the work items that failed each failure group has."""
    pattern, by_id = worker_job.c.failure_pattern, worker_job.c.acknowledgement_id
    query = select(pattern, func.count(), func.count(by_id)).where(failed, pattern.is_not(None)).group_by(pattern)
    return [Gone(*row) for row in transaction.connection.execute(query)]


def _move_stopped(transaction: Transaction, run: Any, step: Any, reason: str) -> int:
    """Makes those work items pending that were cancelled because the step, or its run, failed."""
    if not was_stopped(run, step):
        return 0
    return _move(transaction, step.id, Status.CANCELLED, stopped_with(step), reason)


def _move(transaction: Transaction, step_id: int, source: Status, meant: ColumnElement[bool], reason: str) -> int:
    """Work items of one status become pending again; what they did is kept as an attempt."""
    of_source = meant & (worker_job.c.status == source)
    transaction.connection.execute(_keep_attempts(of_source, source))
    again = (
        update(worker_job)
        .where(of_source)
        .values(
            status=Status.PENDING,
            reason=reason,
            due_at=0.0,
            error=None,
            traceback=None,
            failure_pattern=None,
            acknowledgement_id=None,
            claimed_by=None,
            started_at=None,
            finished_at=None,
        )
    )
    moved: int = transaction.connection.execute(again).rowcount
    count(transaction, step_id, {source: -moved, Status.PENDING: moved})
    return moved


def _keep_attempts(of_source: ColumnElement[bool], source: Status) -> Any:
    """Copies the last attempts of work items, unless they never began, or are kept already since they were followed by
    a wait for another. One that was cancelled has no error."""
    kept = select(attempt.c.number).where(
        attempt.c.worker_id == worker_job.c.id, attempt.c.number == worker_job.c.attempt
    )
    failed = source is Status.FAILED
    lines_by_now = select(step_job.c.log_count).where(step_job.c.id == worker_job.c.step_id).scalar_subquery()
    last = select(
        worker_job.c.id,
        worker_job.c.attempt,
        worker_job.c.error if failed else literal(""),
        worker_job.c.traceback if failed else null(),
        worker_job.c.claimed_by,
        worker_job.c.started_at,
        worker_job.c.finished_at,
        lines_by_now,
    ).where(of_source, worker_job.c.started_at.is_not(None), ~kept.exists())
    columns = ["worker_id", "number", "error", "traceback", "claimed_by", "started_at", "finished_at", "last_line"]
    return insert(attempt).from_select(columns, last)


def _reopen(transaction: Transaction, step: Any) -> None:
    """A step that had begun goes on, and is planned again if its planning had not come to its end."""
    began = step.started_at is not None
    to, plans = (Status.RUNNING, not step.planned) if began else (Status.PENDING, False)
    why = "planning work items" if plans else ""
    parameters = {"of_step": step.id, "to": to, "why": why, "is_ready": plans, "now": transaction.now}
    transaction.connection.execute(_reopen_step, parameters)
    forget_planning(transaction, step.id)
    transaction.changes.append(StepChanged(step.manager_id, step.id, step.name, to))
    if plans:
        transaction.changes.append(StepReleased(step.id))


def _tell(transaction: Transaction, step: Any, number: int, again: Again, reason: str) -> None:
    """Says in the step's log who wanted what; and lets whoever works know that there is work."""
    items = f"{number:,} work item{'' if number == 1 else 's'} run{'s' if number == 1 else ''} again"
    said = items if number else "the step is evaluated again"
    log_line(transaction, step.id, "info", f"{reason}: {said}", again.worker_id if step.id == again.step_id else None)
    if number:
        transaction.changes += [
            StepChanged(step.manager_id, step.id, step.name, Status.RUNNING),
            WorkAdded(step.id, 0.0, number),
        ]


def _go_on(transaction: Transaction, run: Any, over: Sequence[Any]) -> None:
    """The run goes on, and the rules say what follows from that."""
    if run.status not in ACTIVE:
        began = run.started_at is not None
        to, why = (Status.RUNNING, "") if began else (Status.PENDING, "waiting for a free slot")
        parameters = {"of_manager": run.id, "to": to, "why": why, "began": transaction.now if began else None}
        transaction.connection.execute(_reopen_run, parameters)
        transaction.changes.append(RunChanged(run.id, to))
    for step in over:
        if step.started_at is not None:
            roll_up(transaction, step.id)
    advance(transaction, run.id)
