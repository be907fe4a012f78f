"""The audit of schedules: each can be understood and waits for a tick of its own, and what ticks say of runs is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.engine import Connection

from app.queue.tables import manager_job, schedule, schedule_tick, sequence, step_job, worker_job
from app.queue.ticks import Cron, Outcome, check_expression, zone_of


def schedules(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(schedule).order_by(schedule.c.definition)):
        try:
            check_expression(row.cron, zone_of(row.time_zone))
        except ValueError as error:
            yield f"schedule of {row.definition}: {row.cron!r} in {row.time_zone!r} cannot be understood: {error}"
            continue
        if row.next_at is not None and Cron(row.cron, row.time_zone).after(row.next_at - 1) != row.next_at:
            told = f"{row.cron} in {row.time_zone}"
            yield f"schedule of {row.definition}: it waits for {row.next_at}, when {told} does not tick"
        if row.next_at is not None and row.paused_at is None and row.paused_by:
            yield f"schedule of {row.definition}: it goes on, but says that {row.paused_by} paused it"


def ticks(connection: Connection) -> Iterator[str]:
    """A run that a tick names may have been deleted since, but it has been one, and of the same definition."""
    last = connection.execute(select(sequence.c.value).where(sequence.c.name == "job")).scalar_one()
    started = schedule_tick.c.outcome == Outcome.STARTED
    for row in connection.execute(select(schedule_tick).where(started, schedule_tick.c.manager_id.is_(None))):
        yield f"{_named(row)}: it started a run, but does not say which"
    of_others = [
        schedule_tick.c.manager_id > last,
        select(step_job.c.id).where(step_job.c.id == schedule_tick.c.manager_id).exists(),
        select(worker_job.c.id).where(worker_job.c.id == schedule_tick.c.manager_id).exists(),
    ]
    for row in connection.execute(select(schedule_tick).where(or_(*of_others))):
        yield f"{_named(row)}: it names run {row.manager_id}, which never was one"
    foreign = select(schedule_tick, manager_job.c.definition.label("other")).join(
        manager_job, manager_job.c.id == schedule_tick.c.manager_id
    )
    for row in connection.execute(foreign.where(manager_job.c.definition != schedule_tick.c.definition)):
        yield f"{_named(row)}: it names run {row.manager_id}, which is one of {row.other}"
    twice = select(schedule_tick.c.manager_id, func.count().label("number")).where(started)
    twice = twice.group_by(schedule_tick.c.manager_id).having(func.count() > 1, schedule_tick.c.manager_id.is_not(None))
    for manager_id, number in connection.execute(twice):
        yield f"run {manager_id}: {number} ticks say that they started it"
    by_ticks = select(schedule_tick.c.manager_id).where(started, schedule_tick.c.manager_id.is_not(None))
    scheduled = select(manager_job.c.id).where(manager_job.c.scheduled_for.is_not(None))
    for manager_id in connection.execute(scheduled.where(manager_job.c.id.not_in(by_ticks))).scalars():
        yield f"job {manager_id}: it says that its schedule started it, but no tick has"


def _named(row: Any) -> str:
    return f"tick {row.at} of {row.definition}"
