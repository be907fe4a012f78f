"""What people do to runs: the verbs of the store, each recorded with who did what."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from app.queue.actor import Actor
from app.queue.deletions import is_being_deleted
from app.queue.retrying import Again
from app.queue.run_plan import RunPlan
from app.queue.status import ACTIVE, Status
from app.queue.store.actions import items, record, said_of
from app.queue.store.cancel import cancel, cancel_item, cancel_step
from app.queue.store.delete import BATCH, delete_run
from app.queue.store.retry import Retried, retry
from app.queue.store.start import start
from app.queue.tables import manager_job, step_counter, step_job, worker_job
from app.queue.writer import Transaction


@dataclass(frozen=True, slots=True)
class Target:
    """A run, a step of it, or a work item of that."""

    manager_id: int
    step_id: int | None = None
    worker_id: int | None = None

    @property
    def job_id(self) -> int:
        return self.worker_id or self.step_id or self.manager_id


_active = (
    select(step_counter.c.status, func.sum(step_counter.c.number))
    .join(step_job, step_job.c.id == step_counter.c.step_id)
    .where(step_job.c.manager_id == bindparam("of_manager"), step_counter.c.status.in_(ACTIVE))
    .group_by(step_counter.c.status)
)
_step_name = select(step_job.c.name).where(step_job.c.id == bindparam("of_step"))
_item_name = select(worker_job.c.name).where(worker_job.c.id == bindparam("of_worker"))
_owned = select(func.sum(step_job.c.log_count)).where(step_job.c.manager_id == bindparam("of_manager"))
_counted = (
    select(func.sum(step_counter.c.number))
    .join(step_job, step_job.c.id == step_counter.c.step_id)
    .where(step_job.c.manager_id == bindparam("of_manager"))
)
_run_name = select(manager_job.c.name).where(manager_job.c.id == bindparam("of_manager"))


def start_as(transaction: Transaction, plan: RunPlan, actor: Actor) -> int:
    """Starts a run; returns it. Raises AlreadyRunning or DefinitionDisabled."""
    manager_id = start(transaction, plan)
    record(transaction, actor, "start", "started it", manager_id, manager_id)
    return manager_id


def cancel_as(transaction: Transaction, target: Target, actor: Actor) -> str | None:
    """Cancels the target; says what that did, or None if it had ended already."""
    reason = f"cancelled {actor.by}"
    waiting, running = _waiting_and_running(transaction, target.manager_id)
    if target.worker_id is not None:
        done = cancel_item(transaction, target.worker_id, reason)
    elif target.step_id is not None:
        done = cancel_step(transaction, target.step_id, reason)
    else:
        done = cancel(transaction, target.manager_id, reason)
    if not done:
        return None
    waiting_now, running_now = _waiting_and_running(transaction, target.manager_id)
    told, never = running - running_now, waiting - waiting_now
    said = f"cancelled {_name(transaction, target)}"
    if target.worker_id is None:
        said += f": {items(never)} never start{'s' if never == 1 else ''}, {told:,} at work told to stop"
    record(transaction, actor, "cancel", said, target.manager_id, target.job_id)
    return said


def retry_as(
    transaction: Transaction,
    again: Again,
    actor: Actor,
    concurrency: int | None = None,
    foreseen: int | None = None,
    key: str | None = None,
) -> Retried:
    """`foreseen`: how many work items the preview said would run again. With the `key` of a retry of that job that was
    carried out already, says what that one did, and does nothing. Raises NothingToRetry or AlreadyRunning."""
    once = f"retry {again.job_id} {key}" if key else None
    if once is not None and (before := said_of(transaction, once)) is not None:
        return _retried_before(before)
    done = retry(transaction, again, f"retried {actor.by}", concurrency)
    said = f"retried {_name(transaction, Target(again.manager_id, again.step_id, again.worker_id))}: {told(done)}"
    if foreseen not in (None, done.items):
        said += f" (the preview, a moment before, said {foreseen:,})"
    record(transaction, actor, "retry", said, again.manager_id, again.job_id, once)
    return done


def told(done: Retried) -> str:
    """What a retry did."""
    said = f"{items(done.items)} run{'s' if done.items == 1 else ''} again"
    return f"{said}; evaluated again: {', '.join(done.steps)}" if done.steps else said


_told = re.compile(
    r".*: ([0-9,]+) work items? runs? again(?:; evaluated again: (.*?))?(?: \(the preview, a moment before, [^)]*\))?",
    re.DOTALL,
)


def _retried_before(said: str) -> Retried:
    """What a retry did, read from its record: the inverse of `told`."""
    found = _told.fullmatch(said)
    assert found is not None, said
    return Retried(int(found[1].replace(",", "")), found[2].split(", ") if found[2] else [])


def delete_as(transaction: Transaction, manager_id: int, actor: Actor, why: str = "", most: int = BATCH) -> bool:
    """The first batch of a deletion; returns whether there is more to be deleted. Raises NotOver."""
    of_run = {"of_manager": manager_id}
    name = transaction.connection.execute(_run_name, of_run).scalar_one_or_none()
    is_new = name is not None and not is_being_deleted(transaction.connection, manager_id)
    number = transaction.connection.execute(_counted, of_run).scalar_one() or 0
    lines = transaction.connection.execute(_owned, of_run).scalar_one() or 0
    more = delete_run(transaction, manager_id, most)
    if is_new:
        said = f"deleted run {manager_id} ({name}) with {items(int(number))} and {lines:,} log lines"
        said += f": {why}" if why else ""
        record(transaction, actor, "delete", said, job_id=manager_id)
    return more


def _waiting_and_running(transaction: Transaction, manager_id: int) -> tuple[int, int]:
    numbers = {status: int(n) for status, n in transaction.connection.execute(_active, {"of_manager": manager_id})}
    return numbers.get(Status.PENDING, 0), numbers.get(Status.RUNNING, 0)


def _name(transaction: Transaction, target: Target) -> str:
    if target.worker_id is not None:
        name = transaction.connection.execute(_item_name, {"of_worker": target.worker_id}).scalar_one_or_none()
        return f"work item {name}"
    if target.step_id is not None:
        return f"step {transaction.connection.execute(_step_name, {'of_step': target.step_id}).scalar_one_or_none()}"
    return "the run"
