"""The priority of a run, changed on its page and by programs."""

from __future__ import annotations

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, Parameter
from litestar.response import Redirect
from litestar.status_codes import HTTP_202_ACCEPTED

from app.queue.limits import MOST_PRIORITY
from app.queue.store.priority import NothingToPrioritise, prioritise_as, priority_of
from app.web import dom
from app.web.access import Access
from app.web.api_control import JobId
from app.web.control import whole_run
from app.web.dependencies import AnyRequest, TheAccess
from app.web.errors import Conflict, error_answers
from app.web.json_control import Prioritised
from app.web.who import at_the_api, at_the_page

ToPriority = Annotated[
    int, Parameter(ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Of two runs the one with the higher goes first.")
]


@post("/jobs/{job_id:int}/priority", include_in_schema=False)
async def set_priority(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Gives a run another priority and shows it."""
    await access.read(lambda snapshot: whole_run(snapshot.job(job_id), "given a priority"))
    try:
        priority = priority_of(str((await request.form()).get("priority", "")))
    except ValueError as error:
        raise ValidationException(f"priority: {error}") from error
    try:
        await access.writer(prioritise_as, job_id, priority, at_the_page(request))
    except NothingToPrioritise as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    return Redirect(dom.job_url(job_id), status_code=303)


@post("/jobs/{job_id:int}/priority", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def prioritise_job(
    job_id: JobId, priority: ToPriority, request: AnyRequest, access: NamedDependency[Access]
) -> Prioritised:
    """Lets a run go before those of a lower priority, from the next work item on, and after those of a higher one."""
    whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "given a priority")
    try:
        done = await access.writer(prioritise_as, job_id, priority, at_the_api(request))
    except NothingToPrioritise as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    detail = f"run {job_id} has priority {priority}{'' if done else ' already'}"
    return Prioritised(access.monitor.revision, job_id, priority, detail)
