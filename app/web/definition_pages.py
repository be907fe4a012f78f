"""The definitions: all of them, and one with its text and the form that starts it."""

from __future__ import annotations

import asyncio

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.web import shown_schedules
from app.web.access import Access
from app.web.dependencies import TheAccess, TheLive
from app.web.live.hub import Live


@get("/definitions", include_in_schema=False)
async def definitions_page(access: TheAccess, live: TheLive) -> Response[str]:
    definitions = await asyncio.to_thread(access.catalog.definitions)
    schedules = await shown_schedules.of_all(access, definitions)
    return _page(access, live, "definitions", definitions=definitions, schedules=schedules)


@get("/definitions/{definition_id:str}", include_in_schema=False)
async def definition_page(definition_id: FromPath[str], access: TheAccess, live: TheLive) -> Response[str]:
    definitions = await asyncio.to_thread(access.catalog.definitions)
    found = next((each for each in definitions if each.id == definition_id), None)
    if found is None:
        raise NotFoundException(f"There is no definition {definition_id!r}.")
    schedule = await shown_schedules.of_one(access, found)
    return _page(access, live, "definition", definition=found, schedule=schedule)


def _page(access: Access, live: Live, page: str, **context: object) -> Response[str]:
    template = live.easel.painter.environment.get_template(f"pages/{page}.html")
    html = template.render(revision=access.monitor.revision, **context)
    return Response(html, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})
