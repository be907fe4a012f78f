"""The server itself: its page with the stream that keeps it true, and the same for programs."""

from __future__ import annotations

from datetime import datetime

from litestar import Response, Router, get
from litestar.di import NamedDependency
from msgspec import Struct

from app.queue.owner_reading import OwnerRecord
from app.queue.snapshot import Snapshot
from app.queue.whereabouts import place_of
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


class OwnerJson(Struct, frozen=True):
    """A process that works, or has ended. While it holds work it renews its lease (seconds); `silence` says so when
    that is missed, until `takeover_at`, when others take over what it holds."""

    host: str
    pid: str
    version: str
    slots: int
    started_at: datetime
    renewed_at: datetime
    lease: float
    silence: str
    silent_since: datetime | None
    takeover_at: datetime | None
    ended_at: datetime | None
    end: str
    held: list[HeldJson]

    @classmethod
    def of(cls, owner: OwnerRecord) -> OwnerJson:
        since, until, ended = (
            None if at is None else moment(at) for at in (owner.silent_since, owner.takeover_at, owner.ended_at)
        )
        return cls(
            *place_of(owner.name),
            version=owner.version,
            slots=owner.slots,
            started_at=moment(owner.started_at),
            renewed_at=moment(owner.renewed_at),
            lease=owner.lease,
            silence=owner.silence,
            silent_since=since,
            takeover_at=until,
            ended_at=ended,
            end=owner.end,
            held=[HeldJson(each.job_id, each.name, each.step_name, each.manager_id) for each in owner.held],
        )


class Owners(Struct, frozen=True):
    """Who works, and the last of those who have ended."""

    revision: Revision
    total: int
    owners: list[OwnerJson]


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
    """The processes that work on this queue: their heartbeats, and what they hold."""

    def reading(snapshot: Snapshot) -> Owners:
        found = [OwnerJson.of(owner) for owner in snapshot.owners(MOST_ENDED)]
        return Owners(snapshot.revision, len(found), found)

    return await access.read(reading)


def system_router() -> Router:
    """Under /api."""
    return Router("/api", route_handlers=[system, owners])
