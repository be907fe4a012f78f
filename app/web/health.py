"""/healthz: whether the server can read and write its database."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from app import __version__
from app.queue.writer import WriteFailed, touch
from app.web.access import Access
from app.web.errors import described
from app.web.json_shapes import Health


@get("/healthz", responses={503: described(Health, "Something does not work")}, media_type=MediaType.JSON)
async def health(access: NamedDependency[Access]) -> Response[Health]:
    """200 while everything works, 503 with what does not."""
    if access.writer.trouble:
        with suppress(WriteFailed):  # it says itself whether that is over
            await access.writer(touch)
    trouble = await asyncio.to_thread(access.database.trouble) or access.writer.trouble
    told = Health("trouble" if trouble else "ok", access.monitor.revision, __version__, trouble or "")
    return Response(told, status_code=HTTP_503_SERVICE_UNAVAILABLE if trouble else HTTP_200_OK)
