"""By what a list of documents can be narrowed down, with exact numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.engine import Connection

from app.queue.document_lists import Asked, DocumentFilter
from app.queue.document_records import DocumentFacets, Facet
from app.queue.document_text import looked_up
from app.queue.tables import document, document_tag

MOST = 30
"""Of each kind."""


def facets(connection: Connection, matching: DocumentFilter, asked: Asked, total: int) -> DocumentFacets:
    """The source types, categories and tags of the documents that match, `total` in all; not those tags that all have
    to carry."""
    source_types, categories = _kinds(connection, asked.all)
    tags = _tags(connection, matching, asked, total)
    return DocumentFacets(_first(source_types), _first(categories), _first(tags), len(tags))


def _kinds(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> tuple[Counter[str], Counter[str]]:
    kinds = document.c.category, document.c.source_type
    source_types, categories = Counter[str](), Counter[str]()
    for category, source_type, number in connection.execute(
        select(*kinds, func.count()).where(*conditions).group_by(*kinds)
    ):
        source_types[source_type] += number
        if category is not None:
            categories[category] += number
    return source_types, categories


def _tags(connection: Connection, matching: DocumentFilter, asked: Asked, total: int) -> Counter[str]:
    query = select(document_tag.c.tag, func.count().label("number")).group_by(document_tag.c.tag)
    if asked.all:
        query = query.where(looked_up(document_tag.c.document_id, total).in_(asked.ids))
    if matching.tags:
        query = query.where(document_tag.c.tag.not_in(matching.tags))
    return Counter({row.tag: row.number for row in connection.execute(query)})


def _first(counted: Counter[str]) -> tuple[Facet, ...]:
    """The most frequent ones; of equally frequent ones, by name."""
    ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Facet(name, number) for name, number in ordered[:MOST])
