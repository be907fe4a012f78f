"""Lists of documents, the newest first, with true totals: all of them, or those that a run, a step or a work item made.

Who creates a document has made it. Who updates it later has not, so that each document counts once; the work item that
was the last to change one is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.engine import Connection

from app.queue.places import BadCursor, place_number
from app.queue.records import DocumentPage, DocumentRecord
from app.queue.tables import document, step_job, worker_job


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents a list shows; an absent field lets all pass. The ids of who made them, and of the work item that
    changed them last without having made them."""

    manager_id: int | None = None
    step_id: int | None = None
    worker_id: int | None = None
    changed_by: int | None = None


_rows = (
    select(
        document.c.id,
        document.c.title,
        document.c.address,
        document.c.source_type,
        document.c.tags,
        document.c.updated_at,
        document.c.created_by_step.label("step_id"),
        step_job.c.name.label("step_name"),
        step_job.c.manager_id,
        worker_job.c.id.label("worker_id"),
        worker_job.c.name.label("worker_name"),
    )
    .outerjoin(step_job, step_job.c.id == document.c.created_by_step)
    .outerjoin(worker_job, worker_job.c.id == document.c.created_by_worker)
)


def page(connection: Connection, matching: DocumentFilter, limit: int, cursor: str | None) -> DocumentPage:
    """Raises BadCursor."""
    before = None if cursor is None else _parse(cursor)
    conditions = _conditions(matching)
    if matching.manager_id is not None or matching.step_id is not None:
        steps = _steps(connection, matching)
        total = _number(connection, conditions) if conditions else sum(number for _, number in steps)
        # A step at a time, as each has its documents in order; those of a run would have to be sorted.
        of_steps = (_ids(connection, [*conditions, _made_by(each)], before, limit + 1) for each, _ in steps)
        ids = nlargest(limit + 1, (each for ids in of_steps for each in ids))
    else:
        total = _number(connection, conditions)
        ids = _ids(connection, conditions, before, limit + 1)
    following = str(ids[limit - 1]) if len(ids) > limit else None
    return DocumentPage(total, _documents(connection, ids[:limit]), following)


def _parse(cursor: str) -> int:
    try:
        return place_number(cursor)
    except ValueError:
        raise BadCursor(cursor) from None


def _conditions(matching: DocumentFilter) -> list[ColumnElement[bool]]:
    """What a document has to fulfil, beside the steps that may have made it."""
    conditions: list[ColumnElement[bool]] = []
    if matching.worker_id is not None:
        conditions.append(document.c.created_by_worker == matching.worker_id)
    if matching.changed_by is not None:
        maker = document.c.created_by_worker
        conditions.append(document.c.updated_by_worker == matching.changed_by)
        conditions.append(or_(maker.is_(None), maker != matching.changed_by))
    return conditions


def _steps(connection: Connection, matching: DocumentFilter) -> Sequence[tuple[int, int]]:
    """The steps that made documents, and how many."""
    query = select(step_job.c.id, step_job.c.document_count).where(step_job.c.document_count > 0)
    if matching.manager_id is not None:
        query = query.where(step_job.c.manager_id == matching.manager_id)
    if matching.step_id is not None:
        query = query.where(step_job.c.id == matching.step_id)
    return [(row.id, row.document_count) for row in connection.execute(query)]


def _made_by(step_id: int) -> ColumnElement[bool]:
    return document.c.created_by_step == step_id


def _number(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> int:
    number: int = connection.execute(select(func.count()).select_from(document).where(*conditions)).scalar_one()
    return number


def _ids(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], before: int | None, limit: int
) -> list[int]:
    query: Any = select(document.c.id).where(*conditions).order_by(document.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(document.c.id < before)
    return list(connection.execute(query).scalars())


def _documents(connection: Connection, ids: Sequence[int]) -> tuple[DocumentRecord, ...]:
    rows = connection.execute(_rows.where(document.c.id.in_(ids)).order_by(document.c.id.desc()))
    return tuple(
        DocumentRecord(
            id=row.id,
            title=row.title,
            address=row.address,
            source_type=row.source_type,
            tags=tuple(row.tags),
            updated_at=row.updated_at,
            manager_id=row.manager_id,
            step_id=row.step_id,
            step_name=row.step_name,
            worker_id=row.worker_id,
            worker_name=row.worker_name,
        )
        for row in rows
    )
