"""The view of documents: those behind a number, the newest first."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.changes import Change, RunChanged, StepChanged
from app.queue.snapshot import DocumentFilter, Snapshot
from app.web import dom
from app.web.painting import documents
from app.web.screens import Easel, Screen, compose

DOCUMENTS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the filter: what it says, of which job."""

    words: str
    job_id: int

    @property
    def url(self) -> str:
        return dom.job_url(self.job_id)


@dataclass(frozen=True, slots=True)
class DocumentsView:
    """All documents, or those that a run, a step or a work item made."""

    matching: DocumentFilter
    cursor: str | None = None

    @property
    def url(self) -> str:
        return dom.documents_url(**self._query, cursor=self.cursor)

    @property
    def first_url(self) -> str:
        return dom.documents_url(**self._query)

    @property
    def _query(self) -> dict[str, object]:
        matching = self.matching
        return {
            "manager_id": matching.manager_id,
            "step_id": matching.step_id,
            "worker_id": matching.worker_id,
            "changed_by": matching.changed_by,
        }

    def concerns(self, change: Change) -> bool:
        return isinstance(change, StepChanged | RunChanged)  # any step may change or remove what another made

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        page = snapshot.documents(self.matching, DOCUMENTS_PER_PAGE, self.cursor)
        painter = easel.painter
        older = page.next and dom.documents_url(**self._query, cursor=page.next)
        first = self.first_url if self.cursor else None
        noun = "document" if page.total == 1 else "documents"
        children = {
            "caption": painter.piece(
                "document_list_caption.html", "documents-caption", page=page, noun=noun, view=self
            ),
            "documents": documents.paint_list(painter, page),
            "empty": painter.piece("document_list_empty.html", "documents-empty", page=page, view=self),
            "pager": painter.piece("pager.html", "pager", older=older, newest=first),
        }
        title = " ".join([f"{page.total:,}", noun, *(f"{each.words} {each.job_id}" for each in self.conditions)])
        return compose(painter, self, snapshot, title, "documents", children)

    @property
    def conditions(self) -> list[Condition]:
        named = (
            ("made by run", self.matching.manager_id),
            ("made by step", self.matching.step_id),
            ("made by work item", self.matching.worker_id),
            ("last changed by work item", self.matching.changed_by),
        )
        return [Condition(words, job_id) for words, job_id in named if job_id is not None]
