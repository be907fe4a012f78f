"""Reading schedules: what comes next, and what became of the ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from app.queue.tables import schedule, schedule_tick
from app.queue.ticks import Cron, Outcome


@dataclass(frozen=True, slots=True)
class TickRecord:
    """A tick that was dealt with. `manager_id`: the run that it started; it may have been deleted since."""

    at: int
    outcome: Outcome
    reason: str
    manager_id: int | None


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it stands. `next_at`: the first tick that was not dealt with."""

    definition: str
    cron: Cron
    next_at: int | None
    paused_at: float | None
    paused_by: str
    last: TickRecord | None


_other = schedule_tick.alias()
_newest = select(func.max(_other.c.at)).where(_other.c.definition == schedule.c.definition).scalar_subquery()
_schedules = (
    select(
        schedule,
        schedule_tick.c.at,
        schedule_tick.c.outcome,
        schedule_tick.c.reason,
        schedule_tick.c.manager_id,
    )
    .select_from(schedule)
    .outerjoin(schedule_tick, (schedule_tick.c.definition == schedule.c.definition) & (schedule_tick.c.at == _newest))
    .order_by(schedule.c.definition)
)


def schedules(connection: Connection) -> dict[str, ScheduleRecord]:
    """By definition."""
    return {row.definition: _schedule(row) for row in connection.execute(_schedules)}


def _schedule(row: Any) -> ScheduleRecord:
    last = None if row.at is None else _tick(row)
    return ScheduleRecord(
        row.definition, Cron(row.cron, row.time_zone), row.next_at, row.paused_at, row.paused_by, last
    )


def ticks_of(connection: Connection, definition: str, limit: int) -> tuple[TickRecord, ...]:
    query = (
        select(schedule_tick)
        .where(schedule_tick.c.definition == definition)
        .order_by(schedule_tick.c.at.desc())
        .limit(limit)
    )
    return tuple(map(_tick, connection.execute(query)))


def _tick(row: Any) -> TickRecord:
    return TickRecord(row.at, row.outcome, row.reason, row.manager_id)
