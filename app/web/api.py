"""The JSON API: what the pages show, for programs. Each answer is read from one snapshot, which `revision` names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import FromQuery, JSONBody, Parameter, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from app.queue.job_records import manager_record
from app.queue.models import Kind, Level
from app.queue.places import LARGEST
from app.queue.snapshot import JobFilter, LogFilter, Snapshot
from app.queue.status import Status
from app.queue.store.control import start_as
from app.queue.store.definitions import switch
from app.queue.text import storable
from app.web import dom
from app.web.access import Access, DefinitionSummary, NoSuchDefinition
from app.web.addresses import LONGEST_TIME, point_in_time
from app.web.api_acknowledge import acknowledge_job, reopen_job
from app.web.api_actions import job_actions, list_actions
from app.web.api_attempts import job_attempts
from app.web.api_bulk import confirm_bulk, freeze_jobs, one_bulk
from app.web.api_control import JobId, cancel_job, delete_job, rerun_job, retry_job
from app.web.api_documents import list_documents, one_document
from app.web.api_pause import (
    list_pauses,
    pause_definition,
    pause_job,
    pause_queue,
    resume_definition,
    resume_job,
    resume_queue,
)
from app.web.api_previews import preview_deletion, preview_retry
from app.web.dependencies import AnyRequest
from app.web.errors import error_answers
from app.web.json_definitions import (
    Definition,
    DefinitionAnswer,
    Definitions,
    JobStarted,
    StartJob,
    SwitchDefinition,
)
from app.web.json_shapes import Job, JobAnswer, Jobs, Line, Logs, Stats, Structure, Tree
from app.web.priority_pages import prioritise_job
from app.web.who import at_the_api

MOST_FAILURES = 50

Search = Annotated[str | None, Parameter(max_length=200)]
Name = Annotated[str | None, Parameter(max_length=200)]
OpenOnly = Annotated[bool, Parameter(description="Only failures that nobody has acknowledged.")]
Failure = Annotated[
    str | None, Parameter(max_length=400, description="Only work items that failed in this group: its `pattern`.")
]
_TIME = "2026-11-21 or 2026-11-21T12:00, in the time zone of the server."
Since = Annotated[
    str | None,
    QueryParameter(name="from", max_length=LONGEST_TIME, description=f"Their run was created then or later: {_TIME}"),
]
Until = Annotated[
    str | None, QueryParameter(name="to", max_length=LONGEST_TIME, description=f"Their run was created before: {_TIME}")
]
Place = Annotated[str | None, Parameter(max_length=60)]
DefinitionId = Annotated[str, Parameter(max_length=200, examples=[Example(value="codebase_classify")])]


@post("/jobs", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 422, 503))
async def start_job(
    data: JSONBody[StartJob], request: AnyRequest, access: NamedDependency[Access]
) -> Response[JobStarted]:
    """Starts a definition."""
    plan = await asyncio.to_thread(access.catalog.plan, data.definition, data.parameters)
    if data.priority is not None:
        plan = replace(plan, priority=data.priority)
    job_id = await access.writer(start_as, plan, at_the_api(request))
    started = JobStarted(access.monitor.revision, job_id, f"/jobs/{job_id}")
    return Response(started, headers={"Location": started.url})


@get("/jobs", responses=error_answers())
async def list_jobs(
    access: NamedDependency[Access],
    kind: FromQuery[Kind | None] = None,
    status: FromQuery[Status | None] = None,
    manager_id: Annotated[int | None, Parameter(ge=1, le=LARGEST)] = None,
    step: Name = None,
    definition: Name = None,
    q: Search = None,
    tag: Name = None,
    failure: Failure = None,
    since: Since = None,
    until: Until = None,
    open: OpenOnly = False,
    limit: Annotated[int, Parameter(ge=1, le=500)] = 50,
    cursor: Place = None,
) -> Jobs:
    """Jobs of any kind: runs and steps newest first, then work items by step. `q`: part of the name. `tag`: of their
    run."""
    step, definition, q = (each and storable(each) for each in (step, definition, q))
    matching = JobFilter(
        kind,
        status,
        manager_id,
        step,
        definition,
        q,
        storable(tag or "") or None,
        point_in_time("from", since),
        point_in_time("to", until),
        failure=dom.failure_pattern(storable(failure or "") or None),
        open=open,
    )

    def reading(snapshot: Snapshot) -> Jobs:
        page = snapshot.jobs(matching, limit, cursor)
        return Jobs(snapshot.revision, page.total, [Job.of(job) for job in page.jobs], page.next)

    return await access.read(reading)


@get("/jobs/stats")
async def job_stats(access: NamedDependency[Access]) -> Stats:
    """How many jobs there are of each kind and status."""
    return await access.read(lambda snapshot: Stats.at(snapshot.revision, snapshot.statistics()))


@get("/jobs/{job_id:int}", responses=error_answers(404))
async def one_job(job_id: JobId, access: NamedDependency[Access]) -> JobAnswer:
    """One job of any kind."""
    return await access.read(lambda snapshot: JobAnswer.at(snapshot.revision, snapshot.job(job_id)))


@get("/jobs/{job_id:int}/structure", responses=error_answers(404))
async def job_structure(job_id: JobId, access: NamedDependency[Access]) -> Structure:
    """The run that the job is, or belongs to, at a glance."""

    def reading(snapshot: Snapshot) -> Structure:
        return Structure.of(snapshot.revision, snapshot.run(snapshot.job(job_id).manager_id))

    return await access.read(reading)


@get("/jobs/{job_id:int}/tree", responses=error_answers(404))
async def job_tree(job_id: JobId, access: NamedDependency[Access]) -> Tree:
    """The run that the job is, or belongs to, with its steps and what failed."""
    return await access.read(lambda snapshot: read_tree(snapshot, job_id))


def read_tree(snapshot: Snapshot, job_id: int) -> Tree:
    """Raises UnknownJob."""
    run = snapshot.run(snapshot.job(job_id).manager_id)
    return Tree.of(snapshot.revision, manager_record(run), run, snapshot.failures(run.id, MOST_FAILURES))


@get("/jobs/{job_id:int}/logs", responses=error_answers(404))
async def job_logs(
    job_id: JobId,
    access: NamedDependency[Access],
    step: Name = None,
    level: Annotated[Level | None, Parameter(description="Lines at least as severe.")] = None,
    q: Search = None,
    after: Place = None,
    before: Place = None,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
) -> Logs:
    """Log lines in their order: of a run (`step` narrows it), a step, or a work item; the newest, if no place is given.

    `after` and `before`: a line number of a step's log, or `next` of an earlier answer."""

    def reading(snapshot: Snapshot) -> Logs:
        page = snapshot.log(log_filter(snapshot, job_id, step, level, q), limit, after, before)
        return Logs(snapshot.revision, page.total, [Line.of(line) for line in page.lines], page.next)

    return await access.read(reading)


def log_filter(
    snapshot: Snapshot, job_id: int, step_name: str | None = None, level: Level | None = None, text: str | None = None
) -> LogFilter:
    """Raises UnknownJob, also for a step that the run has not."""
    job, text = snapshot.job(job_id), text and storable(text)
    if job.kind is Kind.WORKER:
        return LogFilter(worker_id=job.id, level=level, text=text)
    if job.kind is Kind.STEP:
        return LogFilter(step_id=job.id, level=level, text=text)
    if step_name is not None:
        return LogFilter(step_id=snapshot.step(job.id, step_name).id, level=level, text=text)
    return LogFilter(manager_id=job.id, level=level, text=text)


@get("/definitions")
async def list_definitions(access: NamedDependency[Access]) -> Definitions:
    """Every definition, valid or not."""
    found = await asyncio.to_thread(access.catalog.definitions)

    def reading(snapshot: Snapshot) -> Definitions:
        states = snapshot.definition_states(each.id for each in found)
        shown = [Definition.of(each, states[each.id]) for each in found]
        return Definitions(snapshot.revision, len(shown), shown)

    return await access.read(reading)


@get("/definitions/{definition_id:str}", responses=error_answers(404))
async def one_definition(
    definition_id: DefinitionId,
    access: NamedDependency[Access],
) -> DefinitionAnswer:
    """One definition with its text."""
    return await _definition(access, definition_id)


@post("/definitions/{definition_id:str}/switch", status_code=HTTP_200_OK, responses=error_answers(404, 422, 503))
async def switch_definition(
    definition_id: DefinitionId, data: JSONBody[SwitchDefinition], request: AnyRequest, access: NamedDependency[Access]
) -> DefinitionAnswer:
    """Enables a definition, or disables it: then nothing starts it until it is enabled again, whatever its file says.

    One whose file says `enabled = false` stays disabled."""
    await _definition(access, definition_id)
    await access.writer(switch, definition_id, data.enabled, at_the_api(request))
    return await _definition(access, definition_id)


async def _definition(access: Access, definition_id: str) -> DefinitionAnswer:
    """Raises NoSuchDefinition."""
    found = _by_id(await asyncio.to_thread(access.catalog.definitions), definition_id)

    def reading(snapshot: Snapshot) -> DefinitionAnswer:
        state = snapshot.definition_states([found.id])[found.id]
        return DefinitionAnswer(snapshot.revision, Definition.of(found, state), found.text)

    return await access.read(reading)


def _by_id(definitions: Any, definition_id: str) -> DefinitionSummary:
    by_id: Mapping[str, DefinitionSummary] = {each.id: each for each in reversed(definitions)}
    if definition_id not in by_id:
        raise NoSuchDefinition(f"there is no definition {definition_id!r}; there are: {', '.join(sorted(by_id))}")
    return by_id[definition_id]


def api_router() -> Router:
    """All of it, under /api."""
    return Router(
        "/api",
        route_handlers=[
            start_job,
            list_jobs,
            job_stats,
            one_job,
            job_structure,
            job_tree,
            job_logs,
            prioritise_job,
            job_attempts,
            list_actions,
            job_actions,
            cancel_job,
            retry_job,
            preview_retry,
            preview_deletion,
            rerun_job,
            delete_job,
            acknowledge_job,
            freeze_jobs,
            one_bulk,
            confirm_bulk,
            reopen_job,
            list_pauses,
            pause_queue,
            resume_queue,
            pause_definition,
            resume_definition,
            pause_job,
            resume_job,
            list_definitions,
            one_definition,
            list_documents,
            one_document,
            switch_definition,
        ],
    )
