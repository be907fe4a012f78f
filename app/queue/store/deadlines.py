"""Time limits of runs and steps: `deadline` is when their time will be over.

It is set when they begin, and anew when they are retried. What a run is paused for does not count: as long as it is
paused nothing is ended, and whoever resumes puts the deadlines off by that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from app.queue.pauses import Scope, is_paused, pauses
from app.queue.status import ACTIVE, Status, Verdict
from app.queue.store.claim import Deadline
from app.queue.store.roll_up import advance, end_step, stop_run, stop_work
from app.queue.tables import manager_job, step_job
from app.queue.writer import Transaction

_run = select(manager_job.c.deadline, manager_job.c.timeout, is_paused.label("paused")).where(
    manager_job.c.id == bindparam("of_manager"), manager_job.c.status.in_(ACTIVE)
)
_steps = (
    select(step_job.c.id, step_job.c.name, step_job.c.deadline, step_job.c.step_timeout)
    .where(
        step_job.c.manager_id == bindparam("of_manager"),
        step_job.c.status == Status.RUNNING,
        step_job.c.deadline.is_not(None),
    )
    .order_by(step_job.c.position)
)
_put_off_run = (
    update(manager_job)
    .where(manager_job.c.id == bindparam("of_manager"), manager_job.c.deadline.is_not(None))
    .values(deadline=manager_job.c.deadline + bindparam("seconds"))
)
_put_off_steps = (
    update(step_job)
    .where(step_job.c.manager_id == bindparam("of_manager"), step_job.c.deadline.is_not(None))
    .values(deadline=step_job.c.deadline + bindparam("seconds"))
)


def end_overdue(transaction: Transaction, manager_id: int, reached: float = 0.0) -> Deadline | None:
    """Ends the run, or those of its steps, whose time is over. Returns the next deadline; None while the run is paused,
    or when it has no limits left. `reached`: a time that has come, though a clock that was set back may not say so."""
    now = max(transaction.now, reached)
    run = transaction.connection.execute(_run, {"of_manager": manager_id}).one_or_none()
    if run is None or run.paused:
        return None
    if run.deadline is not None and run.deadline <= now:
        time_out(transaction, manager_id, run.timeout)
        return None
    for step in _limited_steps(transaction, manager_id):
        if step.deadline <= now:
            _time_out_step(transaction, manager_id, step)
    left = [Deadline(step.deadline, step.step_timeout) for step in _limited_steps(transaction, manager_id)]
    if run.deadline is not None:
        left.append(Deadline(run.deadline, run.timeout))
    return min(left, default=None)


def time_out(transaction: Transaction, manager_id: int, seconds: float) -> bool:
    """Fails a run that took longer than its definition allows; False if it had ended."""
    reason = f"the run took longer than its timeout of {seconds:g} s"
    return stop_run(transaction, manager_id, Verdict(Status.FAILED, reason))


def _limited_steps(transaction: Transaction, manager_id: int) -> Sequence[Any]:
    return transaction.connection.execute(_steps, {"of_manager": manager_id}).all()


def _time_out_step(transaction: Transaction, manager_id: int, step: Any) -> None:
    """Fails the step; `on_error` says what that means to the run."""
    reason = f"the step took longer than its step_timeout of {step.step_timeout:g} s"
    stop_work(transaction, step.id, reason)
    end_step(transaction, step.id, Verdict(Status.FAILED, reason))
    advance(transaction, manager_id)


def put_off(transaction: Transaction, run: Any, paused_at: float) -> None:
    """A pause that began at `paused_at` is over, or is only one of several: puts off the deadlines of a run (a row of
    manager_job) by the time that no other pause covers."""
    if run.started_at is None:
        return
    left = [each.at for each in _pauses_of(transaction, run)]
    until = min([*left, transaction.now])
    seconds = until - max(paused_at, run.started_at)
    if seconds > 0:
        parameters = {"of_manager": run.id, "seconds": seconds}
        transaction.connection.execute(_put_off_run, parameters)
        transaction.connection.execute(_put_off_steps, parameters)


def _pauses_of(transaction: Transaction, run: Any) -> list[Any]:
    known = pauses(transaction.connection)
    scopes = (Scope(manager_id=run.id), Scope(run.definition), Scope())
    return [known[scope.stored] for scope in scopes if scope.stored in known]
