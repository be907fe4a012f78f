"""The record of who did what, for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import Parameter
from msgspec import Struct

from app.queue.models import Kind
from app.queue.records import ActionPage, ActionRecord
from app.queue.snapshot import Snapshot
from app.web.access import Access
from app.web.api_control import JobId
from app.web.errors import error_answers
from app.web.json_shapes import Revision, moment

Limit = Annotated[int, Parameter(ge=1, le=500)]
Place = Annotated[str | None, Parameter(max_length=60)]


class ActionJson(Struct, frozen=True):
    """What somebody did: `who` `said`. `job_id`: the run, the step or the work item it was done to, also when that is
    gone; `manager_id`: its run, as long as that is there. `made_id`: the run that was started by it."""

    id: int
    at: datetime
    who: str
    verb: str
    said: str
    manager_id: int | None
    job_id: int | None
    made_id: int | None

    @classmethod
    def of(cls, action: ActionRecord) -> ActionJson:
        at = moment(action.at)
        ids = (action.manager_id, action.job_id, action.made_id)
        return cls(action.id, at, action.who, action.verb, action.said, *ids)


class Actions(Struct, frozen=True):
    """A page of the record. `total`: over all pages. `next`: the cursor of the next page, if there is one."""

    revision: Revision
    total: int
    actions: list[ActionJson]
    next: str | None

    @classmethod
    def of(cls, revision: int, page: ActionPage) -> Actions:
        return cls(revision, page.total, [ActionJson.of(each) for each in page.actions], page.next)


@get("/actions", responses=error_answers())
async def list_actions(access: NamedDependency[Access], limit: Limit = 50, cursor: Place = None) -> Actions:
    """What people did to anything, the newest first. What was done to a run goes with it, but not its deletion."""

    def reading(snapshot: Snapshot) -> Actions:
        return Actions.of(snapshot.revision, snapshot.action_page(None, None, limit, cursor))

    return await access.read(reading)


@get("/jobs/{job_id:int}/actions", responses=error_answers(404))
async def job_actions(
    job_id: JobId, access: NamedDependency[Access], limit: Limit = 50, cursor: Place = None
) -> Actions:
    """What people did to a run and its parts, or to one step or work item, the newest first."""

    def reading(snapshot: Snapshot) -> Actions:
        job = snapshot.job(job_id)
        part = None if job.kind is Kind.MANAGER else job.id
        return Actions.of(snapshot.revision, snapshot.action_page(job.manager_id, part, limit, cursor))

    return await access.read(reading)
