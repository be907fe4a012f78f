"""The pages. Each finds its view, paints it from one snapshot, and puts it into the frame that all pages share."""

from __future__ import annotations

from collections.abc import Callable

from litestar import MediaType, Response, get
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.snapshot import Snapshot
from app.web import addresses, dom
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.document_view import DocumentView
from app.web.documents_view import DocumentsView
from app.web.live.browsers import browser_of, name_tag
from app.web.live.hub import Live
from app.web.run_view import RunView
from app.web.screens import Screen, View
from app.web.views import LogView, StepView


@get("/", include_in_schema=False)
async def home() -> Redirect:
    return Redirect("/queue", status_code=303)


@get("/queue", include_in_schema=False)
async def queue_page(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    view = addresses.queue_view(request.query_params)
    definitions = access.catalog.definitions()
    tags = sorted({tag for definition in definitions for tag in definition.tags})
    return await _show(lambda _: view, request, access, live, page="queue", definitions=definitions, tags=tags)


@get("/jobs", include_in_schema=False)
async def jobs_page(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    view = addresses.jobs_view(request.query_params)
    return await _show(lambda _: view, request, access, live)


@get("/documents", include_in_schema=False)
async def documents_page(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    view = addresses.documents_view(request.query_params)
    return await _show(lambda _: view, request, access, live)


@get("/documents/{document_id:int}", include_in_schema=False)
async def document_page(
    document_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    """The page of a document; its text as it is stored, if the query says `raw`."""
    if "raw" in request.query_params:
        text = (await access.read(lambda snapshot: snapshot.document(document_id))).body
        return Response(text, media_type=MediaType.TEXT, headers={"Cache-Control": "no-store"})
    return await _show(lambda snapshot: addresses.document_view(snapshot, document_id), request, access, live)


@get("/jobs/{job_id:int}", include_in_schema=False)
async def job_page(
    job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str] | Redirect:
    """The page of a run or of a work item; a step has its own address."""
    query = request.query_params
    view = await access.read(lambda snapshot: addresses.job_view(snapshot, job_id, query))
    if isinstance(view, StepView):
        return Redirect(view.url, status_code=303)
    return await _show(lambda _: view, request, access, live)


@get("/jobs/{job_id:int}/log", include_in_schema=False)
async def run_log_page(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    query = request.query_params
    return await _show(lambda snapshot: addresses.run_log_view(snapshot, job_id, query), request, access, live)


@get("/jobs/{manager_id:int}/steps/{name:str}", include_in_schema=False)
async def step_page(
    manager_id: FromPath[int], name: FromPath[str], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    query = request.query_params
    return await _show(lambda snapshot: addresses.step_view(snapshot, manager_id, name, query), request, access, live)


async def show(view: View, request: AnyRequest, access: Access, live: Live, page: str = "view") -> Response[str]:
    """The page of a view that is there for certain."""
    return await _show(lambda _: view, request, access, live, page)


async def _show(
    find: Callable[[Snapshot], View],
    request: AnyRequest,
    access: Access,
    live: Live,
    page: str = "view",
    **context: object,
) -> Response[str]:
    def paint(snapshot: Snapshot) -> tuple[View, Screen, str]:
        view = find(snapshot)
        screen = view.paint(live.easel, snapshot)
        return view, screen, _page(live, page, view, screen, context)

    view, screen, html = await access.read(paint)
    live.offer(view, screen)
    cookies = [] if browser_of(request.cookies) else [name_tag()]
    return Response(html, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"}, cookies=cookies)


def _page(live: Live, page: str, view: View, screen: Screen, context: dict[str, object]) -> str:
    stream = dom.stream_url(view.url)
    since = f"{'&' if '?' in stream else '?'}since={screen.revision}"
    template = live.easel.painter.environment.get_template(f"pages/{page}.html")
    return template.render(
        title=screen.title.html,
        icon=screen.icon.html,
        view=screen.view.html,
        revision=screen.revision,
        stream=stream + since,
        stands_still=isinstance(view, LogView) and not view.log.follows,
        has_log=isinstance(view, LogView),
        has_documents=isinstance(view, DocumentsView | DocumentView),
        has_picture=isinstance(view, DocumentView),
        has_steps=isinstance(view, RunView),
        **context,
    )
