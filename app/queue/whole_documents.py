"""One document, with who made it and who changed it last."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.engine import Connection

from app.queue.document_records import Maker, WholeDocument, head_of
from app.queue.tables import document, step_job, worker_job

_maker = select(
    step_job.c.manager_id,
    step_job.c.id.label("step_id"),
    step_job.c.name.label("step_name"),
    worker_job.c.id.label("worker_id"),
    worker_job.c.name.label("worker_name"),
).select_from(step_job)


def whole_document(
    connection: Connection, document_id: int, deleted: AbstractSet[int], characters: int | None
) -> WholeDocument | None:
    """`deleted`: runs that are being deleted. `characters`: how much of the body is wanted; None: all of it."""
    body = document.c.body if characters is None else func.substr(document.c.body, 1, characters)
    columns = [column for column in document.c if column.name != "body"]
    query = select(*columns, body.label("body"), func.length(document.c.body).label("length"))
    row = connection.execute(query.where(document.c.id == document_id)).one_or_none()
    if row is None:
        return None
    return WholeDocument(
        **head_of(row),
        metadata=row.details,
        body=row.body,
        length=row.length,
        made_by=_by(connection, row.created_by_step, row.created_by_worker, deleted),
        changed_by=_by(connection, row.updated_by_step, row.updated_by_worker, deleted),
    )


def _by(connection: Connection, step_id: int | None, worker_id: int | None, deleted: AbstractSet[int]) -> Maker | None:
    if step_id is None:
        return None
    of_step = and_(worker_job.c.id == worker_id, worker_job.c.step_id == step_job.c.id)
    query: Any = _maker.outerjoin(worker_job, of_step).where(step_job.c.id == step_id)
    row = connection.execute(query).one_or_none()
    if row is None or row.manager_id in deleted:
        return None
    return Maker(row.manager_id, row.step_id, row.step_name, row.worker_id, row.worker_name)
