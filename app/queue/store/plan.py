"""plan: a step's work items are made, by its planning or by work items that found more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, bindparam, select, update

from app.queue.among import among
from app.queue.changes import RunChanged, StepChanged, WorkAdded
from app.queue.pauses import is_paused
from app.queue.prepared import PreparedInsert
from app.queue.status import ACTIVE, Status, Verdict
from app.queue.store.acknowledge import open_planning
from app.queue.store.claim import ClaimedStep, steps_of
from app.queue.store.counting import count, counts_of
from app.queue.store.logging import log_line
from app.queue.store.roll_up import advance, end_step, roll_up, stop_work
from app.queue.store.workforce import note_not_offered
from app.queue.tables import manager_job, step_job, worker_job
from app.queue.text import storable, stored_json
from app.queue.whereabouts import here
from app.queue.writer import Transaction


@dataclass(frozen=True, slots=True)
class ClaimedPlan:
    """A step that is the claimer's to plan. `attempt` is the fence: only its latest planner may add to it."""

    step: ClaimedStep
    attempt: int


@dataclass(frozen=True, slots=True)
class NewItem:
    """A work item to be added."""

    name: str
    input: Any = None
    at_most: int | None = None
    """It is left out when its step has that many work items."""


_ready = (
    select(step_job.c.id)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(step_job.c.ready, step_job.c.status.in_(ACTIVE), ~is_paused)
    .order_by(manager_job.c.priority.desc(), step_job.c.id)
    .limit(bindparam("most"))
)
_is_offered, _is_meant = among(step_job.c.type, "types"), among(step_job.c.id, "step_ids")
_READY = {
    (False, False): _ready,
    (False, True): _ready.where(_is_meant),
    (True, False): _ready.where(_is_offered),
    (True, True): _ready.where(_is_offered, _is_meant),
}
"""By whether only some step types are offered, and only some steps meant."""
_claim_plan = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.ready, step_job.c.status.in_(ACTIVE))
    .values(
        status=Status.RUNNING,
        reason="planning work items",
        ready=False,
        plan_attempt=step_job.c.plan_attempt + 1,
        planned_by=bindparam("by"),
        started_at=bindparam("now"),
        deadline=bindparam("now", type_=Float) + step_job.c.step_timeout,
    )
    .returning(step_job)
)
_start_manager = (
    update(manager_job)
    .where(manager_job.c.id == bindparam("of_manager"), manager_job.c.status == Status.PENDING)
    .values(
        status=Status.RUNNING,
        reason="",
        started_at=bindparam("now"),
        deadline=bindparam("now", type_=Float) + manager_job.c.timeout,
    )
    .returning(manager_job.c.id)
)
_planning_step = select(step_job.c.manager_id, step_job.c.name).where(
    step_job.c.id == bindparam("of_step"),
    step_job.c.status == Status.RUNNING,
    step_job.c.plan_attempt == bindparam("by_attempt"),
    step_job.c.planned.is_(False),
)
_end_planning = (
    update(step_job)
    .where(
        step_job.c.id == bindparam("of_step"),
        step_job.c.status == Status.RUNNING,
        step_job.c.plan_attempt == bindparam("by_attempt"),
        step_job.c.planned.is_(False),
    )
    .values(planned=True, reason="")
    .returning(step_job.c.manager_id, step_job.c.name)
)
_known = select(worker_job.c.name).where(
    worker_job.c.step_id == bindparam("of_step"), worker_job.c.name.in_(bindparam("names", expanding=True))
)
_spawning_step = (
    select(step_job.c.manager_id, step_job.c.name)
    .join(worker_job, worker_job.c.step_id == step_job.c.id)
    .where(
        worker_job.c.id == bindparam("by_worker"),
        worker_job.c.attempt == bindparam("by_attempt"),
        worker_job.c.status == Status.RUNNING,
        step_job.c.status == Status.RUNNING,
    )
)
_insert_items = PreparedInsert(
    worker_job,
    ("id", "manager_id", "step_id", "name", "status", "reason", "attempt", "due_at", "input", "created_at"),
)


def claim_plans(
    transaction: Transaction,
    most: int,
    by: str | None = None,
    offered: Collection[str] | None = None,
    only: Collection[int] | None = None,
) -> list[ClaimedPlan]:
    """Takes up to that many steps that wait to be planned; each is running from now on, and so is its run. `by`: the
    owner who plans them. `offered`: the step types that the claimer knows, if not all; the others wait for somebody who
    does, and say so. `only`: no other steps than these are meant."""
    values: dict[str, Any] = {"most": most}
    if offered is not None:
        values["types"] = sorted(offered)
    if only is not None:
        values["step_ids"] = sorted(only)
    ready = _READY[offered is not None, only is not None]
    step_ids = transaction.connection.execute(ready, values).scalars().all()
    if offered is not None and only is None and len(step_ids) < most:
        note_not_offered(transaction, offered)  # no other can be left
    claimed = (_claim_one_plan(transaction, step_id, by or here()) for step_id in step_ids)
    return [plan for plan in claimed if plan]


def _claim_one_plan(transaction: Transaction, step_id: int, by: str) -> ClaimedPlan | None:
    claim = {"of_step": step_id, "now": transaction.now, "by": by}
    step = transaction.connection.execute(_claim_plan, claim).one_or_none()
    if step is None:
        return None
    of_manager = {"of_manager": step.manager_id}
    if transaction.connection.execute(_start_manager, {**of_manager, "now": transaction.now}).one_or_none():
        transaction.changes.append(RunChanged(step.manager_id, Status.RUNNING))
    transaction.changes.append(StepChanged(step.manager_id, step_id, step.name, Status.RUNNING))
    (claimed,) = steps_of(transaction, [step_id])
    return ClaimedPlan(claimed, step.plan_attempt)


def plan(transaction: Transaction, step_id: int, attempt: int, items: Sequence[NewItem]) -> bool:
    """Adds work items to a step that is being planned; returns False, adding none, if it is no longer the caller's."""
    fence = {"of_step": step_id, "by_attempt": attempt}
    step = transaction.connection.execute(_planning_step, fence).one_or_none()
    if step is None:
        return False
    _add(transaction, step.manager_id, step_id, step.name, items)
    return True


def end_planning(
    transaction: Transaction, step_id: int, attempt: int, last: Sequence[NewItem] = (), total: int | None = None
) -> bool:
    """Planning has yielded its `last` items; a step that has nothing to do, or has done it all by now, ends here. Says
    in the log that there were `total` of them. Returns False, changing nothing, if the step is no longer the caller's.
    """
    fence = {"of_step": step_id, "by_attempt": attempt}
    step = transaction.connection.execute(_end_planning, fence).one_or_none()
    if step is None:
        return False
    added = _add(transaction, step.manager_id, step_id, step.name, last) if last else 0
    if total is not None:
        log_line(transaction, step_id, "info", f"planned {total:,} work item{'s' if total != 1 else ''}")
    if not added:  # else there is work to do
        roll_up(transaction, step_id)
    return True


def fail_planning(transaction: Transaction, step_id: int, attempt: int, error: str) -> None:
    """Planning failed, and so the step does, with that reason; what it had planned is cancelled."""
    fence = {"of_step": step_id, "by_attempt": attempt}
    step = transaction.connection.execute(_planning_step, fence).one_or_none()
    if step is None:
        return
    reason = f"planning failed: {storable(error)}"
    stop_work(transaction, step_id, reason)
    end_step(transaction, step_id, Verdict(Status.FAILED, reason))
    open_planning(transaction, step_id)
    advance(transaction, step.manager_id)


def spawn(transaction: Transaction, step_id: int, worker_id: int, attempt: int, items: Sequence[NewItem]) -> bool:
    """Adds work items that a running work item found to its own step; False, adding none, if it runs no longer."""
    fence = {"by_worker": worker_id, "by_attempt": attempt}
    step = transaction.connection.execute(_spawning_step, fence).one_or_none()
    if step is None:
        return False
    _add(transaction, step.manager_id, step_id, step.name, items)
    return True


def _add(transaction: Transaction, manager_id: int, step_id: int, step_name: str, items: Sequence[NewItem]) -> int:
    """Returns how many were added."""
    named = {storable(item.name): item for item in items}
    known = set(transaction.connection.execute(_known, {"of_step": step_id, "names": list(named)}).scalars())
    fresh = [(name, item) for name, item in named.items() if name not in known]
    if any(item.at_most is not None for _, item in fresh):
        fresh = _those_with_room(sum(counts_of(transaction, step_id).values()), fresh)
    if not fresh:
        return 0
    pending, now = Status.PENDING.value, transaction.now
    rows = [
        (worker_id, manager_id, step_id, name, pending, "", 0, 0.0, stored_json(item.input), now)
        for worker_id, (name, item) in zip(transaction.new_ids(len(fresh)), fresh, strict=True)
    ]
    _insert_items.execute(transaction.connection, rows)
    count(transaction, step_id, {Status.PENDING: len(rows)})
    transaction.changes += [
        StepChanged(manager_id, step_id, step_name, Status.RUNNING),
        WorkAdded(step_id, 0.0, len(rows)),
    ]
    return len(rows)


def _those_with_room(present: int, items: Sequence[tuple[str, NewItem]]) -> list[tuple[str, NewItem]]:
    """Those that may still be added to a step that has so many work items, in their order."""
    added: list[tuple[str, NewItem]] = []
    for name, item in items:
        if item.at_most is None or present + len(added) < item.at_most:
            added.append((name, item))
    return added
