"""claim: pending work items become somebody's to run. release, rescue: they become pending again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update

from app.queue.changes import StepChanged, StepReleased, WorkAdded
from app.queue.pauses import is_anything_paused, is_paused
from app.queue.status import MAX_ATTEMPTS, Status
from app.queue.store.counting import count
from app.queue.store.finish import Ending, finish
from app.queue.store.lost import keep_lost, lost_before
from app.queue.store.whereabouts import here
from app.queue.tables import manager_job, step_job, worker_job
from app.queue.writer import Transaction


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """A work item that is the claimer's to run. `attempt` is the fence: only its latest attempt may end it."""

    id: int
    step_id: int
    name: str
    input: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class ClaimedStep:
    """What the runner needs to know of the step of a claimed item."""

    step_id: int
    manager_id: int
    name: str
    type: str
    settings: dict[str, Any]
    parameters: dict[str, Any]
    timeout: float | None
    """Seconds that one work item may take."""
    deadline: float | None
    """When the time of the step or that of its run will be over, whichever comes first."""
    paused: bool = False
    """Whether nothing of it may begin."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim took. `due_at`: per step of which all due items were taken, when its next one is due, if any is
    left."""

    items: list[ClaimedItem]
    due_at: dict[int, float | None]


# Materialized, since PostgreSQL may otherwise look for due items anew for every item that it finds, and take more.
_due = (
    select(worker_job.c.id)
    .where(
        worker_job.c.step_id == bindparam("of_step"),
        worker_job.c.status == Status.PENDING,
        worker_job.c.due_at <= bindparam("now"),
    )
    .order_by(worker_job.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
    .prefix_with("MATERIALIZED")
)
_claim = (
    update(worker_job)
    .where(worker_job.c.status == Status.PENDING, worker_job.c.id.in_(select(_due.c.id)))
    .values(
        status=Status.RUNNING,
        attempt=worker_job.c.attempt + 1,
        reason="",
        error=None,  # those of an earlier attempt are kept with it
        traceback=None,
        claimed_by=bindparam("by"),
        started_at=bindparam("now"),
    )
    .returning(worker_job.c.id, worker_job.c.step_id, worker_job.c.name, worker_job.c.input, worker_job.c.attempt)
)
_next_due = select(func.min(worker_job.c.due_at)).where(
    worker_job.c.step_id == bindparam("of_step"), worker_job.c.status == Status.PENDING
)
_step_and_run = select(
    # Only what is needed: this is asked at every claim.
    *(step_job.c[name] for name in ("id", "manager_id", "name", "type", "settings", "timeout", "deadline")),
    manager_job.c.parameters,
    manager_job.c.deadline.label("run_deadline"),
    is_anything_paused.label("anything_paused"),
).join(manager_job, manager_job.c.id == step_job.c.manager_id)
_steps = _step_and_run.where(step_job.c.id.in_(bindparam("step_ids", expanding=True)))
_paused_steps = (
    select(step_job.c.id)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(step_job.c.id.in_(bindparam("step_ids", expanding=True)), is_paused)
)
_all_running = _step_and_run.where(step_job.c.status == Status.RUNNING)
_release = (
    update(worker_job)
    .where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    )
    .values(
        status=Status.PENDING, attempt=worker_job.c.attempt - 1, reason="given back", claimed_by=None, started_at=None
    )
    .returning(worker_job.c.id)
)
_running = select(worker_job.c.id, worker_job.c.attempt, (lost_before + 1).label("lost")).where(
    worker_job.c.step_id == bindparam("of_step"), worker_job.c.status == Status.RUNNING
)
_rescue = (
    update(worker_job)
    .where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    )
    .values(status=Status.PENDING, reason=bindparam("why"), started_at=None)
)
_running_steps = select(step_job).where(step_job.c.status == Status.RUNNING)
_plan_again = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.status == Status.RUNNING, step_job.c.planned.is_(False))
    .values(ready=True, plan_attempt=step_job.c.plan_attempt + 1)  # fences off whoever was planning it
    .returning(step_job.c.id)
)


def claim(transaction: Transaction, wanted: Mapping[int, int]) -> Claimed:
    """Takes pending work items that are due: of each step (by id) up to that many, the longest waiting first."""
    claimed = Claimed([], {})
    for step in steps_of(transaction, list(wanted)):
        if step.paused:
            claimed.due_at[step.step_id] = None  # whoever resumes tells of the work
            continue
        most = wanted[step.step_id]
        parameters = {"of_step": step.step_id, "most": most, "now": transaction.now, "by": here()}
        items = [ClaimedItem(*row) for row in transaction.connection.execute(_claim, parameters)]
        if len(items) < most:
            claimed.due_at[step.step_id] = transaction.connection.execute(_next_due, parameters).scalar_one()
        if items:
            claimed.items.extend(sorted(items, key=lambda item: item.id))
            count(transaction, step.step_id, {Status.PENDING: -len(items), Status.RUNNING: len(items)})
            transaction.changes.append(StepChanged(step.manager_id, step.step_id, step.name, Status.RUNNING))
    return claimed


def workable_steps(transaction: Transaction) -> list[ClaimedStep]:
    """The steps that are running, with or without pending work items."""
    return [_claimed_step(row) for row in transaction.connection.execute(_all_running)]


def steps_of(transaction: Transaction, step_ids: Sequence[int]) -> list[ClaimedStep]:
    """The steps of claimed items."""
    if not step_ids:
        return []
    rows = transaction.connection.execute(_steps, {"step_ids": list(step_ids)}).all()
    paused = set[int]()
    if rows and rows[0].anything_paused:
        paused.update(transaction.connection.execute(_paused_steps, {"step_ids": list(step_ids)}).scalars())
    return [_claimed_step(row, row.id in paused) for row in rows]


def _claimed_step(row: Any, paused: bool = False) -> ClaimedStep:
    deadline = min(filter(None, (row.deadline, row.run_deadline)), default=None)
    return ClaimedStep(
        row.id,
        row.manager_id,
        row.name,
        row.type,
        row.settings,
        row.parameters,
        row.timeout,
        deadline,
        paused,
    )


def release(transaction: Transaction, step_id: int, items: Sequence[tuple[int, int]]) -> None:
    """Gives back items (id, attempt) whose work was ended on purpose before it was done: no attempt is spent."""
    released = 0
    for worker_id, number in items:
        fence = {"of_worker": worker_id, "by_attempt": number}
        released += transaction.connection.execute(_release, fence).one_or_none() is not None
    _count_back(transaction, step_id, released)


def release_plan(transaction: Transaction, step_id: int) -> None:
    """Gives back a step whose planning was ended on purpose before it was done."""
    if transaction.connection.execute(_plan_again, {"of_step": step_id}).one_or_none():
        transaction.changes.append(StepReleased(step_id))


def rescue(transaction: Transaction) -> int:
    """Takes back everything that was running when its owner died, before anything else runs. Returns how many items.

    The lost attempt stays spent: an item that ends its owner again and again fails by itself.
    """
    rescued = 0
    for step in transaction.connection.execute(_running_steps).all():
        rescued += _rescue_items(transaction, step.id)
        release_plan(transaction, step.id)
    return rescued


def _rescue_items(transaction: Transaction, step_id: int) -> int:
    items = transaction.connection.execute(_running, {"of_step": step_id}).all()
    spent = [item for item in items if item.lost >= MAX_ATTEMPTS]
    again = [item for item in items if item.lost < MAX_ATTEMPTS]
    for item in again:
        why = f"attempt {item.attempt} was lost when the server ended"
        keep_lost(transaction, item.id, item.attempt, "lost: the server ended while it ran")
        transaction.connection.execute(_rescue, {"of_worker": item.id, "by_attempt": item.attempt, "why": why})
    _count_back(transaction, step_id, len(again))
    lost = f"lost {MAX_ATTEMPTS} times: each time the server ended while it ran"
    finish(transaction, step_id, [Ending(item.id, item.attempt, error=lost, permanent=True) for item in spent])
    return len(items)


def _count_back(transaction: Transaction, step_id: int, number: int) -> None:
    if not number:
        return
    count(transaction, step_id, {Status.RUNNING: -number, Status.PENDING: number})
    (step,) = steps_of(transaction, [step_id])
    transaction.changes += [
        StepChanged(step.manager_id, step_id, step.name, Status.RUNNING),
        WorkAdded(step_id, 0.0),
    ]
