"""Documents in the JSON API."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Parameter

from app.queue.places import LARGEST
from app.queue.snapshot import DocumentFilter, Snapshot
from app.queue.text import storable
from app.web.access import Access
from app.web.addresses import LONGEST_SEARCH, MOST_TAGS
from app.web.dom import LONGEST_NAME
from app.web.errors import error_answers
from app.web.json_documents import DocumentAnswer, DocumentJson, Documents

Name = Annotated[str | None, Parameter(max_length=LONGEST_NAME)]
DocumentId = Annotated[int, Parameter(ge=1, le=LARGEST, examples=[Example(value=1)])]


@get("/documents", responses=error_answers())
async def list_documents(
    access: NamedDependency[Access],
    q: Annotated[str | None, Parameter(max_length=LONGEST_SEARCH)] = None,
    tag: Annotated[list[str] | None, Parameter(max_items=MOST_TAGS)] = None,
    source_type: Name = None,
    category: Name = None,
    manager_id: Annotated[int | None, Parameter(ge=1, le=LARGEST)] = None,
    step_id: Annotated[int | None, Parameter(ge=1, le=LARGEST)] = None,
    worker_id: Annotated[int | None, Parameter(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Parameter(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Parameter(max_length=60)] = None,
) -> Documents:
    """Documents without their bodies, the newest first. `q`: words of title or body, all of which must be there, words
    in double quotes side by side. `tag`: given several times, documents carry all of them. The ids: of the run, the
    step or the work item that made them."""
    matching = DocumentFilter(
        manager_id=manager_id,
        step_id=step_id,
        worker_id=worker_id,
        text=_text(q),
        tags=tuple(dict.fromkeys(storable(each) for each in tag or () if each)),
        source_type=_text(source_type),
        category=_text(category),
    )

    def reading(snapshot: Snapshot) -> Documents:
        page = snapshot.documents(matching, limit, cursor)
        return Documents(snapshot.revision, page.total, [DocumentJson.of(each) for each in page.documents], page.next)

    return await access.read(reading)


@get("/documents/{document_id:int}", responses=error_answers(404))
async def one_document(document_id: DocumentId, access: NamedDependency[Access]) -> DocumentAnswer:
    """One document with its body and its metadata."""
    return await access.read(lambda snapshot: DocumentAnswer.at(snapshot.revision, snapshot.document(document_id)))


def _text(given: str | None) -> str | None:
    """As it is stored; an empty one is none."""
    return storable(given or "") or None
