"""What the JSON API sends about documents."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from msgspec import Struct

from app.queue.document_records import DocumentHead, DocumentRecord, Maker, WholeDocument
from app.web import dom
from app.web.json_shapes import Revision, moment


class DocumentJson(Struct, frozen=True):
    """A document without its body. The ids are those of the jobs that made it, as long as these are there."""

    id: int
    title: str
    address: str
    source_type: str
    category: str | None
    tags: list[str]
    content_hash: str
    created_at: datetime
    updated_at: datetime
    manager_id: int | None
    step_id: int | None
    step_name: str | None
    worker_id: int | None
    worker_name: str | None
    url: str

    @classmethod
    def of(cls, found: DocumentRecord) -> DocumentJson:
        return cls(
            **_head(found),
            manager_id=found.manager_id,
            step_id=found.step_id,
            step_name=found.step_name,
            worker_id=found.worker_id,
            worker_name=found.worker_name,
        )


class Documents(Struct, frozen=True):
    """A page of a list. `total`: over all pages. `next`: the cursor of the next page, if there is one."""

    revision: Revision
    total: int
    documents: list[DocumentJson]
    next: str | None


class MakerJson(Struct, frozen=True):
    """The jobs that made or changed a document; without a work item, the step did it itself."""

    manager_id: int
    step_id: int
    step_name: str
    worker_id: int | None
    worker_name: str | None


class DocumentAnswer(Struct, frozen=True):
    """One document. `made_by` and `changed_by` (the last who did): null when these jobs have been deleted;
    `changed_by` also when nobody has changed it since it was made. `metadata`: facts by step type."""

    revision: Revision
    id: int
    title: str
    address: str
    source_type: str
    category: str | None
    tags: list[str]
    content_hash: str
    created_at: datetime
    updated_at: datetime
    made_by: MakerJson | None
    changed_by: MakerJson | None
    metadata: dict[str, Any]
    body: str
    url: str

    @classmethod
    def at(cls, revision: int, found: WholeDocument) -> DocumentAnswer:
        return cls(
            revision=revision,
            **_head(found),
            made_by=_maker(found.made_by),
            changed_by=_maker(found.changed_by),
            metadata=found.metadata,
            body=found.body,
        )


def _head(found: DocumentHead) -> dict[str, Any]:
    """What every answer about a document says of it."""
    of_record = {each.name: getattr(found, each.name) for each in fields(DocumentHead)}
    return of_record | {
        "tags": list(found.tags),
        "created_at": moment(found.created_at),
        "updated_at": moment(found.updated_at),
        "url": dom.document_url(found.id),
    }


def _maker(by: Maker | None) -> MakerJson | None:
    return MakerJson(by.manager_id, by.step_id, by.step_name, by.worker_id, by.worker_name) if by else None
