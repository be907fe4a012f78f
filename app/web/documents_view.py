"""The view of documents: all of them, those behind a number, and those that a search finds, the newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.queue.changes import Change, DocumentsChanged, RunDeleted
from app.queue.document_records import DocumentFacets, Facet
from app.queue.snapshot import DocumentFilter, Snapshot
from app.web import dom
from app.web.painting import documents
from app.web.painting.documents import FacetGroup, FacetLink
from app.web.queue_view import FilterChip
from app.web.screens import Easel, Screen, compose
from app.web.templating import moment

DOCUMENTS_PER_PAGE = 50
JOBS = {
    "manager_id": "made by run",
    "step_id": "made by step",
    "worker_id": "made by work item",
    "changed_by": "last changed by work item",
}
"""How a filter names the job that it asks for."""


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
    """The documents that match."""

    matching: DocumentFilter
    cursor: str | None = None

    @property
    def url(self) -> str:
        return self._at(self.matching, self.cursor)

    @property
    def first_url(self) -> str:
        return self._at(self.matching)

    def concerns(self, change: Change) -> bool:
        return isinstance(change, DocumentsChanged | RunDeleted)  # with a run go the links to what made them

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        page, facets = snapshot.document_search(self.matching, DOCUMENTS_PER_PAGE, self.cursor)
        painter = easel.painter
        older = page.next and self._at(self.matching, page.next)
        first = self.first_url if self.cursor else None
        noun = "document" if page.total == 1 else "documents"
        children = {
            "caption": painter.piece(
                "document_list_caption.html", "documents-caption", page=page, noun=noun, view=self
            ),
            "facets": documents.paint_facets(painter, self._facets(facets)),
            "documents": documents.paint_list(painter, page),
            "empty": painter.piece("document_list_empty.html", "documents-empty", page=page, view=self),
            "pager": painter.piece("pager.html", "pager", older=older, newest=first),
        }
        title = " ".join([f"{page.total:,}", noun, *(f"{each.words} {each.job_id}" for each in self.conditions)])
        return compose(painter, self, snapshot, title, "documents", children)

    @property
    def jobs(self) -> dict[str, int]:
        """The jobs that the filter asks for, by the parameters of the address that name them."""
        named = {name: getattr(self.matching, name) for name in JOBS}
        return {name: job_id for name, job_id in named.items() if job_id is not None}

    @property
    def conditions(self) -> list[Condition]:
        """What the filter asks of jobs."""
        return [Condition(JOBS[name], job_id) for name, job_id in self.jobs.items()]

    @property
    def is_filtered(self) -> bool:
        return bool(self.chips)

    @property
    def has_search(self) -> bool:
        """Whether the filter asks more than which jobs made them."""
        return len(self.chips) > len(self.jobs)

    @property
    def since(self) -> str | None:
        return dom.minute(self.matching.since)

    @property
    def until(self) -> str | None:
        return dom.minute(self.matching.until)

    @property
    def chips(self) -> list[FilterChip]:
        return list(self._chips())

    def _chips(self) -> Iterator[FilterChip]:
        matching = self.matching
        if matching.text:
            yield self._chip(f"with \u201c{matching.text}\u201d", text=None)
        for tag in matching.tags:
            yield self._chip(f"tagged {tag}", tags=tuple(each for each in matching.tags if each != tag))
        if matching.source_type:
            yield self._chip(f"of type {matching.source_type}", source_type=None)
        if matching.category:
            yield self._chip(f"in category {matching.category}", category=None)
        if matching.since is not None:
            yield self._chip(f"made from {moment(matching.since)}", since=None)
        if matching.until is not None:
            yield self._chip(f"made to {moment(matching.until)}", until=None)
        for name, job_id in self.jobs.items():
            yield self._chip(f"{JOBS[name]} {job_id}", **{name: None})

    def _chip(self, words: str, **without: Any) -> FilterChip:
        return FilterChip(words, self._at(replace(self.matching, **without)))

    def _facets(self, found: DocumentFacets) -> tuple[FacetGroup, ...]:
        """Those that narrow down further."""
        matching = self.matching
        tags = tuple(self._facet("tag", each, tags=(*matching.tags, each.name)) for each in _linked(found.tags))
        types = tuple(self._facet("source_type", each, source_type=each.name) for each in _linked(found.source_types))
        categories = tuple(self._facet("category", each, category=each.name) for each in _linked(found.categories))
        return (
            FacetGroup("Source types", () if matching.source_type else types),
            FacetGroup("Categories", () if matching.category else categories),
            FacetGroup("Tags", tags, found.tag_total - len(tags)),
        )

    def _facet(self, kind: str, facet: Facet, **narrower: Any) -> FacetLink:
        return FacetLink(kind, facet.name, facet.number, self._at(replace(self.matching, **narrower)))

    @staticmethod
    def _at(matching: DocumentFilter, cursor: str | None = None) -> str:
        return dom.documents_url(
            **{name: getattr(matching, name) for name in JOBS},
            q=matching.text,
            tag=matching.tags,
            source_type=matching.source_type,
            category=matching.category,
            **{"from": dom.minute(matching.since), "to": dom.minute(matching.until)},
            cursor=cursor,
        )


def _linked(facets: Sequence[Facet]) -> Iterator[Facet]:
    """Those that an address can hold."""
    return (facet for facet in facets if len(facet.name) <= dom.LONGEST_NAME)
