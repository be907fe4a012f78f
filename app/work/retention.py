"""Retention: deletes the runs that have been kept for long enough, one after the other, while everybody else goes on.

It looks when a run has ended, when definitions have changed, and when the next run falls due. Where nothing is limited
it does not look at the database at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from app.queue.changes import DefinitionsChanged, RunChanged
from app.queue.database import Database
from app.queue.retention import Keep, Overdue, overdue
from app.queue.status import FINAL
from app.queue.step_monitor import StepMonitor
from app.queue.store.retire import retire
from app.queue.writer import Commit, Writer
from app.work.definitions import DefinitionEntry
from app.work.storing import until_stored

log = structlog.get_logger(__name__)

BREATH = 2.0
"""Seconds from whatever happened to the look: a start has other things to do, and many runs may end at once."""
LONGEST_SLEEP = 3600.0
"""Seconds after which the clock is looked at again, as it may have been set."""
MOST = 100
"""Runs of a definition that one look finds."""


class Retention:
    """`entries`: the definitions, which may look at files. `otherwise`: what holds where a definition says nothing.
    `swept`: waits until no deletion is on its way."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        monitor: StepMonitor,
        entries: Callable[[], Sequence[DefinitionEntry]],
        otherwise: Keep,
        swept: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._writer = writer
        self._monitor = monitor
        self._entries = entries
        self._otherwise = otherwise
        self._swept = swept
        self._clock = clock
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Retention]:
        with self._monitor.listening(self._hear):
            task = asyncio.create_task(self._run(), name="retention")
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def look(self) -> float | None:
        """Deletes everything that is overdue. Returns the seconds until more will be, if that is only a matter of
        time."""
        entries = await asyncio.to_thread(self._entries)
        keeps = {entry.id: entry.definition.keep for entry in entries if entry.definition}
        spared = {name for entry in entries if not entry.valid for name in (entry.id, entry.path.stem)} - keeps.keys()
        if not self._otherwise and not any(keeps.values()):
            return None
        while True:
            found = await asyncio.to_thread(self._read, keeps, spared)
            for run in found.runs:
                if await until_stored(self._writer, retire, run):
                    log.info("a run was deleted by retention", job=run.manager_id, reason=run.why)
                    await self._swept()
            if not found.runs:
                return None if found.next_at is None else max(0.0, found.next_at - self._clock())

    def _read(self, keeps: dict[str, Keep], spared: set[str]) -> Overdue:
        with self._database.read() as connection:
            return overdue(connection, keeps, self._otherwise, self._clock(), MOST, spared)

    def _hear(self, commit: Commit) -> None:
        for change in commit.changes:
            if isinstance(change, DefinitionsChanged) or (isinstance(change, RunChanged) and change.status in FINAL):
                self._wake.set()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(BREATH)
            self._wake.clear()
            try:
                delay = await self.look()
            except Exception:
                log.exception("retention failed, and goes on")
                delay = LONGEST_SLEEP
            with suppress(TimeoutError):
                async with asyncio.timeout(None if delay is None else min(delay, LONGEST_SLEEP)):
                    await self._wake.wait()
