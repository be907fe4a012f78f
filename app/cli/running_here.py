"""A run in this process, which owns the data directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from app.cli.plans import plan_or_refuse
from app.cli.refusals import Refusal
from app.cli.running import PACE, TAIL
from app.main import Stepglass
from app.queue.actor import Actor, Place
from app.queue.snapshot import LogFilter, Snapshot
from app.queue.store.control import Target, cancel_as, start_as
from app.queue.store.start import StartRefused
from app.web.access import Access
from app.web.api import read_tree
from app.web.json_shapes import Line, Tree


@asynccontextmanager
async def started_here(
    stepglass: Stepglass, definition: str, parameters: Mapping[str, str], priority: int | None = None
) -> AsyncIterator[RunningHere]:
    """Starts the definition, and works until the end of the block. Raises Refusal."""
    plan = plan_or_refuse(stepglass, definition, parameters)
    if priority is not None:
        plan = replace(plan, priority=priority)
    async with stepglass.working() as access:
        try:
            job_id = await access.writer(start_as, plan, Actor(Place.COMMAND_LINE))
        except StartRefused as refusal:
            raise Refusal(str(refusal)) from refusal
        yield RunningHere(access, job_id)


class RunningHere:
    def __init__(self, access: Access, job_id: int) -> None:
        self._access = access
        self._job_id = job_id

    async def watch(self) -> AsyncIterator[tuple[Tree, Sequence[Line]]]:
        changed = asyncio.Event()
        with self._access.monitor.listening(lambda _commit: changed.set()):
            while True:
                changed.clear()
                tree, tail = await self._access.read(self._read)
                yield tree, tail
                if tree.job.is_final:
                    return
                await changed.wait()
                await asyncio.sleep(PACE)

    async def cancel(self) -> None:
        await self._access.writer(cancel_as, Target(self._job_id), Actor(Place.COMMAND_LINE))

    def _read(self, snapshot: Snapshot) -> tuple[Tree, list[Line]]:
        page = snapshot.log(LogFilter(manager_id=self._job_id), TAIL)
        return read_tree(snapshot, self._job_id), [Line.of(line) for line in page.lines]
