"""Pausing and resuming for programs. Each says what is so afterwards; asked for twice it is done once."""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from app.queue.pauses import QUEUE, Scope
from app.queue.snapshot import Snapshot
from app.queue.store.pause import NothingToPause, pause_as, resume_as
from app.queue.text import storable
from app.web import dom
from app.web.access import Access, NoSuchDefinition
from app.web.api_control import JobId
from app.web.control import whole_run
from app.web.dependencies import AnyRequest
from app.web.errors import Conflict, error_answers
from app.web.json_control import PauseJson, Pauses, Pausing
from app.web.who import at_the_api

DefinitionId = Annotated[str, Parameter(max_length=200, description="The id of a definition.")]


@get("/pauses")
async def list_pauses(access: NamedDependency[Access]) -> Pauses:
    """Everything that is paused, the longest paused first."""

    def reading(snapshot: Snapshot) -> Pauses:
        found = [PauseJson.of(each) for each in snapshot.pauses()]
        return Pauses(snapshot.revision, len(found), found)

    return await access.read(reading)


@post("/queue/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(503))
async def pause_queue(request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Begins nothing more; what runs finishes."""
    return await _pause(QUEUE, request, access)


@delete("/queue/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(503))
async def resume_queue(request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Goes on with what waits."""
    return await _resume(QUEUE, request, access)


@post("/definitions/{definition_id:str}/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 503))
async def pause_definition(
    definition_id: DefinitionId, request: AnyRequest, access: NamedDependency[Access]
) -> Pausing:
    """Begins nothing more of its runs; what runs finishes."""
    if definition_id not in {each.id for each in await asyncio.to_thread(access.catalog.definitions)}:
        raise NoSuchDefinition(f"there is no definition {definition_id!r}; nothing was paused")
    return await _pause(Scope(storable(definition_id)), request, access)


@delete("/definitions/{definition_id:str}/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(503))
async def resume_definition(
    definition_id: DefinitionId, request: AnyRequest, access: NamedDependency[Access]
) -> Pausing:
    """Goes on with its runs, also with those of a definition that is not there any more."""
    return await _resume(Scope(storable(definition_id)), request, access)


@post("/jobs/{job_id:int}/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def pause_job(job_id: JobId, request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Begins nothing more of a run; what runs finishes."""
    whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "paused")
    try:
        return await _pause(Scope(manager_id=job_id), request, access)
    except NothingToPause as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal


@delete("/jobs/{job_id:int}/pause", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def resume_job(job_id: JobId, request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Goes on with a run."""
    whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "resumed")
    return await _resume(Scope(manager_id=job_id), request, access)


async def _pause(scope: Scope, request: AnyRequest, access: Access) -> Pausing:
    done = await access.writer(pause_as, scope, at_the_api(request))
    detail = f"{scope.words} is paused; what runs finishes" if done else f"{scope.words} was paused already"
    return Pausing(access.monitor.revision, scope.words, True, detail)


async def _resume(scope: Scope, request: AnyRequest, access: Access) -> Pausing:
    done = await access.writer(resume_as, scope, at_the_api(request))
    detail = f"{scope.words} goes on" if done else f"{scope.words} was not paused"
    return Pausing(access.monitor.revision, scope.words, False, detail)
