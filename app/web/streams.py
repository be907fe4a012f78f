"""The streams: each page's sibling, that keeps it true."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from litestar import get
from litestar.params import FromPath

from app.queue.database import ReadFailed
from app.queue.snapshot import Snapshot
from app.web import addresses, dom
from app.web.access import Access
from app.web.definitions_view import DefinitionsView, DefinitionView
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.live.browsers import browser_of
from app.web.live.hub import Live
from app.web.live.response import LiveResponse
from app.web.logs.query import LogZoom
from app.web.screens import View
from app.web.sought_view import SoughtView

_EVENT_STREAM = "text/event-stream"


@get("/queue/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def queue_stream(request: AnyRequest, live: TheLive) -> LiveResponse:
    return follow(addresses.queue_view(request.query_params), request, live)


@get("/jobs/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def jobs_stream(request: AnyRequest, live: TheLive) -> LiveResponse:
    return follow(addresses.jobs_view(request.query_params), request, live)


@get("/documents/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def documents_stream(request: AnyRequest, live: TheLive) -> LiveResponse:
    return follow(addresses.documents_view(request.query_params), request, live)


@get("/documents/{document_id:int}/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def document_stream(
    document_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> LiveResponse:
    url = dom.document_url(document_id)
    return await _seek(url, lambda snapshot: addresses.document_view(snapshot, document_id), request, access, live)


@get("/jobs/{job_id:int}/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def job_stream(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> LiveResponse:
    query = request.query_params
    url = addresses.log_query(query).url(dom.job_url(job_id))
    return await _seek(url, lambda snapshot: addresses.job_view(snapshot, job_id, query), request, access, live)


@get("/jobs/{job_id:int}/log/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def run_log_stream(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> LiveResponse:
    query = request.query_params
    url = addresses.log_query(query).url(LogZoom.run_path(job_id))
    return await _seek(url, lambda snapshot: addresses.run_log_view(snapshot, job_id, query), request, access, live)


@get("/jobs/{manager_id:int}/steps/{name:str}/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def step_stream(
    manager_id: FromPath[int],
    name: FromPath[str],
    request: AnyRequest,
    access: TheAccess,
    live: TheLive,
) -> LiveResponse:
    query = request.query_params
    url = addresses.log_query(query).url(dom.step_url(manager_id, name))
    return await _seek(
        url, lambda snapshot: addresses.step_view(snapshot, manager_id, name, query), request, access, live
    )


@get("/definitions/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def definitions_stream(request: AnyRequest, access: TheAccess, live: TheLive) -> LiveResponse:
    return follow(DefinitionsView(access.catalog), request, live)


@get("/definitions/{definition_id:str}/stream", media_type=_EVENT_STREAM, include_in_schema=False)
async def definition_stream(
    definition_id: FromPath[str], request: AnyRequest, access: TheAccess, live: TheLive
) -> LiveResponse:
    return follow(DefinitionView(definition_id, access.catalog), request, live)


def follow(view: View, request: AnyRequest, live: Live) -> LiveResponse:
    """The stream of a view, from what the page that asks has seen."""
    # After a reconnect the query still says what the page was opened with; the header says what it has seen since.
    last_id = request.headers.get("last-event-id")
    since, browser = addresses.since(request.query_params), browser_of(request.cookies)
    return LiveResponse(live.subscribe(view, last_id, since, browser))


async def _seek(
    url: str, find: Callable[[Snapshot], View], request: AnyRequest, access: Access, live: Live
) -> LiveResponse:
    """The stream of the view at `url`. While the database cannot be read nobody knows whether there is one."""
    view: View = SoughtView(url, find)
    if not access.reading.stops_work:
        with suppress(ReadFailed):
            view = await access.read(find)
    return follow(view, request, live)
