"""Retention: how long runs that are over are kept, and which of them are to go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection

from app.queue.deletions import runs_being_deleted
from app.queue.status import FINAL
from app.queue.tables import manager_job

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Keep:
    """How many `days` after its end a run is kept, and how many finished `runs` of a definition. 0: no limit; None:
    nothing is said about it."""

    days: int | None = None
    runs: int | None = None

    def __or__(self, otherwise: Keep) -> Keep:
        """This, and where it says nothing the other."""
        return Keep(
            otherwise.days if self.days is None else self.days, otherwise.runs if self.runs is None else self.runs
        )

    def __bool__(self) -> bool:
        return bool(self.days or self.runs)

    def __str__(self) -> str:
        """30 days, the last 100 runs; empty without a limit."""
        days = f"for {self.days:,} day{'s' if self.days != 1 else ''}" if self.days else ""
        runs = f"the last {self.runs:,}" if self.runs and self.runs > 1 else "only the last one" if self.runs else ""
        return ", ".join(filter(None, (runs, days)))


NO_LIMIT = Keep()


@dataclass(frozen=True, slots=True)
class OverdueRun:
    """A run that is to go. `finished_at`: if that is another by then, somebody has taken it up again. `why`: kept the
    last 100 runs"""

    manager_id: int
    finished_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """Runs that are to go, the oldest first, and when the next one will be, as far as that depends on time."""

    runs: tuple[OverdueRun, ...]
    next_at: float | None


_final = manager_job.c.status.in_(tuple(FINAL))
_definitions = select(manager_job.c.definition).distinct()
_finished = select(manager_job.c.id, manager_job.c.finished_at).where(
    manager_job.c.definition == bindparam("definition"), _final
)
_beyond = _finished.order_by(manager_job.c.id.desc()).limit(bindparam("most")).offset(bindparam("kept"))
_older = _finished.where(manager_job.c.finished_at <= bindparam("before"))
_older = _older.order_by(manager_job.c.id).limit(bindparam("most"))
_oldest = select(func.min(manager_job.c.finished_at)).where(
    manager_job.c.definition == bindparam("definition"), _final, manager_job.c.finished_at > bindparam("before")
)


def overdue(
    connection: Connection,
    of_definition: Mapping[str, Keep],
    otherwise: Keep,
    now: float,
    most: int,
    spared: Collection[str] = (),
) -> Overdue:
    """Of each definition up to `most`. `otherwise`: for definitions that say nothing, or are not there any more.
    `spared`: definitions of which nothing goes, since nobody knows what they say."""
    deleted = runs_being_deleted(connection)
    found: dict[int, OverdueRun] = {}
    next_at: list[float] = []
    for definition in connection.execute(_definitions).scalars().all():
        keep = of_definition.get(definition, NO_LIMIT) | otherwise
        if definition in spared or not keep:
            continue
        for run in _of_one(connection, definition, keep, now, most):
            if run.manager_id not in deleted:
                found.setdefault(run.manager_id, run)
        if keep.days and (oldest := _next(connection, definition, now - keep.days * DAY)) is not None:
            next_at.append(oldest + keep.days * DAY)
    return Overdue(tuple(found[manager_id] for manager_id in sorted(found)), min(next_at, default=None))


def _of_one(connection: Connection, definition: str, keep: Keep, now: float, most: int) -> Iterator[OverdueRun]:
    which: dict[str, Any] = {"definition": definition, "most": most}
    if keep.days:
        for row in connection.execute(_older, {**which, "before": now - keep.days * DAY}):
            yield OverdueRun(row.id, row.finished_at, f"kept {Keep(days=keep.days)}")
    if keep.runs:
        for row in connection.execute(_beyond, {**which, "kept": keep.runs}):
            yield OverdueRun(row.id, row.finished_at, f"of {definition} {_kept(keep.runs)} kept")


def _kept(runs: int) -> str:
    return "only the last run is" if runs == 1 else f"the last {runs:,} runs are"


def _next(connection: Connection, definition: str, before: float) -> float | None:
    oldest: float | None = connection.execute(_oldest, {"definition": definition, "before": before}).scalar_one()
    return oldest
