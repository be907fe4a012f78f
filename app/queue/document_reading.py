"""Reading documents, from the server's process or a worker's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.engine import Connection

from app.queue.database import Database
from app.queue.documents import StoredDocument
from app.queue.records import SavedDocument
from app.queue.tables import document, document_tag

BATCH = 200
MOST_SAVED = 20
"""Documents of a work item that are listed."""

_at = select(document).where(document.c.address == bindparam("of_address"))
_by_worker = (document.c.created_by_worker == bindparam("of_worker")) | (
    document.c.updated_by_worker == bindparam("of_worker")
)
_saved = (
    select(
        document.c.id,
        document.c.title,
        document.c.address,
        document.c.source_type,
        func.coalesce(document.c.created_by_worker == bindparam("of_worker"), False).label("created"),
    )
    .where(_by_worker)
    .order_by(document.c.id)
    .limit(MOST_SAVED)
)
_number_saved = select(
    func.count().filter(document.c.created_by_worker == bindparam("of_worker")).label("made"),
    func.count().label("saved"),
).where(_by_worker)
_number_made = (
    select(document.c.created_by_worker, func.count())
    .where(document.c.created_by_worker.in_(bindparam("workers", expanding=True)))
    .group_by(document.c.created_by_worker)
)


def read_documents(
    database_address: str,
    *,
    tags: Iterable[str] = (),
    source_type: str | None = None,
    under: str | None = None,
    bodies: bool = True,
) -> Iterator[StoredDocument]:
    """Documents that carry all `tags`, are of `source_type`, and whose address is `under` or starts with it and a
    slash; ordered by address, all as they are at the time of the first. Without `bodies` their bodies are empty."""
    columns = [column if bodies or column.name != "body" else literal("").label("body") for column in document.c]
    query = select(*columns).order_by(document.c.address)
    for tag in tags:
        query = query.where(document.c.id.in_(select(document_tag.c.document_id).where(document_tag.c.tag == tag)))
    if source_type is not None:
        query = query.where(document.c.source_type == source_type)
    if under is not None:
        # A range rather than LIKE: it uses the index, and the next character after "/" is "0".
        inside = (document.c.address >= f"{under}/") & (document.c.address < f"{under}0")
        query = query.where(inside | (document.c.address == under))
    with _database(database_address).read() as connection:
        for row in connection.execution_options(yield_per=BATCH).execute(query):
            yield _stored(row)


def read_document(database_address: str, address: str) -> StoredDocument | None:
    with _database(database_address).read() as connection:
        row = connection.execute(_at, {"of_address": address}).one_or_none()
    return _stored(row) if row else None


def saved_by(connection: Connection, worker_id: int) -> tuple[tuple[SavedDocument, ...], int, int]:
    """The first documents that a work item created, or was the last to change; how many it created, and how many others
    it was the last to change."""
    of_worker = {"of_worker": worker_id}
    number = connection.execute(_number_saved, of_worker).one()
    rows = connection.execute(_saved, of_worker) if number.saved else ()
    saved = tuple(SavedDocument(row.id, row.title, row.address, row.source_type, bool(row.created)) for row in rows)
    return saved, number.made, number.saved - number.made


def made_by(connection: Connection, worker_ids: Sequence[int]) -> dict[int, int]:
    """How many documents work items created; those that created none are left out."""
    return {row[0]: row[1] for row in connection.execute(_number_made, {"workers": list(worker_ids)})}


@lru_cache(maxsize=4)
def _database(address: str) -> Database:
    """One set of connections per process and database: engines do not cross processes."""
    return Database.at(address, readers=8)


def _stored(row: Any) -> StoredDocument:
    return StoredDocument(
        address=row.address,
        title=row.title,
        body=row.body,
        source_type=row.source_type,
        tags=tuple(row.tags),
        metadata=row.details,
        content_hash=row.content_hash,
        id=row.id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
