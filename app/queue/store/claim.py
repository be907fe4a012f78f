"""claim: pending work items become somebody's to run. release, rescue: they become pending again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Float, bindparam, func, select, update

from app.queue.among import among
from app.queue.changes import StepChanged, StepReleased, WorkAdded
from app.queue.limits import Limited
from app.queue.pauses import is_anything_paused, is_paused
from app.queue.status import MAX_ATTEMPTS, Status
from app.queue.store.counting import count
from app.queue.store.finish import Ending, finish
from app.queue.store.limiting import Ledger, limits_of
from app.queue.store.logging import log_line
from app.queue.store.lost import keep_lost, lost_before
from app.queue.store.waiting import Wait, forget_wait, note_wait
from app.queue.tables import attempt, manager_job, step_job, step_type_limit, step_wait, worker_job
from app.queue.waiting import next_attempt
from app.queue.whereabouts import here, told
from app.queue.writer import Transaction

PLAUSIBLE = 10.0
"""Seconds that a work item may have to wait before it is asked whether the clock was set back meanwhile."""


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """A work item that is the claimer's to run. `attempt` is the fence: only its latest attempt may end it."""

    id: int
    step_id: int
    name: str
    input: Any
    attempt: int


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """When the time of a run or a step will be over, and how many seconds it has in all."""

    at: float
    limit: float


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
    deadline: Deadline | None
    """Of the step or of its run, whichever comes first."""
    paused: bool = False
    """Whether nothing of it may begin."""
    priority: int = 0
    """Of its run: the higher goes first."""
    limits: tuple[Limited, ...] = ()
    """What its work items may not exceed, together with others."""
    definition: str = ""
    waits: bool = False
    """Whether it says what its work items wait for (see `StepWait`)."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim took. `due_at`: per step of which all was taken that may begin now, when to ask again, if any is
    left; None: it will be told. `limited`: those of them of which a limit keeps more from beginning."""

    items: list[ClaimedItem]
    due_at: dict[int, float | None]
    limited: set[int] = field(default_factory=set)


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
_any_due = (
    select(worker_job.c.id)
    .where(
        worker_job.c.step_id == bindparam("of_step"),
        worker_job.c.status == Status.PENDING,
        worker_job.c.due_at <= bindparam("now"),
    )
    .limit(1)
)
_next_due = select(func.min(worker_job.c.due_at)).where(
    worker_job.c.step_id == bindparam("of_step"), worker_job.c.status == Status.PENDING
)
_last_ended = (
    select(attempt.c.finished_at)
    .where(attempt.c.worker_id == worker_job.c.id, attempt.c.number == worker_job.c.attempt)
    .scalar_subquery()
    .correlate(worker_job)
)
_wait_from_now = (
    update(worker_job)
    .where(
        worker_job.c.step_id == bindparam("of_step"),
        worker_job.c.status == Status.PENDING,
        worker_job.c.due_at > _last_ended,
        _last_ended > bindparam("now"),
    )
    .values(due_at=bindparam("now", type_=Float) + worker_job.c.due_at - _last_ended)
)
_of_a_step = (
    "id",
    "manager_id",
    "name",
    "type",
    "settings",
    "timeout",
    "step_timeout",
    "deadline",
    "most_running",
    "rate",
)
_step_and_run = (
    select(
        *(step_job.c[name] for name in _of_a_step),  # only what is needed: this is asked at every claim
        manager_job.c.parameters,
        manager_job.c.deadline.label("run_deadline"),
        manager_job.c.timeout.label("run_timeout"),
        manager_job.c.definition,
        manager_job.c.priority,
        manager_job.c.most_running.label("run_most_running"),
        manager_job.c.rate.label("run_rate"),
        step_type_limit.c.most_running.label("type_most_running"),
        step_type_limit.c.rate.label("type_rate"),
        step_wait.c.step_id.label("wait_step"),
        is_anything_paused.label("anything_paused"),
    )
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .outerjoin(step_type_limit, step_type_limit.c.type == step_job.c.type)
    .outerjoin(step_wait, step_wait.c.step_id == step_job.c.id)
)
_steps = _step_and_run.where(among(step_job.c.id, "step_ids"))
_paused_steps = (
    select(step_job.c.id)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(among(step_job.c.id, "step_ids"), is_paused)
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
_running_of = _running.where(worker_job.c.claimed_by == bindparam("of_owner"))
_rescue = (
    update(worker_job)
    .where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    )
    # Due at once, whatever it had waited for before: the clock may have been set back since.
    .values(status=Status.PENDING, reason=bindparam("why"), started_at=None, due_at=0.0)
)
_running_steps = select(step_job).where(step_job.c.status == Status.RUNNING)
_plan_again = (
    update(step_job)
    .where(
        step_job.c.id == bindparam("of_step"),
        step_job.c.status == Status.RUNNING,
        step_job.c.planned.is_(False),
        step_job.c.plan_attempt == bindparam("by_attempt"),
    )
    .values(ready=True, plan_attempt=step_job.c.plan_attempt + 1)  # fences off whoever was planning it
    .returning(step_job.c.id)
)


def claim(transaction: Transaction, wanted: Mapping[int, int], by: str | None = None) -> Claimed:
    """Takes pending work items that are due: of each step (by id) up to that many, the longest waiting first, and never
    more than the limits allow. What is left of a limit goes to the steps in the order of `wanted`. A step of which 0
    are wanted finds out why it waits. `by`: the owner whose they are from now on."""
    return claim_of(transaction, steps_of(transaction, list(wanted)), wanted, by)


def claim_of(
    transaction: Transaction, found: Iterable[ClaimedStep], wanted: Mapping[int, int], by: str | None = None
) -> Claimed:
    """The same; `found`: those of the steps that there are."""
    steps = {step.step_id: step for step in found}
    claimed = Claimed([], dict.fromkeys(wanted.keys() - steps.keys()))  # nothing comes of steps that are gone
    ledger = Ledger(transaction, [each for step in steps.values() if not step.paused for each in step.limits])
    for step in (steps[step_id] for step_id in wanted if step_id in steps):
        if step.paused:
            claimed.due_at[step.step_id] = None  # whoever resumes tells of the work
            continue
        _claim_of(transaction, step, wanted[step.step_id], by or here(), claimed, ledger)
    return claimed


def _claim_of(
    transaction: Transaction, step: ClaimedStep, most: int, by: str, claimed: Claimed, ledger: Ledger
) -> None:
    room = ledger.room(step.limits) if step.limits else most
    items = _take(transaction, step, min(most, room or 0), by)
    claimed.items.extend(items)
    if items and not ledger.is_unlimited:
        ledger.took(step.limits, step.manager_id, (step.definition, step.name, step.type), len(items))
    refusal = ledger.refusal(step.limits, step.manager_id) if step.limits else None
    if len(items) == most and not refusal:
        if step.waits:
            forget_wait(transaction, _changed(step))
        return
    of_step = {"of_step": step.step_id, "now": transaction.now}
    if refusal and transaction.connection.execute(_any_due, of_step).first():
        claimed.due_at[step.step_id] = refusal.due_at
        claimed.limited.add(step.step_id)
        if refusal.wait:
            note_wait(transaction, _changed(step), refusal.wait)
        return
    next_due = claimed.due_at[step.step_id] = _next_due_of(transaction, step.step_id)
    if next_due is not None and next_due > transaction.now:
        note_wait(transaction, _changed(step), Wait("", next_attempt(next_due)))
    elif step.waits:
        forget_wait(transaction, _changed(step))


def _take(transaction: Transaction, step: ClaimedStep, most: int, by: str) -> list[ClaimedItem]:
    if most <= 0:
        return []
    parameters = {"of_step": step.step_id, "most": most, "now": transaction.now, "by": by}
    items = [ClaimedItem(*row) for row in transaction.connection.execute(_claim, parameters)]
    if items:
        count(transaction, step.step_id, {Status.PENDING: -len(items), Status.RUNNING: len(items)})
        transaction.changes.append(_changed(step))
    return sorted(items, key=lambda item: item.id)


def _next_due_of(transaction: Transaction, step_id: int) -> float | None:
    """When the next work item of a step is due. Attempts that ended in times to come were ended before the clock was
    set back, or by one that is ahead: their wait begins now."""
    of_step = {"of_step": step_id}
    due_at: float | None = transaction.connection.execute(_next_due, of_step).scalar_one()
    if due_at is None or due_at <= transaction.now + PLAUSIBLE:
        return due_at
    if transaction.connection.execute(_wait_from_now, {**of_step, "now": transaction.now}).rowcount:
        due_at = transaction.connection.execute(_next_due, of_step).scalar_one()
    return due_at


def _changed(step: ClaimedStep) -> StepChanged:
    return StepChanged(step.manager_id, step.step_id, step.name, Status.RUNNING)


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
    limits = ((row.deadline, row.step_timeout), (row.run_deadline, row.run_timeout))
    deadline = min((Deadline(at, limit) for at, limit in limits if at is not None), default=None)
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
        row.priority,
        limits_of(row),
        row.definition,
        row.wait_step is not None,
    )


def release(transaction: Transaction, step_id: int, items: Sequence[tuple[int, int]]) -> None:
    """Gives back items (id, attempt) whose work was ended on purpose before it was done: no attempt is spent."""
    released = 0
    for worker_id, number in items:
        fence = {"of_worker": worker_id, "by_attempt": number}
        released += transaction.connection.execute(_release, fence).one_or_none() is not None
    _count_back(transaction, step_id, released)


def release_plan(transaction: Transaction, step_id: int, attempt: int) -> None:
    """Gives back a step whose planning was ended on purpose before it was done."""
    fence = {"of_step": step_id, "by_attempt": attempt}
    if transaction.connection.execute(_plan_again, fence).one_or_none():
        transaction.changes.append(StepReleased(step_id))


def rescue(transaction: Transaction, owner: str | None = None) -> int:
    """Takes back everything that was running when its owner died; without a name, whoever owned it, before anything
    else runs. Returns how many items.

    The lost attempt stays spent: an item that ends its owner again and again fails by itself.
    """
    rescued = 0
    for step in transaction.connection.execute(_running_steps).all():
        number = _rescue_items(transaction, step.id, owner)
        rescued += number
        if owner is None or step.planned_by == owner:
            release_plan(transaction, step.id, step.plan_attempt)
        if owner and number:
            items = f"{number:,} work item{'s' if number != 1 else ''}"
            log_line(transaction, step.id, "warn", f"{items} taken over from {told(owner)}, which gave no heartbeat")
    return rescued


def _rescue_items(transaction: Transaction, step_id: int, owner: str | None) -> int:
    found = _running_of if owner else _running
    items = transaction.connection.execute(
        found, {"of_step": step_id, "of_owner": owner} if owner else {"of_step": step_id}
    ).all()
    spent = [item for item in items if item.lost >= MAX_ATTEMPTS]
    again = [item for item in items if item.lost < MAX_ATTEMPTS]
    moved = 0
    for item in again:
        keep_lost(
            transaction, item.id, item.attempt, f"lost: {told(owner) if owner else 'the server'} ended while it ran"
        )
        why = f"attempt {item.attempt} was lost {f'with {told(owner)}' if owner else 'when the server ended'}"
        fence = {"of_worker": item.id, "by_attempt": item.attempt, "why": why}
        moved += transaction.connection.execute(_rescue, fence).rowcount
    _count_back(transaction, step_id, moved)
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
        WorkAdded(step_id, 0.0, number),
    ]
