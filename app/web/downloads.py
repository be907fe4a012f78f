"""Logs as text, whole or as far as a filter lets them pass, sent as they are read: the size does not matter."""

from __future__ import annotations

from collections.abc import AsyncIterator

from litestar import MediaType, get
from litestar.params import FromPath
from litestar.response import Stream

from app.queue.log_reading import LogFilter
from app.queue.records import LogLine, StepRecord
from app.web import addresses
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess
from app.web.logs.query import LogQuery, LogZoom
from app.web.templating import shown, stamp

FEWEST, MOST = 50, 2_000
"""Lines that are read at a time."""
ROOM = 1_000_000
"""Characters that those should have, as long as they are more than the fewest."""


@get("/jobs/{job_id:int}/log.txt", include_in_schema=False)
async def job_log(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Stream:
    query = addresses.log_query(request.query_params)
    return _download(access, await access.read(lambda snapshot: addresses.log_zoom(snapshot, job_id)), query)


@get("/jobs/{manager_id:int}/steps/{name:str}/log.txt", include_in_schema=False)
async def step_log(manager_id: FromPath[int], name: FromPath[str], request: AnyRequest, access: TheAccess) -> Stream:
    query = addresses.log_query(request.query_params)
    step = await access.read(lambda snapshot: snapshot.step(manager_id, name))
    return _download(access, LogZoom.of_step(step), query)


def _download(access: Access, zoom: LogZoom, query: LogQuery) -> Stream:
    name = f"stepglass-{zoom.owner_id}-log.txt"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Stream(_text(access, zoom, query), media_type=MediaType.TEXT, headers=headers)


async def _text(access: Access, zoom: LogZoom, query: LogQuery) -> AsyncIterator[bytes]:
    for step in zoom.steps:
        matching = LogFilter(step_id=step.id, worker_id=zoom.worker_id, level=query.level, text=query.text)
        async for lines in _batches(access, step, matching):
            yield "".join(_line(line, zoom) for line in lines).encode()


async def _batches(access: Access, step: StepRecord, matching: LogFilter) -> AsyncIterator[list[LogLine]]:
    """The lines that the step had at the beginning. Each batch has a snapshot of its own, as no line ever changes."""
    last, limit = 0, FEWEST
    while last < step.log_count:
        after, most = last, limit
        found = await access.read(lambda snapshot: snapshot.logs.after(matching, after, most))  # noqa: B023
        lines = [line for line in found if line.line <= step.log_count]
        if lines:
            yield lines
        if len(lines) < most:
            return
        last = lines[-1].line
        mean = sum(len(line.message) for line in lines) // len(lines) + 1
        limit = max(FEWEST, min(MOST, ROOM // mean))


def _line(line: LogLine, zoom: LogZoom) -> str:
    """Number, time, level, who said it, and what, with tabs between."""
    number = f"{shown(line.step_name)}:{line.line}" if zoom.has_steps else line.line
    return f"{number}\t{stamp(line.at)}\t{line.level}\t{shown(line.worker_name or line.step_name)}\t{line.message}\n"
