"""Reading what the queue knows of definitions: their latest runs, those in progress, and which are switched off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.queue.status import ACTIVE, FINAL, Status
from app.queue.tables import manager_job, page_text, switched_off_definition

_columns = (
    manager_job.c.id,
    manager_job.c.name,
    manager_job.c.status,
    manager_job.c.reason,
    manager_job.c.created_at,
    manager_job.c.started_at,
    manager_job.c.finished_at,
)
_of_definition = (
    select(*_columns)
    .where(manager_job.c.definition == bindparam("definition"))
    .order_by(manager_job.c.id.desc())
    .limit(bindparam("most"))
)
_last_ended = _of_definition.where(manager_job.c.status.in_(tuple(FINAL)))
_in_progress = (
    select(manager_job.c.definition, manager_job.c.id)
    .where(manager_job.c.status.in_(ACTIVE))
    .order_by(manager_job.c.id.desc())
)


@dataclass(frozen=True, slots=True)
class RunBrief:
    """A run without its steps."""

    id: int
    name: str
    status: Status
    reason: str
    created_at: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class DefinitionState:
    """What the queue knows of a definition."""

    last: RunBrief | None = None
    """The latest run that is over."""
    in_progress: tuple[int, ...] = ()
    """The runs that are not over, the newest first."""
    switched_off_at: float | None = None
    """When a person switched it off; None while it is on."""


def states(connection: Connection, definitions: Iterable[str], without: frozenset[int]) -> dict[str, DefinitionState]:
    """What is known of each of these, by id. `without`: runs that are being deleted."""
    running: defaultdict[str, list[int]] = defaultdict(list)
    for definition, manager_id in connection.execute(_in_progress):
        running[definition].append(manager_id)
    off = {row.definition: row.at for row in connection.execute(select(switched_off_definition))}
    return {
        each: DefinitionState(_ended(connection, each, without), tuple(running[each]), off.get(each))
        for each in dict.fromkeys(definitions)
    }


def latest(connection: Connection, definition: str, most: int, without: frozenset[int]) -> tuple[RunBrief, ...]:
    """The latest runs of a definition, the newest first."""
    query = _of_definition.where(manager_job.c.id.not_in(without)) if without else _of_definition
    return tuple(RunBrief(*row) for row in connection.execute(query, {"definition": definition, "most": most}))


def page_texts(connection: Connection) -> frozenset[str]:
    """The digests of the definitions that were saved through the page."""
    return frozenset(connection.execute(select(page_text.c.digest)).scalars())


def _ended(connection: Connection, definition: str, without: frozenset[int]) -> RunBrief | None:
    query = _last_ended.where(manager_job.c.id.not_in(without)) if without else _last_ended
    found = connection.execute(query, {"definition": definition, "most": 1}).first()
    return RunBrief(*found) if found else None
