"""Reading who works, and on what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from app.queue.limits import Limits, strictest
from app.queue.status import Status
from app.queue.tables import owner, step_job, worker_job
from app.queue.whereabouts import place_of

MOST_HELD = 1_000
"""Work items that are named, of all owners together."""
REMEMBERED = 3600.0
"""Seconds after the last sign of an owner of whom it is not known what it offers, for which it may offer anything."""


@dataclass(frozen=True, slots=True)
class Held:
    """A work item, or a step that is being planned, in the hands of an owner."""

    job_id: int
    name: str
    step_name: str
    manager_id: int
    is_planning: bool


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """A process that works, or did. `silence`: what is said of it while its beat is missing. `offers`: step types, and
    `limits`: those that it was told; null if it is of a version that did not say. `taken`: how many work items it has
    in hand, which may be more than its slots."""

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
    host: str
    pid: int
    kind: str
    label: str
    offers: Sequence[str] | None
    limits: Mapping[str, Sequence[int | str | None]] | None
    held: tuple[Held, ...] = ()
    taken: int = 0

    @property
    def beats_always(self) -> bool:
        """Also while it holds nothing, if there may be others."""
        return self.offers is not None

    @property
    def place(self) -> tuple[str, str]:
        """The machine and the number of the process."""
        return (self.host, str(self.pid)) if self.host else place_of(self.name)

    @property
    def type_limits(self) -> dict[str, Limits]:
        """The limits that it was told, by step type."""
        return limits_told(self.limits)


class Workforce(NamedTuple):
    """Those who live, taken together. `offers`: step types; None if it is not known of all of them."""

    offers: frozenset[str] | None
    limits: tuple[dict[str, Limits], ...]


@dataclass(frozen=True, slots=True)
class HoldingLimit:
    """The limits of a step type that hold, and of those who live the ones who were told so."""

    type: str
    limits: Limits
    of: tuple[OwnerRecord, ...]


def limits_that_hold(found: Iterable[OwnerRecord]) -> list[HoldingLimit]:
    """By step type, in order."""
    told = [(owner, owner.type_limits) for owner in found if owner.ended_at is None]
    holding = []
    for type, limits in sorted(strictest(each for _, each in told).items()):
        kinds = {("work_items", limits.work_items), ("rate", limits.rate)} - {("work_items", None), ("rate", None)}
        of = (owner for owner, its in told if type in its and any(getattr(its[type], kind) == n for kind, n in kinds))
        holding.append(HoldingLimit(type, limits, tuple(of)))
    return holding


def limits_told(stored: Mapping[str, Sequence[int | str | None]] | None) -> dict[str, Limits]:
    return {type: Limits(*each) for type, each in (stored or {}).items()}  # type: ignore[arg-type]


_computed = ("held", "taken")
_columns = [owner.c[name] for name in OwnerRecord.__dataclass_fields__ if name not in _computed]
_living = select(owner.c.offers, owner.c.limits, owner.c.slots, owner.c.renewed_at).where(owner.c.ended_at.is_(None))
_alive_first = select(*_columns).order_by(owner.c.ended_at.is_not(None), owner.c.ended_at.desc(), owner.c.name)
_items = (
    select(worker_job.c.claimed_by, worker_job.c.id, worker_job.c.name, step_job.c.name, step_job.c.manager_id)
    .join(worker_job, worker_job.c.step_id == step_job.c.id)
    .where(step_job.c.status == Status.RUNNING, worker_job.c.status == Status.RUNNING)
    .limit(MOST_HELD)
)
_taken = (
    select(worker_job.c.claimed_by, func.count().label("number"))
    .join(step_job, step_job.c.id == worker_job.c.step_id)
    .where(step_job.c.status == Status.RUNNING, worker_job.c.status == Status.RUNNING)
    .group_by(worker_job.c.claimed_by)
)
_plans = select(
    step_job.c.planned_by, step_job.c.id, step_job.c.name, step_job.c.name.label("step_name"), step_job.c.manager_id
).where(step_job.c.status == Status.RUNNING, ~step_job.c.planned, ~step_job.c.ready)


def owners(connection: Connection, most_ended: int = 0) -> tuple[OwnerRecord, ...]:
    """Those who live, with what they hold, and the last of those who have ended."""
    held: defaultdict[str | None, list[Held]] = defaultdict(list)
    for query in (_plans, _items):
        for name, job_id, job_name, step_name, manager_id in connection.execute(query):
            held[name].append(Held(job_id, job_name, step_name, manager_id, is_planning=query is _plans))
    taken = {row.claimed_by: row.number for row in connection.execute(_taken)}
    found = connection.execute(_alive_first).all()
    alive = sum(row.ended_at is None for row in found)
    return tuple(
        replace(OwnerRecord(*row), held=tuple(held[row.name]), taken=taken.get(row.name, 0))
        for row in found[: alive + most_ended]
    )


def workforce(connection: Connection, now: float) -> Workforce:
    """Those who live. One with slots that does not say what it offers may offer anything, if it was heard of not long
    ago."""
    found = connection.execute(_living).all()
    unsaid = any(row.offers is None and row.slots and row.renewed_at > now - REMEMBERED for row in found)
    offers = frozenset(type for row in found for type in row.offers or ())
    return Workforce(None if unsaid else offers, tuple(limits_told(row.limits) for row in found if row.limits))
