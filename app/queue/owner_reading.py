"""Reading who works, and on what."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.queue.status import Status
from app.queue.tables import owner, step_job, worker_job

MOST_HELD = 1_000
"""Work items that are told apart by owner."""


@dataclass(frozen=True, slots=True)
class Held:
    """A work item, or a step that is being planned, in the hands of an owner."""

    job_id: int
    name: str
    step_name: str
    manager_id: int


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """A process that works, or did. `silence`: what is said of it while its beat is missing."""

    name: str
    started_at: float
    beat: int
    renewed_at: float
    lease: float
    slots: int
    version: str
    silence: str
    silent_since: float | None
    takeover_at: float | None
    ended_at: float | None
    end: str
    held: tuple[Held, ...] = ()


_columns = [owner.c[name] for name in OwnerRecord.__dataclass_fields__ if name != "held"]
_alive_first = select(*_columns).order_by(owner.c.ended_at.is_not(None), owner.c.ended_at.desc(), owner.c.name)
_items = (
    select(worker_job.c.claimed_by, worker_job.c.id, worker_job.c.name, step_job.c.name, step_job.c.manager_id)
    .join(worker_job, worker_job.c.step_id == step_job.c.id)
    .where(step_job.c.status == Status.RUNNING, worker_job.c.status == Status.RUNNING)
    .limit(MOST_HELD)
)
_plans = select(
    step_job.c.planned_by, step_job.c.id, step_job.c.name, step_job.c.name.label("step_name"), step_job.c.manager_id
).where(step_job.c.status == Status.RUNNING, ~step_job.c.planned, ~step_job.c.ready)


def owners(connection: Connection, most_ended: int = 0) -> tuple[OwnerRecord, ...]:
    """Those who live, with what they hold, and the last of those who have ended."""
    held: defaultdict[str | None, list[Held]] = defaultdict(list)
    for query in (_plans, _items):
        for name, *rest in connection.execute(query):
            held[name].append(Held(*rest))
    found = connection.execute(_alive_first).all()
    alive = sum(row.ended_at is None for row in found)
    return tuple(replace(OwnerRecord(*row), held=tuple(held[row.name])) for row in found[: alive + most_ended])
