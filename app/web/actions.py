"""The actions of the page: each is a form that is posted to a resource, and answers with the page that shows the
outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from litestar import MediaType, Response, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.store.control import cancel_as, start_as
from app.queue.store.priority import priority_of
from app.queue.store.start import AlreadyRunning, DefinitionDisabled
from app.web import dom
from app.web.access import Access, NoSuchDefinition, NotStartable
from app.web.control import target_of
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.live.hub import Live
from app.web.retry_pages import page_of
from app.web.who import at_the_page

PARAMETER = "parameter."
"""Before the name of a parameter in the form that starts a run."""


@post("/jobs", include_in_schema=False)
async def start_run(request: AnyRequest, access: TheAccess, live: TheLive) -> Redirect | Response[str]:
    """Starts a run of a definition, and shows it. A field left empty is not given."""
    form = await request.form()
    definition = str(form.get("definition", ""))
    given = {
        name.removeprefix(PARAMETER): str(value) for name, value in form.items() if name.startswith(PARAMETER) and value
    }
    priority = str(form.get("priority", ""))
    refused = partial(_refused, access, live, definition, given, priority)
    try:
        plan = await asyncio.to_thread(access.catalog.plan, definition, given)
        if priority:
            plan = replace(plan, priority=_priority(priority))
        return Redirect(dom.job_url(await access.writer(start_as, plan, at_the_page(request))), status_code=303)
    except NotStartable as refusal:
        return refused(422, problems=refusal.problems)
    except NoSuchDefinition as refusal:
        return refused(404, problems={"definition": str(refusal)})
    except AlreadyRunning as refusal:
        in_the_way = (dom.job_url(refusal.manager_id), "Go to the run in progress")
        return refused(409, problems={"definition": str(refusal)}, see=in_the_way)
    except DefinitionDisabled as refusal:
        page = (dom.definition_url(definition), "Go to the definition")
        return refused(409, problems={"definition": str(refusal)}, see=page)


@post("/jobs/{job_id:int}/cancellation", include_in_schema=False)
async def cancel_run(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Cancels a run, a step or a work item and shows it; what has ended by now stays as it ended."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    await access.writer(cancel_as, target_of(job), at_the_page(request))
    return Redirect(page_of(job), status_code=303)


def _priority(text: str) -> int:
    try:
        return priority_of(text)
    except ValueError as error:
        raise NotStartable({"priority of the run": str(error)}) from error


def _refused(
    access: Access,
    live: Live,
    definition: str,
    given: dict[str, str],
    priority: str,
    status: int,
    problems: dict[str, str],
    see: tuple[str, str] | None = None,
) -> Response[str]:
    template = live.easel.painter.environment.get_template("pages/not_started.html")
    definitions = [each for each in access.catalog.definitions() if each.id == definition]
    html = template.render(
        definition=definition,
        definitions=definitions,
        given=given,
        priority=priority,
        problems=problems,
        see=see,
        revision=access.monitor.revision,
    )
    return Response(html, status_code=status, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})
