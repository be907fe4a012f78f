"""Lists of documents, the newest first, with true totals: all of them, those that a run, a step or a work item made,
and those that a search finds.

Who creates a document has made it. Who updates it later has not, so that each document counts once; the work item that
was the last to change one is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.engine import Connection

from app.queue.document_records import DocumentPage, DocumentRecord, head_of
from app.queue.document_text import Marker, found_once, holds, ids_in_postgres, is_read_for, looked_up
from app.queue.places import BadCursor, place_number
from app.queue.tables import document, document_tag, step_job, worker_job

READ_FOR_EXCERPT = 50_000
"""Characters of a body in which the words that were looked for are looked for again, to show them."""
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents a list shows; an absent field lets all pass. The ids of who made them, and of the work item that
    changed them last without having made them."""

    manager_id: int | None = None
    step_id: int | None = None
    worker_id: int | None = None
    changed_by: int | None = None
    text: str | None = None
    """Words of the title or body, see `document_text`."""
    tags: tuple[str, ...] = ()
    """They carry all of these."""
    source_type: str | None = None
    category: str | None = None
    since: float | None = None
    """They were made then or later."""
    until: float | None = None
    """They were made before."""
    without: frozenset[int] = frozenset()
    """Runs that are being deleted: their documents stay, but these runs have made none any more."""


_columns = (
    document.c.id,
    document.c.title,
    document.c.address,
    document.c.source_type,
    document.c.tags,
    document.c.category,
    document.c.content_hash,
    document.c.created_at,
    document.c.updated_at,
    step_job.c.id.label("step_id"),
    step_job.c.name.label("step_name"),
    step_job.c.manager_id,
    worker_job.c.id.label("worker_id"),
    worker_job.c.name.label("worker_name"),
)
_beginning = func.substr(document.c.body, 1, READ_FOR_EXCERPT).label("beginning")


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter as conditions on a row of `document`, those on the steps that may have made it apart."""

    conditions: list[ColumnElement[bool]]
    of_steps: list[ColumnElement[bool]]
    number: int | None = None
    """How many documents match, if they have been looked for already."""
    found: Any = None
    """Then the query of their ids."""

    @classmethod
    def by(cls, connection: Connection, matching: DocumentFilter) -> Asked:
        """What takes looking for is looked for once."""
        of_steps: list[ColumnElement[bool]] = []
        if _is_of_steps(matching):
            of_steps.append(document.c.created_by_step.in_([step_id for step_id, _ in _steps(connection, matching)]))
        asked = cls(_asked(connection, matching), of_steps)
        ids: Any = document.c.id
        conditions = asked.all
        if matching.text is not None and connection.dialect.name != "sqlite":
            ids = ids_in_postgres(matching.text)
            conditions = [ids.in_(asked.ids)] if conditions else []
        elif not matching.tags and (matching.text is None or not is_read_for(matching.text)):
            return asked
        found, number = found_once(connection, ids, conditions)
        return cls([looked_up(document.c.id, number).in_(found)], [], number, found)

    @property
    def ids(self) -> Any:
        """The query of the ids of the documents that match."""
        return select(document.c.id).where(*self.all) if self.found is None else self.found

    @property
    def all(self) -> list[ColumnElement[bool]]:
        return self.conditions + self.of_steps


def page(
    connection: Connection, matching: DocumentFilter, asked: Asked, limit: int, cursor: str | None
) -> DocumentPage:
    """Raises BadCursor."""
    before = None if cursor is None else _parse(cursor)
    if asked.of_steps and not asked.conditions:
        steps = _steps(connection, matching)
        total = sum(number for _, number in steps)
        # A step at a time, as each has its documents in order; those of a run would have to be sorted.
        made_by = (select(document.c.id).where(document.c.created_by_step == each) for each, _ in steps)
        of_steps = (_first(connection, each, before, limit + 1) for each in made_by)
        ids = nlargest(limit + 1, (each for ids in of_steps for each in ids))
    else:
        total = _number(connection, asked.all) if asked.number is None else asked.number
        ids = _first(connection, asked.ids, before, limit + 1)
    following = str(ids[limit - 1]) if len(ids) > limit else None
    return DocumentPage(total, _documents(connection, ids[:limit], matching), following)


def _parse(cursor: str) -> int:
    try:
        return place_number(cursor)
    except ValueError:
        raise BadCursor(cursor) from None


def _is_of_steps(matching: DocumentFilter) -> bool:
    return matching.manager_id is not None or matching.step_id is not None


def _asked(connection: Connection, matching: DocumentFilter) -> list[ColumnElement[bool]]:
    """What a document has to fulfil, beside the steps that may have made it."""
    conditions: list[ColumnElement[bool]] = []
    if matching.worker_id is not None:
        conditions.append(document.c.created_by_worker == matching.worker_id)
    if matching.changed_by is not None:
        maker = document.c.created_by_worker
        conditions.append(document.c.updated_by_worker == matching.changed_by)
        conditions.append(or_(maker.is_(None), maker != matching.changed_by))
    if matching.text is not None and connection.dialect.name == "sqlite":
        conditions.append(holds(connection, matching.text))
    for tag in matching.tags:
        conditions.append(document.c.id.in_(select(document_tag.c.document_id).where(document_tag.c.tag == tag)))
    if matching.source_type is not None:
        conditions.append(document.c.source_type == matching.source_type)
    if matching.category is not None:
        conditions.append(document.c.category == matching.category)
    if matching.since is not None:
        conditions.append(document.c.created_at >= matching.since)
    if matching.until is not None:
        conditions.append(document.c.created_at < matching.until)
    return conditions


def _steps(connection: Connection, matching: DocumentFilter) -> Sequence[tuple[int, int]]:
    """The steps that made documents, and how many."""
    query = select(step_job.c.id, step_job.c.document_count).where(step_job.c.document_count > 0)
    if matching.without:
        query = query.where(step_job.c.manager_id.not_in(matching.without))
    if matching.manager_id is not None:
        query = query.where(step_job.c.manager_id == matching.manager_id)
    if matching.step_id is not None:
        query = query.where(step_job.c.id == matching.step_id)
    return [(row.id, row.document_count) for row in connection.execute(query)]


def _number(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> int:
    number: int = connection.execute(select(func.count()).select_from(document).where(*conditions)).scalar_one()
    return number


def _first(connection: Connection, ids: Any, before: int | None, limit: int) -> list[int]:
    found = ids.subquery()
    query = select(found.c.id).order_by(found.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(found.c.id < before)
    return list(connection.execute(query).scalars())


def _documents(connection: Connection, ids: Sequence[int], matching: DocumentFilter) -> tuple[DocumentRecord, ...]:
    marker = Marker(matching.text) if matching.text is not None else None
    columns = (*_columns, _beginning) if marker else _columns
    query = _with_makers(select(*columns), matching.without).where(document.c.id.in_(ids))
    return tuple(_record(row, marker) for row in connection.execute(query.order_by(document.c.id.desc())))


def _with_makers(query: Select[Any], deleted: AbstractSet[int]) -> Select[Any]:
    """With the step and the work item that made the document, if they are still there."""
    return (
        query.select_from(document)
        .outerjoin(step_job, and_(step_job.c.id == document.c.created_by_step, step_job.c.manager_id.not_in(deleted)))
        .outerjoin(
            worker_job, and_(worker_job.c.id == document.c.created_by_worker, worker_job.c.step_id == step_job.c.id)
        )
    )


def _record(row: Any, marker: Marker | None) -> DocumentRecord:
    return DocumentRecord(
        **head_of(row),
        manager_id=row.manager_id,
        step_id=row.step_id,
        step_name=row.step_name,
        worker_id=row.worker_id,
        worker_name=row.worker_name,
        marked_title=marker.marked(row.title) if marker else (),
        excerpt=marker.excerpt(row.beginning) if marker else (),
    )
