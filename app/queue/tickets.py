"""tickets: where Procrastinate hands out the work, whatever can be claimed has a ticket that somebody may draw.

A ticket carries the id of a step and how many of its work items it stands for, nothing else: the rows are the truth,
and a ticket that is drawn twice or too late finds nothing to claim. Tickets are made in the transaction that makes the
work claimable, from the changes that it makes, and used up in the one that claims. Whoever cannot use up what a ticket
stands for lets the step be looked at again, which is one ticket per step, however often it is asked for.

They go into the table as rows, not through Procrastinate's function: that refuses a whole transaction when a ticket to
look again is there already.

Those of equal priority are drawn in the order in which they were made. So that nobody waits for all of a wide step, it
never has tickets for much more than two rounds: what fills everybody who works is one. Between the two is a ticket to
look again; whoever uses that one up makes those of the next round, behind all that others have waiting by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.engine import Connection

from app.queue.among import among
from app.queue.changes import Change, PriorityChanged, StepReleased, WorkAdded
from app.queue.engine_fact import is_procrastinate
from app.queue.engine_reading import ticketless
from app.queue.status import Status
from app.queue.store.claim import Claimed, ClaimedStep, claim, steps_of
from app.queue.store.plan import ClaimedPlan, claim_plans
from app.queue.tables import manager_job, owner, step_counter, step_job
from app.queue.writer import Transaction

FEW = 500
"""Work items of a step up to which each has a ticket of its own."""
CHUNK = 50
"""Work items that a ticket stands for beyond that, and at most."""
ITEMS, PLAN = "stepglass.items", "stepglass.plan"
"""What a ticket is for, as the names of Procrastinate's tasks."""
LONGEST_QUEUE = 36
"""Bytes of a queue's name; Procrastinate makes the name of a channel of it, which has at most 63."""
LATER = 0.1
"""Seconds within which work that falls due shares a ticket."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that somebody has drawn. `most`: work items that it stands for; 0: it is for planning."""

    id: int
    step_id: int
    most: int = 0
    again: bool = False
    """Whether it is to be followed by another one for as long as anything is left."""


class _New(NamedTuple):
    """Tickets to be made: `number` of them, `delay` seconds from now (None: at once). Of those with the same lock only
    one waits."""

    queue: str
    task: str
    priority: int
    lock: str | None
    args: str
    delay: float | None
    number: int = 1


def _of_all_who_work(number: ColumnElement[int]) -> ScalarSelect[int]:
    return select(func.coalesce(func.sum(number), 0)).where(owner.c.ended_at.is_(None)).scalar_subquery()


_items = func.coalesce(func.sum(step_counter.c.number), 0)
_pending = func.coalesce(func.sum(step_counter.c.number).filter(step_counter.c.status == Status.PENDING), 0)
_steps = (
    select(
        step_job.c.id,
        step_job.c.type,
        manager_job.c.priority,
        _items.label("items"),
        _pending.label("pending"),
        _of_all_who_work(owner.c.slots).label("slots"),
        _of_all_who_work((owner.c.slots + CHUNK - 1) // CHUNK).label("chunks_of_slots"),
    )
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .outerjoin(step_counter, step_counter.c.step_id == step_job.c.id)
    .where(among(step_job.c.id, "step_ids"), is_procrastinate)
    .group_by(step_job.c.id, step_job.c.type, manager_job.c.priority)
)
_INSERT = """
INSERT INTO stepglass_engine.procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args, scheduled_at)
SELECT queue, task, priority, lock, args::jsonb, clock_timestamp() + make_interval(secs => delay)
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::float8[], %s::int[])
     AS made (queue, task, priority, lock, args, delay, number),
     generate_series(1, number)
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
"""
_USE_UP = "DELETE FROM stepglass_engine.procrastinate_jobs WHERE id = ANY(%s)"
_PRIORITISE = (
    "UPDATE stepglass_engine.procrastinate_jobs SET priority = %s WHERE status = 'todo' AND priority <> %s"
    " AND coalesce(args ->> 'step', args ->> 'plan')::bigint IN (SELECT id FROM step_job WHERE manager_id = %s)"
)
_is_engine = select(is_procrastinate)
_running = select(step_job.c.id).where(among(step_job.c.id, "step_ids"), step_job.c.status == Status.RUNNING)


def queue_of(task: str, step_type: str) -> str:
    """Where tickets for a step type wait. Long names are shortened, and stay different."""
    name = step_type if task == ITEMS else f"plan {step_type}"
    if len(name.encode()) <= LONGEST_QUEUE:
        return name
    return f"{name.encode()[:16].decode(errors='ignore')}~{sha256(name.encode()).hexdigest()[:16]}"


def has_tickets(connection: Connection) -> bool:
    """Whether the database is worked by Procrastinate."""
    return bool(connection.execute(_is_engine).scalar_one())


def enqueue(connection: Connection, changes: Iterable[Change], now: float) -> None:
    """Makes the tickets for what these changes, which are about to be committed, let be claimed; none if the database
    is worked by the embedded runners. `now`: by the clock of the queue."""
    work = [change for change in changes if isinstance(change, WorkAdded | StepReleased)]
    if work:
        found = connection.execute(_steps, {"step_ids": sorted({change.step_id for change in work})}).all()
        steps = {step.id: step for step in found}
        _make(
            connection,
            [new for change in work if (step := steps.get(change.step_id)) for new in _for(change, step, now)],
        )
    for change in changes:
        if isinstance(change, PriorityChanged) and connection.execute(_is_engine).scalar_one():
            values = (change.priority, change.priority, change.manager_id)
            connection.exec_driver_sql(_PRIORITISE, values)


def _for(change: WorkAdded | StepReleased, step: Any, now: float) -> list[_New]:
    if isinstance(change, StepReleased):
        return [_New(queue_of(PLAN, step.type), PLAN, step.priority, f"plan {step.id}", _json(plan=step.id), None)]
    queue = queue_of(ITEMS, step.type)
    again = _json(step=step.id, most=CHUNK, again=True)
    if change.due_at > now:
        due = math.ceil(change.due_at / LATER)
        return [_New(queue, ITEMS, step.priority, f"step {step.id} at {due}", again, due * LATER - now)]
    look_again = _New(queue, ITEMS, step.priority, f"step {step.id}", again, None)
    if change.goes_on:
        return [look_again, *_next_round(step, queue)] if step.pending else []
    return _first_rounds(change.items, step, queue, look_again) if change.items else [look_again]


def _first_rounds(items: int, step: Any, queue: str, look_again: _New) -> list[_New]:
    """Of those that were added, and only up to two rounds together with what the step had before."""
    most, in_round = _round(step)
    had = math.ceil(max(0, step.pending - items) / most)
    number = min(math.ceil(items / most), max(0, 2 * in_round - had))
    if number * most >= items:
        return _standing_for(items, step, queue, most)
    last = min(number, in_round)
    first, second = (_standing_for(each * most, step, queue, most) for each in (number - last, last))
    return [*first, look_again, *second]


def _next_round(step: Any, queue: str) -> list[_New]:
    """The one that is waiting is the last but these."""
    most, in_round = _round(step)
    left = step.pending - in_round * most
    return _standing_for(min(left, in_round * most), step, queue, most) if left > 0 else []


def _round(step: Any) -> tuple[int, int]:
    """How many work items a ticket of the step stands for, and how many tickets make a round."""
    return (1, max(step.slots, CHUNK // 2)) if step.items <= FEW else (CHUNK, max(step.chunks_of_slots, 1))


def _standing_for(items: int, step: Any, queue: str, most: int) -> list[_New]:
    number, rest = divmod(items, most)
    parts = ((most, number), (rest, 1 if rest else 0))
    return [
        _New(queue, ITEMS, step.priority, None, _json(step=step.id, most=most), None, number)
        for most, number in parts
        if number
    ]


def _json(**values: int) -> str:
    return msgspec.json.encode(values).decode()


def _make(connection: Connection, tickets: Sequence[_New]) -> None:
    if tickets:
        connection.exec_driver_sql(_INSERT, tuple(list(column) for column in zip(*tickets, strict=True)))


def make_missing(connection: Connection) -> None:
    """Makes tickets for all that can be worked on and has none: the engine is another one from now on, or a ticket was
    lost."""
    missing = ticketless(connection)
    enqueue(connection, [StepReleased(id) if is_plan else WorkAdded(id, 0.0) for id, is_plan in missing], 0.0)


def claim_by_tickets(
    transaction: Transaction, wanted: Mapping[int, int], by: str, held: Mapping[int, Sequence[Ticket]]
) -> tuple[Claimed, list[int]]:
    """Claims as `claim` does, on behalf of these tickets (by step). Returns, with what was claimed, which of them are
    used up."""
    claimed = claim(transaction, wanted, by)
    taken = dict.fromkeys(wanted, 0)
    for item in claimed.items:
        taken[item.step_id] += 1
    used: list[int] = []
    for step_id in wanted:
        tickets = held.get(step_id, ())
        if step_id in claimed.due_at:
            used += [ticket.id for ticket in tickets]
            due_at = claimed.due_at[step_id]
            if due_at is not None and tickets:  # without one, whoever makes more claimable makes tickets for it
                transaction.changes.append(WorkAdded(step_id, due_at))
        else:
            used += _used(transaction, step_id, tickets, taken[step_id])
    _use_up(transaction, used)
    return claimed, used


def _used(transaction: Transaction, step_id: int, tickets: Sequence[Ticket], taken: int) -> list[int]:
    """Which tickets stood for what was taken. What one stood for beyond that may be somebody else's to take."""
    used: list[int] = []
    again = False
    for ticket in tickets:
        if taken <= 0:
            break
        used.append(ticket.id)
        taken -= ticket.most
        again = again or ticket.again
    if again or taken < 0:
        transaction.changes.append(WorkAdded(step_id, 0.0, goes_on=again))
    return used


def claim_plans_by_tickets(transaction: Transaction, by: str, held: Sequence[Ticket]) -> list[ClaimedPlan]:
    """Claims the steps of these tickets to be planned, as far as they still wait for that; all of them are used up."""
    plans = claim_plans(transaction, len(held), by, only=[ticket.step_id for ticket in held])
    _use_up(transaction, [ticket.id for ticket in held])
    return plans


def _use_up(transaction: Transaction, ids: Sequence[int]) -> None:
    if ids:
        transaction.connection.exec_driver_sql(_USE_UP, (list(ids),))


def running_steps_of(transaction: Transaction, step_ids: Sequence[int]) -> list[ClaimedStep]:
    """Those of these steps that are running."""
    running = transaction.connection.execute(_running, {"step_ids": list(step_ids)}).scalars().all()
    return steps_of(transaction, running)
