"""Pausing and resuming on the page: a run from its own, a definition and the whole queue from the page of pauses."""

from __future__ import annotations

import asyncio

from litestar import Response, get, post
from litestar.exceptions import ValidationException
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.pauses import QUEUE, Scope
from app.queue.store.pause import NothingToPause, pause_as, resume_as
from app.queue.text import storable
from app.web import dom
from app.web.access import NoSuchDefinition
from app.web.control import whole_run
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import Conflict
from app.web.retry_pages import show
from app.web.who import at_the_page

PAGE = "/pauses"


@get(PAGE, include_in_schema=False)
async def pauses_page(access: TheAccess, live: TheLive) -> Response[str]:
    """What is paused, and what can be."""
    revision, pauses = await access.read(lambda snapshot: (snapshot.revision, snapshot.pauses()))
    definitions = await asyncio.to_thread(access.catalog.definitions)
    by_what = {each.what: each for each in pauses}
    known = {Scope(each.id).words for each in definitions}
    others = [each for each in pauses if each.what not in known and each.what != QUEUE.words]
    rows = [(each, by_what.get(Scope(each.id).words)) for each in definitions if not each.problem]
    context = {"revision": revision, "queue": by_what.get(QUEUE.words), "rows": rows, "others": others}
    return show(live, "pauses", context)


@post(PAGE, include_in_schema=False)
async def pause_something(request: AnyRequest, access: TheAccess) -> Redirect:
    """Pauses the definition that the form names, or else the queue. What is paused already stays so."""
    form = await request.form()
    name = storable(str(form.get("definition", "")))
    if name and name not in {each.id for each in await asyncio.to_thread(access.catalog.definitions)}:
        raise NoSuchDefinition(f"there is no definition {name}; nothing was paused")
    await access.writer(pause_as, Scope(name or None), at_the_page(request))
    return Redirect(PAGE, status_code=303)


@post(f"{PAGE}/resumption", include_in_schema=False)
async def resume_something(request: AnyRequest, access: TheAccess) -> Redirect:
    """Resumes what the form names as it is shown: queue, definition news, run 12."""
    what = storable(str((await request.form()).get("what", "")))
    kind, _, name = what.partition(" ")
    if kind == "run" and name.isascii() and name.isdecimal() and len(name) < 18:
        scope = Scope(manager_id=int(name))
    elif kind == "definition" and name:
        scope = Scope(name)
    elif what == QUEUE.stored:
        scope = QUEUE
    else:
        raise ValidationException(f"what must be queue, a definition or a run; {what!r} is none of them")
    await access.writer(resume_as, scope, at_the_page(request))
    return Redirect(PAGE, status_code=303)


@post("/jobs/{job_id:int}/pause", include_in_schema=False)
async def pause_run(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Pauses a run and shows it."""
    await access.read(lambda snapshot: whole_run(snapshot.job(job_id), "paused"))
    try:
        await access.writer(pause_as, Scope(manager_id=job_id), at_the_page(request))
    except NothingToPause as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    return Redirect(dom.job_url(job_id), status_code=303)


@post("/jobs/{job_id:int}/resumption", include_in_schema=False)
async def resume_run(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Resumes a run and shows it."""
    await access.read(lambda snapshot: whole_run(snapshot.job(job_id), "resumed"))
    await access.writer(resume_as, Scope(manager_id=job_id), at_the_page(request))
    return Redirect(dom.job_url(job_id), status_code=303)
