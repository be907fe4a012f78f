"""schedules: a tick is dealt with once, whoever comes first, and together with the run that it starts.

What makes it once is the row of the tick, added in the transaction of the start: a crash undoes both or neither, and a
second server, or the same one after its clock was set back, finds the row there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.queue.actor import Actor, Place
from app.queue.changes import ScheduleChanged
from app.queue.definition_actions import said_of_definition
from app.queue.run_plan import RunPlan
from app.queue.schedule_reading import ScheduleRecord, schedules
from app.queue.store.actions import record
from app.queue.store.start import AlreadyRunning, DefinitionDisabled, start
from app.queue.tables import manager_job, schedule, schedule_tick
from app.queue.ticks import Cron, Due, Outcome
from app.queue.writer import Transaction

SKIPPED_ARE_KEPT = 35 * 86_400
"""Seconds for which a skipped tick is remembered. One that started a run is for good."""
_DAY = 86_400


class NotItsTurn(Exception):
    """The definition is running, and the tick waits for the end of that."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What became of a tick."""

    outcome: Outcome
    reason: str
    manager_id: int | None


def known_schedules(transaction: Transaction) -> dict[str, ScheduleRecord]:
    """Every schedule as it stands, by definition."""
    return schedules(transaction.connection)


def set_schedule(transaction: Transaction, definition: str, cron: Cron, next_at: int | None) -> None:
    """A definition has this schedule from now on; `next_at` is its first tick. A pause goes on.

    The schedule that it has already, since another server said so, goes on as it is.
    """
    values = {"cron": cron.expression, "time_zone": cron.time_zone, "next_at": next_at}
    differs = (schedule.c.cron != cron.expression) | (schedule.c.time_zone != cron.time_zone)
    added = _insert(transaction, schedule).values(definition=definition, paused_by="", **values)
    transaction.connection.execute(
        added.on_conflict_do_update(
            index_elements=["definition"], set_=values, where=differs | schedule.c.next_at.is_(None)
        )
    )
    transaction.changes.append(ScheduleChanged(definition))


def end_schedule(transaction: Transaction, definition: str) -> None:
    """A definition has no schedule any more. What became of its ticks stays."""
    _change(transaction, definition, schedule.c.next_at.is_not(None), next_at=None)


def go_back(transaction: Transaction, definition: str, cron: Cron, now: float) -> None:
    """The clock was set back: the next tick is the first one from now on that was not dealt with."""
    dealt_with = select(schedule_tick.c.at).where(schedule_tick.c.definition == definition, schedule_tick.c.at > now)
    taken = set(transaction.connection.execute(dealt_with).scalars())
    next_at = next((tick for tick in cron.ticks(now) if tick not in taken), None)
    if next_at is not None:
        _change(transaction, definition, schedule.c.next_at > next_at, next_at=next_at)


def deal_with_tick(
    transaction: Transaction, definition: str, expected: int, due: Due, plan: RunPlan | None, stamp: str
) -> Dealt | None:
    """Starts the run of a tick, or records why none was started; None if it had been dealt with, or is paused.

    `expected`: the `next_at` from which the tick was computed. `stamp`: the tick as its run is to show it. Without a
    plan nothing is started. Raises NotItsTurn.
    """
    moved = _change(
        transaction,
        definition,
        schedule.c.next_at == expected,
        schedule.c.paused_at.is_(None),
        next_at=due.next_at,
    )
    if not moved or not _take(transaction, definition, due.tick):
        return None
    dealt = _start(transaction, due, plan, stamp) if plan else Dealt(Outcome.SKIPPED, due.reason, None)
    transaction.connection.execute(
        update(schedule_tick)
        .where(schedule_tick.c.definition == definition, schedule_tick.c.at == due.tick)
        .values(outcome=dealt.outcome, reason=dealt.reason, manager_id=dealt.manager_id)
    )
    return dealt


def pause_schedule(transaction: Transaction, definition: str, actor: Actor) -> bool:
    """Ticks pass without a run until somebody resumes; False if it was paused, or has no schedule."""
    is_paused = _change(
        transaction,
        definition,
        schedule.c.paused_at.is_(None),
        schedule.c.next_at.is_not(None),
        paused_at=transaction.now,
        paused_by=actor.who,
    )
    if is_paused:
        record(transaction, actor, "pause", said_of_definition("paused the schedule", definition))
    return is_paused


def resume_schedule(transaction: Transaction, definition: str, now: float, actor: Actor) -> bool:
    """Goes on with the next tick; those of the pause are not made up for. False if it was not paused."""
    query = select(schedule).where(schedule.c.definition == definition)
    row = transaction.connection.execute(query).one_or_none()
    if row is None:
        return False
    next_at = None if row.next_at is None else Cron(row.cron, row.time_zone).after(now)
    goes_on = _change(
        transaction, definition, schedule.c.paused_at.is_not(None), paused_at=None, paused_by="", next_at=next_at
    )
    if goes_on:
        record(transaction, actor, "resume", said_of_definition("resumed the schedule", definition))
    return goes_on


def _start(transaction: Transaction, due: Due, plan: RunPlan, stamp: str) -> Dealt:
    try:
        manager_id = start(transaction, plan)
    except DefinitionDisabled as refusal:
        return Dealt(Outcome.SKIPPED, str(refusal), None)
    except AlreadyRunning as refusal:
        if due.waits:
            raise NotItsTurn from refusal
        return Dealt(Outcome.SKIPPED, f"job {refusal.manager_id} was still running", refusal.manager_id)
    transaction.connection.execute(
        update(manager_job).where(manager_job.c.id == manager_id).values(scheduled_for=stamp)
    )
    record(transaction, Actor(Place.SCHEDULE), "start", f"started it for {stamp}", manager_id, manager_id)
    return Dealt(Outcome.STARTED, due.reason, manager_id)


def _take(transaction: Transaction, definition: str, tick: int) -> bool:
    """Whether nobody has dealt with the tick before; from now on somebody has."""
    row = {"definition": definition, "at": tick, "outcome": Outcome.SKIPPED, "reason": ""}
    added = (
        _insert(transaction, schedule_tick)
        .values(**row, dealt_with_at=transaction.now)
        .on_conflict_do_nothing()
        .returning(schedule_tick.c.at)
    )
    if transaction.connection.execute(added).first() is None:
        return False
    long_ago = schedule_tick.c.at.between(tick - SKIPPED_ARE_KEPT - _DAY, tick - SKIPPED_ARE_KEPT)
    transaction.connection.execute(
        delete(schedule_tick).where(
            schedule_tick.c.definition == definition, long_ago, schedule_tick.c.outcome == Outcome.SKIPPED
        )
    )
    return True


def _change(transaction: Transaction, definition: str, *conditions: Any, **values: Any) -> bool:
    changed = update(schedule).where(schedule.c.definition == definition, *conditions).values(**values)
    if transaction.connection.execute(changed).rowcount == 0:
        return False
    transaction.changes.append(ScheduleChanged(definition))
    return True


def _insert(transaction: Transaction, table: Any) -> Any:
    """The INSERT of this database, that knows what to do when the row is there."""
    made = sqlite.insert if transaction.connection.dialect.name == "sqlite" else postgresql.insert
    return made(table)
