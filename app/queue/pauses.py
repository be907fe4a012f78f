"""What is paused: of a run that is, by itself, by its definition or by the whole queue, nothing is begun.

A pause is a row that every claim looks for; what runs already goes on to its end. It is there until somebody resumes,
whoever owns the database meanwhile, or until the run ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, String, cast, exists, literal, literal_column, select
from sqlalchemy.engine import Connection

from app.queue.records import Paused
from app.queue.tables import manager_job, pause


@dataclass(frozen=True, slots=True)
class Scope:
    """The whole queue, one definition, or one run."""

    definition: str | None = None
    manager_id: int | None = None

    @property
    def stored(self) -> str:
        if self.manager_id is not None:
            return f"run {self.manager_id}"
        return "queue" if self.definition is None else f"definition {self.definition}"

    @property
    def words(self) -> str:
        return "the queue" if self == QUEUE else self.stored


QUEUE = Scope()

_all = select(pause).order_by(pause.c.at, pause.c.scope)

is_paused: ColumnElement[bool] = exists(
    select(pause.c.scope)
    .where(
        pause.c.scope.in_(
            [
                literal(QUEUE.stored),
                literal("definition ") + manager_job.c.definition,
                literal("run ") + cast(manager_job.c.id, String),
            ]
        )
    )
    .correlate(manager_job)
)
"""Of a row of manager_job: whether it may begin nothing."""
is_anything_paused: ColumnElement[bool] = exists(select(literal_column("1")).select_from(pause))
"""Costs nothing to ask, so that claims ask this first."""


def pauses(connection: Connection) -> dict[str, Paused]:
    """Everything that is paused, by its stored scope, the longest paused first."""
    found = connection.execute(_all)
    return {
        row.scope: Paused("the queue" if row.scope == QUEUE.stored else row.scope, row.who, row.at) for row in found
    }


def pause_of(known: Mapping[str, Paused], manager_id: int, definition: str) -> Paused | None:
    """Why a run begins nothing: the nearest reason, if there are several."""
    for scope in (Scope(manager_id=manager_id), Scope(definition), QUEUE):
        if found := known.get(scope.stored):
            return found
    return None
