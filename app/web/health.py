"""/healthz: whether the server can read and write its database."""

from __future__ import annotations

import asyncio
from typing import Literal

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from app import __version__
from app.web.access import Access
from app.web.errors import described
from app.web.json_shapes import Health, moment


@get("/healthz", responses={503: described(Health, "Something does not work")}, media_type=MediaType.JSON)
async def health(access: NamedDependency[Access]) -> Response[Health]:
    """200 while everything works, if slowly; 503 with what does not, since when, and what to do about it."""
    trouble = access.writer.storage.trouble
    unreadable = await asyncio.to_thread(access.database.trouble)
    works = not unreadable and not (trouble and trouble.stops_work)
    status: Literal["ok", "slow", "trouble"] = ("slow" if trouble else "ok") if works else "trouble"
    told = Health(
        status,
        access.monitor.revision,
        __version__,
        unreadable or str(trouble or ""),
        moment(trouble.since) if trouble else None,
    )
    return Response(told, status_code=HTTP_200_OK if works else HTTP_503_SERVICE_UNAVAILABLE)
