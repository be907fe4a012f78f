"""What the queue says of documents: one, a page of them, and how those that match are divided."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

MarkedText = tuple[tuple[str, bool], ...]
"""Text in pieces, each with whether it is marked."""


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """What is known of every document, however it is shown."""

    id: int
    title: str
    address: str
    source_type: str
    tags: tuple[str, ...]
    category: str | None
    content_hash: str
    created_at: float
    updated_at: float


def head_of(row: Any) -> dict[str, Any]:
    """The fields of a DocumentHead, from a row of `document`."""
    return {each.name: getattr(row, each.name) for each in fields(DocumentHead)} | {"tags": tuple(row.tags)}


@dataclass(frozen=True, slots=True)
class DocumentRecord(DocumentHead):
    """A document as a list shows it, and the jobs that made it. They are None for one that no step made, or when they
    have been deleted; the work item also when the step itself made it."""

    manager_id: int | None
    step_id: int | None
    step_name: str | None
    worker_id: int | None
    worker_name: str | None
    marked_title: MarkedText = ()
    excerpt: MarkedText = ()
    """Where the words stand that were looked for, if they were and if that is not far from the beginning."""


@dataclass(frozen=True, slots=True)
class Maker:
    """The jobs that made or changed a document; the step may have done it itself."""

    manager_id: int
    step_id: int
    step_name: str
    worker_id: int | None
    worker_name: str | None


@dataclass(frozen=True, slots=True)
class WholeDocument(DocumentHead):
    """A document with everything that is known of it. `made_by` and `changed_by` are None when no job is known, or when
    it has been deleted; `changed_by` also when nobody has changed it since it was made."""

    metadata: dict[str, Any]
    body: str
    """Its beginning, if only that was asked for."""
    length: int
    """Characters of the whole body."""
    made_by: Maker | None
    changed_by: Maker | None


@dataclass(frozen=True, slots=True)
class Facet:
    """How many documents of a list have one thing in common."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class DocumentFacets:
    """By what a list of documents can be narrowed down, the first of each kind, the most frequent ones first.
    `tag_total`: how many tags there are in all."""

    source_types: tuple[Facet, ...]
    categories: tuple[Facet, ...]
    tags: tuple[Facet, ...]
    tag_total: int


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """One page of a list: how many documents match on all pages together, those of this one, where the next one
    starts."""

    total: int
    documents: tuple[DocumentRecord, ...]
    next: str | None
