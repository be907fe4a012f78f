"""Pausing and resuming schedules from the page: forms, that answer with the page of the definition."""

from __future__ import annotations

from litestar import post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.store.schedules import pause_schedule, resume_schedule
from app.web import dom
from app.web.dependencies import AnyRequest, TheAccess
from app.web.who import at_the_page


@post("/definitions/{definition_id:str}/schedule/pause", include_in_schema=False)
async def pause(definition_id: FromPath[str], request: AnyRequest, access: TheAccess) -> Redirect:
    """Lets ticks pass without a run; of a schedule that is paused nothing changes."""
    await access.notice_definitions()
    await access.writer(pause_schedule, definition_id, at_the_page(request))
    return Redirect(dom.definition_url(definition_id), status_code=303)


@post("/definitions/{definition_id:str}/schedule/resumption", include_in_schema=False)
async def resume(definition_id: FromPath[str], request: AnyRequest, access: TheAccess) -> Redirect:
    """Goes on with the next tick."""
    await access.writer(resume_schedule, definition_id, access.database.clock.now(), at_the_page(request))
    return Redirect(dom.definition_url(definition_id), status_code=303)
