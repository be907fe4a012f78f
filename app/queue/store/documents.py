"""save, delete: what steps produce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from app.queue import postgres_document_index
from app.queue.changes import DocumentsChanged, StepChanged
from app.queue.documents import Document, category_of
from app.queue.tables import document, document_tag, step_job
from app.queue.text import storable
from app.queue.writer import Transaction

_existing = select(document).where(document.c.address.in_(bindparam("addresses", expanding=True)))
_new_tags = insert(document_tag)
_old_tags = delete(document_tag).where(document_tag.c.document_id == bindparam("of_document"))
_update = (
    update(document)
    .where(document.c.id == bindparam("of_document"))
    .values(
        title=bindparam("title"),
        body=bindparam("body"),
        source_type=bindparam("source_type"),
        tags=bindparam("tags"),
        details=bindparam("details"),
        category=bindparam("category"),
        content_hash=bindparam("content_hash"),
        updated_by_step=bindparam("updated_by_step"),
        updated_by_worker=bindparam("updated_by_worker"),
        updated_at=bindparam("updated_at"),
    )
)
_delete = (
    delete(document)
    .where(document.c.address.in_(bindparam("addresses", expanding=True)))
    .returning(document.c.id, document.c.created_by_step)
)
_credit = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"))
    .values(document_count=step_job.c.document_count + bindparam("created"))
    .returning(step_job.c.manager_id, step_job.c.name, step_job.c.status)
)


class Saving(NamedTuple):
    """A document to be saved, and the work item that saves it; None: the step's planning does."""

    document: Document
    worker_id: int | None = None


def save_documents(transaction: Transaction, step_id: int, savings: Iterable[Saving]) -> None:
    """Creates or updates documents by their addresses. Only created ones count for the step; the last save of an
    address wins; a save that changes nothing writes nothing."""
    latest = {storable(each.document.address): each for each in savings}
    rows = transaction.connection.execute(_existing, {"addresses": list(latest)})
    existing = {row.address: row for row in rows}
    renewed = [row for address, row in existing.items() if _renew(transaction, step_id, row, latest[address])]
    new = {address: each for address, each in latest.items() if address not in existing}
    created = [_create(transaction, step_id, address, each) for address, each in new.items()]
    if transaction.connection.dialect.name == "postgresql":  # SQLite does it by itself
        says = {
            row.id: latest[row.address].document for row in renewed if _says_else(row, latest[row.address].document)
        }
        says |= {document_id: each.document for document_id, each in zip(created, new.values(), strict=True)}
        texts = ((document_id, storable(each.title), storable(each.body)) for document_id, each in says.items())
        postgres_document_index.learn(transaction.connection, texts)
    _tell_changed(transaction, [*(row.id for row in renewed), *created])
    _count_created(transaction, step_id, len(created))


def delete_documents(transaction: Transaction, addresses: Sequence[str]) -> None:
    """Removes the documents of those addresses, and the credit for them; unknown ones are passed over."""
    of_addresses = {"addresses": [storable(address) for address in addresses]}
    rows = transaction.connection.execute(_delete, of_addresses).all()
    _tell_changed(transaction, [row.id for row in rows])
    for step_id, number in Counter(row.created_by_step for row in rows).items():
        if step_id is not None:
            _count_created(transaction, step_id, -number)


def _count_created(transaction: Transaction, step_id: int, number: int) -> None:
    step = transaction.connection.execute(_credit, {"of_step": step_id, "created": number}).one_or_none()
    if step is not None:
        transaction.changes.append(StepChanged(step.manager_id, step_id, step.name, step.status))


def _tell_changed(transaction: Transaction, ids: Sequence[int]) -> None:
    if ids:
        transaction.changes.append(DocumentsChanged(frozenset(ids)))


def _create(transaction: Transaction, step_id: int, address: str, each: Saving) -> int:
    """Returns its id."""
    row = {
        **_content(each.document),
        "address": address,
        "created_by_step": step_id,
        "created_by_worker": each.worker_id,
        "created_at": transaction.now,
        "updated_at": transaction.now,
    }
    result = transaction.connection.execute(insert(document), row)
    assert result.inserted_primary_key is not None
    document_id: int = result.inserted_primary_key[0]
    _tag(transaction, document_id, each.document.tags)
    return document_id


def _renew(transaction: Transaction, step_id: int, row: Any, each: Saving) -> bool:
    """Returns whether anything has changed."""
    content = _content(each.document)
    if all(getattr(row, key) == value for key, value in content.items()):
        return False
    by = {"updated_by_step": step_id, "updated_by_worker": each.worker_id, "updated_at": transaction.now}
    transaction.connection.execute(_update, {**content, **by, "of_document": row.id})
    if row.tags != content["tags"]:
        transaction.connection.execute(_old_tags, {"of_document": row.id})
        _tag(transaction, row.id, each.document.tags)
    return True


def _says_else(row: Any, each: Document) -> bool:
    return bool(row.title != storable(each.title) or row.body != storable(each.body))


def _content(each: Document) -> dict[str, Any]:
    category = category_of(each.metadata)
    return {
        "title": storable(each.title),
        "body": storable(each.body),
        "source_type": storable(each.source_type),
        "tags": [storable(tag) for tag in dict.fromkeys(each.tags)],
        "details": each.metadata,
        "category": category and storable(category),
        "content_hash": each.hash(),
    }


def _tag(transaction: Transaction, document_id: int, tags: Iterable[str]) -> None:
    rows = [{"document_id": document_id, "tag": storable(tag)} for tag in dict.fromkeys(tags)]
    if rows:
        transaction.connection.execute(_new_tags, rows)
