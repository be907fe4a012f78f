"""Schedules for programs: which there are, what became of the last tick of each; pause and resume."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import Struct

from app.queue.pauses import Scope
from app.queue.schedule_reading import ScheduleRecord, TickRecord
from app.queue.store.schedules import pause_schedule, resume_schedule
from app.queue.ticks import Missed, Outcome
from app.web import dom
from app.web.access import Access, DefinitionSummary, NoSuchDefinition
from app.web.dependencies import AnyRequest
from app.web.errors import Conflict, error_answers
from app.web.json_control import Pausing
from app.web.json_shapes import Revision, moment
from app.web.who import at_the_api

DefinitionId = Annotated[str, Parameter(max_length=200, examples=[Example(value="codebase_classify")])]


class Tick(Struct, frozen=True):
    """A tick that was dealt with. `job_id`: the run that it started, or that was in its way."""

    at: datetime
    outcome: Outcome
    reason: str
    job_id: int | None

    @classmethod
    def of(cls, tick: TickRecord) -> Tick:
        return cls(moment(tick.at), tick.outcome, tick.reason, tick.manager_id)


class Schedule(Struct, frozen=True):
    """When a definition is started by itself. `next_at`: its next tick, or one that waits for the run before it; null
    while it is paused. `missed` is null for a definition that is not valid: it is told what its schedule was."""

    definition: str
    cron: str
    time_zone: str
    words: str
    missed: Missed | None
    parameters: dict[str, str]
    next_at: datetime | None
    paused_at: datetime | None
    paused_by: str
    last: Tick | None

    @classmethod
    def of(cls, record: ScheduleRecord, definition: DefinitionSummary) -> Schedule:
        written = definition.schedule
        next_at = record.next_at if record.paused_at is None else None
        return cls(
            definition=record.definition,
            cron=record.cron.expression,
            time_zone=record.cron.time_zone,
            words=record.cron.words,
            missed=written.missed if written else None,
            parameters=dict(written.parameters) if written else {},
            next_at=moment(next_at) if next_at is not None else None,
            paused_at=moment(record.paused_at) if record.paused_at is not None else None,
            paused_by=record.paused_by,
            last=Tick.of(record.last) if record.last else None,
        )


class Schedules(Struct, frozen=True):
    """All schedules."""

    revision: Revision
    total: int
    schedules: list[Schedule]


@get("/schedules", responses=error_answers())
async def list_schedules(access: NamedDependency[Access]) -> Schedules:
    """The schedule of every definition that has one."""
    await access.notice_definitions()
    definitions = {each.id: each for each in reversed(await asyncio.to_thread(access.catalog.definitions))}
    revision, records = await access.read(lambda snapshot: (snapshot.revision, snapshot.schedules()))
    found = [
        Schedule.of(record, definitions[name])
        for name, record in records.items()
        if record.next_at is not None and name in definitions
    ]
    return Schedules(revision, len(found), found)


@post(
    "/definitions/{definition_id:str}/schedule/pause",
    status_code=HTTP_202_ACCEPTED,
    responses=error_answers(404, 409, 503),
)
async def pause(definition_id: DefinitionId, request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Lets the ticks of a schedule pass without a run, until it is resumed. Asked for twice it is done once."""
    await _must_have_schedule(access, definition_id)
    done = await access.writer(pause_schedule, definition_id, at_the_api(request))
    what = f"the schedule of {Scope(definition_id).words}"
    detail = f"{what} is paused; it starts nothing until it is resumed" if done else f"{what} was paused already"
    return Pausing(access.monitor.revision, what, True, detail)


@delete(
    "/definitions/{definition_id:str}/schedule/pause",
    status_code=HTTP_202_ACCEPTED,
    responses=error_answers(404, 409, 503),
)
async def resume(definition_id: DefinitionId, request: AnyRequest, access: NamedDependency[Access]) -> Pausing:
    """Lets a paused schedule go on with its next tick; those of the pause are not made up for."""
    schedule = await _must_have_schedule(access, definition_id)
    now = access.database.clock.now()
    done = await access.writer(resume_schedule, definition_id, now, at_the_api(request))
    what = f"the schedule of {Scope(definition_id).words}"
    following = schedule.cron.after(now)
    when = schedule.cron.stamp(following) if following is not None else "never"
    detail = f"{what} goes on; its next start is {when}" if done else f"{what} was not paused"
    return Pausing(access.monitor.revision, what, False, detail)


async def _must_have_schedule(access: Access, definition_id: str) -> ScheduleRecord:
    """Raises NoSuchDefinition or Conflict."""
    await access.notice_definitions()
    known = {each.id for each in await asyncio.to_thread(access.catalog.definitions)}
    if definition_id not in known:
        raise NoSuchDefinition(f"there is no definition {definition_id!r}; there are: {', '.join(sorted(known))}")
    record = (await access.read(lambda snapshot: snapshot.schedules())).get(definition_id)
    if record is None or record.next_at is None:
        way_out = "add [schedule] to its file"
        raise Conflict(f"{definition_id} has no schedule; {way_out}", dom.definition_url(definition_id))
    return record


def schedules_router() -> Router:
    """Under /api."""
    return Router("/api", route_handlers=[list_schedules, pause, resume])
