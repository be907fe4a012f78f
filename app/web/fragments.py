"""The fragments: pieces of pages on their own, exactly as pages show them and streams send them."""

from __future__ import annotations

from collections.abc import Callable

from litestar import MediaType, Response, get
from litestar.params import FromPath

from app.queue.models import Kind
from app.queue.snapshot import Snapshot
from app.web import addresses
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.documents_view import DOCUMENTS_PER_PAGE
from app.web.live.hub import Live
from app.web.painting import document, documents, jobs, runs, statistics, steps, throughput, timeline
from app.web.painting.logs import QUEUE_PANEL
from app.web.pieces import Piece
from app.web.screens import Easel


@get("/fragments/statistics", include_in_schema=False)
async def statistics_fragment(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    return await _piece(
        request, access, live, lambda easel, snapshot: statistics.paint_statistics(easel.painter, snapshot.statistics())
    )


@get("/fragments/throughput", include_in_schema=False)
async def throughput_fragment(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """How many work items ended per minute."""

    def paint(easel: Easel, snapshot: Snapshot) -> Piece:
        return easel.painter.once(throughput.paint_throughput, snapshot.minutes(throughput.MINUTES))

    return await _piece(request, access, live, paint)


@get("/fragments/jobs/{job_id:int}/timeline", include_in_schema=False)
async def timeline_fragment(
    job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    """When the steps of a run ran."""
    return await _piece(
        request, access, live, lambda easel, snapshot: timeline.paint_timeline(easel.painter, snapshot.run(job_id))
    )


@get("/fragments/jobs/{job_id:int}", include_in_schema=False)
async def job_fragment(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """A run's row with its steps, a step's row with its log, or a work item's row."""
    return await _piece(request, access, live, lambda easel, snapshot: _row(easel, snapshot, job_id))


@get("/fragments/jobs/{job_id:int}/head", include_in_schema=False)
async def job_head_fragment(
    job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    """The head of a run's or step's row."""
    return await _piece(request, access, live, lambda easel, snapshot: _head(easel, snapshot, job_id))


@get("/fragments/steps/{step_id:int}", include_in_schema=False)
async def step_fragment(step_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    return await _piece(request, access, live, lambda easel, snapshot: _step_row(easel, snapshot, step_id))


@get(["/fragments/jobs/{job_id:int}/log", "/fragments/steps/{job_id:int}/log"], include_in_schema=False)
async def log_fragment(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """The log of a run, a step or a work item, asked for as on its page: by level, text and place."""
    query = addresses.log_query(request.query_params)
    return await _piece(
        request, access, live, lambda easel, snapshot: easel.log(snapshot, addresses.log_zoom(snapshot, job_id), query)
    )


@get("/fragments/documents", include_in_schema=False)
async def documents_fragment(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """A page of the list of documents, asked for as on its page."""
    view = addresses.documents_view(request.query_params)

    def paint(easel: Easel, snapshot: Snapshot) -> Piece:
        return documents.paint_list(easel.painter, snapshot.documents(view.matching, DOCUMENTS_PER_PAGE, view.cursor))

    return await _piece(request, access, live, paint)


@get("/fragments/documents/{document_id:int}", include_in_schema=False)
async def document_fragment(
    document_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    """A document: what is known of it, and what it says."""

    def paint(easel: Easel, snapshot: Snapshot) -> Piece:
        return document.paint_document(easel.painter, snapshot.document(document_id, document.SHOWN))

    return await _piece(request, access, live, paint)


async def _piece(
    request: AnyRequest, access: Access, live: Live, paint: Callable[[Easel, Snapshot], Piece]
) -> Response[str]:
    html = await access.read(lambda snapshot: paint(live.easel, snapshot).html)
    if "origin" in request.headers:
        # For a page of another site, where links without a host would lead to that site. Text holds no bare quotes.
        html = html.replace(' href="/', f' href="{request.url.scheme}://{request.headers["host"]}/')
    return Response(html, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})


def _row(easel: Easel, snapshot: Snapshot, job_id: int) -> Piece:
    job = snapshot.job(job_id)
    if job.kind is Kind.MANAGER:
        return runs.paint_row(easel.painter, easel.shelf, snapshot, snapshot.run(job_id))
    if job.kind is Kind.STEP:
        return _step_row(easel, snapshot, job_id)
    return easel.painter.once(jobs.paint_row, jobs.JobRow(job))


def _step_row(easel: Easel, snapshot: Snapshot, step_id: int) -> Piece:
    run = snapshot.run(snapshot.job(step_id).manager_id)
    step = next(step for step in run.steps if step.id == step_id)
    head = steps.StepHead(step, len(run.steps))
    return steps.paint_row(easel.painter, easel.shelf, snapshot, head, QUEUE_PANEL)


def _head(easel: Easel, snapshot: Snapshot, job_id: int) -> Piece:
    job = snapshot.job(job_id)
    run = snapshot.run(job.manager_id)
    if job.kind is Kind.MANAGER:
        return easel.painter.once(runs.paint_head, runs.RunHead(run))
    step = next((step for step in run.steps if step.id == job_id), None)
    if step is None:
        return easel.painter.once(jobs.paint_item_title, jobs.JobRow(job))
    return easel.painter.once(steps.paint_head, steps.StepHead(step, len(run.steps)))
