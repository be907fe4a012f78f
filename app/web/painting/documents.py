"""Lists of documents."""

from __future__ import annotations

from app.queue.records import DocumentPage, DocumentRecord
from app.web import dom
from app.web.pieces import Painter, Piece

LIST = "documents"


def paint_list(painter: Painter, page: DocumentPage) -> Piece:
    rows = [painter.once(paint_row, document) for document in page.documents]
    return painter.list("document_list.html", LIST, rows, total=page.total)


def paint_row(painter: Painter, document: DocumentRecord) -> Piece:
    return painter.piece("document_row.html", dom.document(document.id), document=document)
