"""Lists of documents, and by what they can be narrowed down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.queue.document_records import DocumentPage, DocumentRecord
from app.web import dom
from app.web.pieces import Painter, Piece

LIST = "documents"
FACETS = "documents-facets"


@dataclass(frozen=True, slots=True)
class FacetLink:
    """A link to those documents of a list that have one thing in common, and how many they are."""

    kind: str
    name: str
    number: int
    url: str


@dataclass(frozen=True, slots=True)
class FacetGroup:
    """Facets of one kind. `more`: how many others there are."""

    words: str
    facets: tuple[FacetLink, ...]
    more: int = 0


def paint_list(painter: Painter, page: DocumentPage) -> Piece:
    rows = [painter.once(paint_row, document) for document in page.documents]
    return painter.list("document_list.html", LIST, rows, total=page.total)


def paint_row(painter: Painter, document: DocumentRecord) -> Piece:
    return painter.piece("document_row.html", dom.document(document.id), document=document)


def paint_facets(painter: Painter, groups: Sequence[FacetGroup]) -> Piece:
    return painter.piece("document_facets.html", FACETS, groups=[group for group in groups if group.facets])
