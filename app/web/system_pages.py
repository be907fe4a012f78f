"""The server itself: its page with the stream that keeps it true, and the same for programs."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.di import NamedDependency
from msgspec import Struct

from app.web import pages, streams
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import error_answers
from app.web.json_shapes import Revision
from app.web.live.response import LiveResponse
from app.web.system_facts import SystemFacts
from app.web.system_view import SystemView


class System(Struct, frozen=True):
    """The server, as of now. `uptime`: seconds."""

    revision: Revision
    uptime: float
    system: SystemFacts


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


def system_router() -> Router:
    """Under /api."""
    return Router("/api", route_handlers=[system])
