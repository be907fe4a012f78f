"""The view of one document."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.changes import Change, DocumentsChanged, RunDeleted
from app.queue.snapshot import Snapshot
from app.web import dom
from app.web.painting import document
from app.web.screens import Easel, Screen, compose


@dataclass(frozen=True, slots=True)
class DocumentView:
    """One document: what is known of it, and what it says."""

    document_id: int

    @property
    def url(self) -> str:
        return dom.document_url(self.document_id)

    def concerns(self, change: Change) -> bool:
        if isinstance(change, DocumentsChanged):
            return self.document_id in change.ids
        return isinstance(change, RunDeleted)  # with a run go the links to what made it

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        found = snapshot.document(self.document_id, document.SHOWN)
        children = {"document": document.paint_document(easel.painter, found)}
        return compose(easel.painter, self, snapshot, found.title[:LONGEST_TITLE], "document", children)


LONGEST_TITLE = 200
"""Characters of a document's title that its page has in its own."""
