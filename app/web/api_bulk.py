"""Bulk actions for programs: freeze a list of jobs, look at what can be done with it, confirm one of that."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, Parameter
from litestar.status_codes import HTTP_201_CREATED, HTTP_202_ACCEPTED
from msgspec import Meta, Struct, field

from app.queue.bulk_reading import FrozenSetRecord
from app.queue.bulk_rules import BulkAction
from app.queue.models import Kind
from app.queue.places import LARGEST
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from app.queue.store.acknowledge import LONGEST_NOTE
from app.queue.text import storable
from app.web import dom
from app.web.access import Access
from app.web.addresses import LONGEST_TIME, point_in_time
from app.web.bulk import carry_out, freeze
from app.web.dependencies import AnyRequest
from app.web.errors import error_answers
from app.web.json_shapes import Revision
from app.web.who import at_the_api

Name = Annotated[str, Meta(max_length=200)] | None
Moment = Annotated[str, Meta(max_length=LONGEST_TIME)] | None
Token = Annotated[str, Parameter(max_length=100, description="`token` of a frozen list.")]


class FreezeJobs(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs: those that `GET /api/jobs` lists for the same. `kind` may be left out of open failures."""

    kind: Kind | None = None
    status: Status | None = None
    manager_id: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    step: Name = None
    definition: Name = None
    q: Name = None
    tag: Name = None
    failure: Annotated[str, Meta(max_length=400)] | None = None
    since: Moment = field(default=None, name="from")
    until: Moment = field(default=None, name="to")
    open: bool = False

    @property
    def matching(self) -> JobFilter:
        """Raises ValidationException for what is no time."""
        given = (each and storable(each) for each in (self.step, self.definition, self.q, self.tag, self.failure))
        step, definition, text, tag, failure = given
        return JobFilter(
            self.kind,
            self.status,
            self.manager_id,
            step,
            definition,
            text or None,
            tag or None,
            point_in_time("from", self.since),
            point_in_time("to", self.until),
            failure=dom.failure_pattern(failure or None),
            open=self.open,
        )


class ConfirmBulk(Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with them. `note`: why, which an acknowledgement shows."""

    action: BulkAction
    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] = ""


class Reason(Struct, frozen=True):
    """Why so many jobs were, or would be, left alone, or what went wrong with them."""

    reason: str
    jobs: int


class BulkChoice(Struct, frozen=True):
    """What an action would do: `acts` jobs it is for, and those that it leaves alone."""

    action: BulkAction
    acts: int
    skipped: list[Reason]


class BulkReport(Struct, frozen=True):
    """What was done so far. `waiting`: jobs it has not come to, and will not if its run is over."""

    done: int
    skipped: list[Reason]
    failed: list[Reason]
    waiting: int


class Bulk(Struct, frozen=True):
    """A frozen list of `total` jobs, what can be done with it, and, once that is confirmed, `action`, the run that does
    it (`job_id`), and what it has done."""

    revision: Revision
    token: str
    url: str
    jobs: str
    total: int
    choices: list[BulkChoice]
    action: BulkAction | None
    note: str
    job_id: int | None
    report: BulkReport | None

    @classmethod
    def of(cls, revision: int, frozen: FrozenSetRecord) -> Bulk:
        told = frozen.report
        done = BulkReport(told.done, _reasons(told.skipped), _reasons(told.failed), told.waiting)
        return cls(
            revision,
            frozen.token,
            dom.bulk_url(frozen.token),
            frozen.words,
            frozen.total,
            [BulkChoice(each.action, each.acts, _reasons(each.skipped)) for each in frozen.choices],
            frozen.action,
            frozen.note,
            frozen.manager_id,
            done if frozen.action else None,
        )


class BulkStarted(Struct, frozen=True):
    """The run that does it."""

    revision: Revision
    job_id: int
    url: str
    detail: str


@post("/bulk", status_code=HTTP_201_CREATED, responses=error_answers(422, 503))
async def freeze_jobs(data: JSONBody[FreezeJobs], access: NamedDependency[Access]) -> Bulk:
    """Freezes a list of jobs: what is confirmed later is done to these, and to nothing that comes after them.

    A list that nobody confirms is forgotten after a day."""
    return await _bulk(access, await freeze(access, data.matching))


@get("/bulk/{token:str}", responses=error_answers(404))
async def one_bulk(token: Token, access: NamedDependency[Access]) -> Bulk:
    """A frozen list: what can be done with it, or what was done."""
    return await _bulk(access, token)


@post("/bulk/{token:str}/confirmation", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 422, 503))
async def confirm_bulk(
    token: Token, data: JSONBody[ConfirmBulk], request: AnyRequest, access: NamedDependency[Access]
) -> BulkStarted:
    """Starts a run that does it to each of the jobs, except those that have changed meanwhile. Confirmed twice it is
    the same run. It can be cancelled like any other."""
    frozen = await access.read(lambda snapshot: snapshot.bulk.frozen_set(token))
    manager_id = await carry_out(access, frozen, data.action, data.note, at_the_api(request))
    detail = f"run {manager_id} will {data.action} {frozen.total:,} {frozen.words}, as far as possible"
    return BulkStarted(access.monitor.revision, manager_id, dom.job_url(manager_id), detail)


async def _bulk(access: Access, token: str) -> Bulk:
    def reading(snapshot: Snapshot) -> Bulk:
        return Bulk.of(snapshot.revision, snapshot.bulk.frozen_set(token))

    return await access.read(reading)


def _reasons(numbers: tuple[tuple[str, int], ...]) -> list[Reason]:
    return [Reason(reason, number) for reason, number in numbers]
