"""The server itself: its page with the stream that keeps it true, and the same for programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from litestar import Response, Router, get
from litestar.di import NamedDependency
from msgspec import Struct

from app.queue.engine_fact import Engine
from app.queue.engine_reading import TicketCounts
from app.queue.limits import Limits
from app.queue.owner_reading import OwnerRecord, limits_that_hold
from app.queue.snapshot import Snapshot
from app.web import pages, streams
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import error_answers
from app.web.json_shapes import Revision, moment
from app.web.live.response import LiveResponse
from app.web.system_facts import SystemFacts
from app.web.system_view import MOST_ENDED, SystemView


class System(Struct, frozen=True):
    """The server, as of now. `uptime`: seconds."""

    revision: Revision
    uptime: float
    system: SystemFacts


class HeldJson(Struct, frozen=True):
    """A work item that a process is at, or a step that it plans."""

    job_id: int
    name: str
    step_name: str
    run_id: int


class TypeLimitJson(Struct, frozen=True):
    """What a process was told for a step type: how many work items may run at once, how many may begin in a time. Null:
    any number."""

    work_items: int | None
    rate: str | None

    @classmethod
    def all_of(cls, limits: Mapping[str, Limits]) -> dict[str, TypeLimitJson]:
        return {type: cls(each.work_items, each.rate) for type, each in limits.items()}


class OwnerJson(Struct, frozen=True):
    """A process that works, or has ended. `kind`: server, worker or command; `name`: what it was called. `step_types`:
    those that it works on, null if it is of a version that did not say. `taken`: how many work items it has in hand;
    more than its slots while several are with one of its processes, or are yet to be stored.

    It renews its lease (seconds) while it holds work, or may not be alone; `silence` says so when that is missed, until
    `takeover_at`, when others take over what it holds. `type_limits`: those that it was told, by step type."""

    name: str
    kind: str
    host: str
    pid: str
    version: str
    step_types: list[str] | None
    slots: int
    taken: int
    started_at: datetime
    renewed_at: datetime
    lease: float
    silence: str
    silent_since: datetime | None
    takeover_at: datetime | None
    ended_at: datetime | None
    end: str
    held: list[HeldJson]
    type_limits: dict[str, TypeLimitJson]

    @classmethod
    def of(cls, owner: OwnerRecord) -> OwnerJson:
        since, until, ended = (
            None if at is None else moment(at) for at in (owner.silent_since, owner.takeover_at, owner.ended_at)
        )
        host, pid = owner.place
        return cls(
            name=owner.label,
            kind=owner.kind,
            host=host,
            pid=pid,
            version=owner.version,
            step_types=None if owner.offers is None else list(owner.offers),
            slots=owner.slots,
            taken=owner.taken,
            started_at=moment(owner.started_at),
            renewed_at=moment(owner.renewed_at),
            lease=owner.lease,
            silence=owner.silence,
            silent_since=since,
            takeover_at=until,
            ended_at=ended,
            end=owner.end,
            held=[HeldJson(each.job_id, each.name, each.step_name, each.manager_id) for each in owner.held],
            type_limits=TypeLimitJson.all_of(owner.type_limits),
        )


class TicketsJson(Struct, frozen=True):
    """The tickets of the engine: those that can be drawn, those for later, those that are drawn and not used up; when
    the last were given back that a dead process had drawn, and how many."""

    waiting: int
    later: int
    drawn: int
    rescued_at: datetime | None
    rescued: int

    @classmethod
    def of(cls, counts: TicketCounts) -> TicketsJson:
        rescued_at = None if counts.rescued_at is None else moment(counts.rescued_at)
        return cls(counts.waiting, counts.later, counts.drawn, rescued_at, counts.rescued)


class Owners(Struct, frozen=True):
    """Who works, and the last of those who have ended. `type_limits`: what holds by step type, which is the strictest
    of what those who live were told. `engine`: who hands out the work, embedded or procrastinate; only the latter has
    `tickets`."""

    revision: Revision
    total: int
    owners: list[OwnerJson]
    type_limits: dict[str, TypeLimitJson]
    engine: Engine
    tickets: TicketsJson | None


@get("/system", include_in_schema=False)
async def system_page(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    return await pages.show(SystemView(access.system), request, access, live, page="system")


@get("/system/stream", media_type="text/event-stream", include_in_schema=False)
async def system_stream(request: AnyRequest, access: TheAccess, live: TheLive) -> LiveResponse:
    return streams.follow(SystemView(access.system), request, live)


@get("/system", responses=error_answers(), sync_to_thread=True)
def system(access: NamedDependency[Access]) -> System:
    """The server itself: version, database, what runs where, step types, settings. No secrets, and no queries."""
    facts = access.system()
    return System(access.monitor.revision, facts.uptime, facts)


@get("/system/owners", responses=error_answers())
async def owners(access: NamedDependency[Access]) -> Owners:
    """The processes that work on this queue: where, on what step types, their heartbeats, and what they hold."""

    def reading(snapshot: Snapshot) -> Owners:
        found = snapshot.owners(MOST_ENDED)
        limits = {each.type: each.limits for each in limits_that_hold(found)}
        owners = [OwnerJson.of(owner) for owner in found]
        counts = snapshot.tickets()
        tickets = TicketsJson.of(counts) if counts else None
        engine: Engine = "procrastinate" if tickets else "embedded"
        return Owners(snapshot.revision, len(found), owners, TypeLimitJson.all_of(limits), engine, tickets)

    return await access.read(reading)


def system_router() -> Router:
    """Under /api."""
    return Router("/api", route_handlers=[system, owners])
