"""Reading what people did to a run, and which runs repeat which."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.engine import Connection

from app.queue.definition_actions import all_said_of_definition
from app.queue.places import BadCursor, place_number
from app.queue.records import ActionPage, ActionRecord, Kin
from app.queue.tables import action, manager_job

MOST_RERUNS = 10

_columns = tuple(action.c[name] for name in ("id", "at", "who", "verb", "said", "made_id", "manager_id", "job_id"))
_of_run = (
    select(*_columns)
    .where(action.c.manager_id == bindparam("of_manager"))
    .order_by(action.c.id.desc())
    .limit(bindparam("most"))
)
_latest = select(*_columns).order_by(action.c.id.desc()).limit(bindparam("most"))
_of_no_run = _latest.where(action.c.manager_id.is_(None))
_original = select(manager_job.c.rerun_of).where(manager_job.c.id == bindparam("of_manager"))
_present = select(manager_job.c.id).where(manager_job.c.id == bindparam("of_manager"))
_reruns = (
    select(manager_job.c.id)
    .where(manager_job.c.rerun_of == bindparam("of_manager"))
    .order_by(manager_job.c.id.desc())
    .limit(MOST_RERUNS)
)


def actions(connection: Connection, manager_id: int | None, most: int) -> tuple[ActionRecord, ...]:
    """The newest first: of a run, or of everything."""
    if manager_id is None:
        rows = connection.execute(_latest, {"most": most})
    else:
        rows = connection.execute(_of_run, {"of_manager": manager_id, "most": most})
    return tuple(ActionRecord(*row) for row in rows)


def actions_of_no_run(connection: Connection, definition: str | None, most: int) -> tuple[ActionRecord, ...]:
    """The newest first: to that definition, or to the queue, any definition, and runs that are gone."""
    query = _of_no_run
    if definition is not None:
        query = query.where(action.c.said.in_(all_said_of_definition(definition)))
    return tuple(ActionRecord(*row) for row in connection.execute(query, {"most": most}))


def page(
    connection: Connection,
    manager_id: int | None,
    job_id: int | None,
    limit: int,
    cursor: str | None,
    deleted: Collection[int],
) -> ActionPage:
    """The newest first: of a run, or of everything; only to one part of the run. Raises BadCursor."""
    meant: list[ColumnElement[bool]] = []
    if manager_id is not None:
        meant.append(action.c.manager_id == manager_id)
    if job_id is not None:
        meant.append(action.c.job_id == job_id)
    if deleted:
        meant.append(action.c.manager_id.is_(None) | action.c.manager_id.not_in(deleted))
    total = connection.execute(select(func.count()).select_from(action).where(*meant)).scalar_one()
    query = select(*_columns).where(*meant).order_by(action.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(action.c.id < _place(cursor))
    rows = [ActionRecord(*row) for row in connection.execute(query)]
    following = str(rows[limit - 1].id) if len(rows) > limit else None
    return ActionPage(int(total), tuple(rows[:limit]), following)


def _place(cursor: str) -> int:
    try:
        return place_number(cursor)
    except ValueError:
        raise BadCursor(cursor) from None


def kin(connection: Connection, manager_id: int, deleted: Collection[int]) -> Kin:
    original = connection.execute(_original, {"of_manager": manager_id}).scalar_one_or_none()
    if original is not None:
        present = connection.execute(_present, {"of_manager": original}).first()
        original = original if present and original not in deleted else None
    reruns = connection.execute(_reruns, {"of_manager": manager_id}).scalars()
    return Kin(original, tuple(each for each in reruns if each not in deleted))
