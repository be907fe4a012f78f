"""The definitions: all of them, and one with its text, the form that starts it and the switch that keeps it from
running."""

from __future__ import annotations

import asyncio

from litestar import MediaType, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.snapshot import Snapshot
from app.queue.store.definitions import switch
from app.web import dom
from app.web.access import Access, DefinitionSummary
from app.web.definitions_view import DefinitionsView, DefinitionView
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.live.browsers import browser_of, name_tag
from app.web.live.hub import Live
from app.web.screens import Screen
from app.web.who import at_the_page


@get("/definitions", include_in_schema=False)
async def definitions_page(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    await access.notice_definitions()
    view = DefinitionsView(access.catalog)
    return await _show(view, request, access, live, "definitions", editor=access.catalog.editor)


@get("/definitions/{definition_id:str}", include_in_schema=False)
async def definition_page(
    definition_id: FromPath[str], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    await find(access, definition_id)
    await access.notice_definitions()
    # What is being typed into its form would be lost if the page refreshed itself.
    view = DefinitionView(definition_id, access.catalog)
    return await _show(view, request, access, live, "definition", stands_still=True)


@post("/definitions/{definition_id:str}/switch", include_in_schema=False)
async def switch_definition(definition_id: FromPath[str], request: AnyRequest, access: TheAccess) -> Redirect:
    """Enables or disables a definition, and shows it."""
    form = await request.form()
    await find(access, definition_id)
    await access.writer(switch, definition_id, form.get("enabled") == "yes", at_the_page(request))
    return Redirect(dom.definition_url(definition_id), status_code=303)


async def find(access: Access, definition_id: str) -> DefinitionSummary:
    """Raises NotFoundException."""
    for each in await asyncio.to_thread(access.catalog.definitions):
        if each.id == definition_id:
            return each
    raise NotFoundException(f"There is no definition {definition_id!r}.")


async def _show(
    view: DefinitionsView | DefinitionView,
    request: AnyRequest,
    access: Access,
    live: Live,
    page: str,
    stands_still: bool = False,
    **context: object,
) -> Response[str]:
    def paint(snapshot: Snapshot) -> tuple[Screen, str]:
        screen = view.paint(live.easel, snapshot)
        template = live.easel.painter.environment.get_template(f"pages/{page}.html")
        return screen, template.render(
            title=screen.title.html,
            icon=screen.icon.html,
            view=screen.view.html,
            revision=screen.revision,
            stream=f"{dom.stream_url(view.url)}?since={screen.revision}",
            stands_still=stands_still,
            has_log=False,
            has_documents=False,
            has_picture=False,
            has_steps=False,
            **context,
        )

    screen, html = await access.read(paint)
    live.offer(view, screen)
    cookies = [] if browser_of(request.cookies) else [name_tag()]
    return Response(html, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"}, cookies=cookies)
