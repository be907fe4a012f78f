"""The watch: the other owners of the database, as this process sees them. Who falls silent loses what it holds, and no
longer counts as offering anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from app.queue.database import Database
from app.queue.owner_reading import OwnerRecord
from app.queue.snapshot import Snapshot
from app.queue.store.owners import note_silence, take_over
from app.queue.writer import Writer

log = structlog.get_logger(__name__)

WORTH_SAYING = 0.5
"""The part of its lease for which an owner is silent before that is said of what it holds."""


@dataclass(frozen=True, slots=True)
class _Seen:
    beat: int
    silent: float
    """Seconds for which we have watched it stand still."""


class Watch:
    """Looks every `interval` seconds whether the heartbeats of the others have moved; at those of a version that beats
    only while it holds work, only then.

    Only time that was watched counts, by a clock that nobody sets: neither a wrong clock, here or there, nor a sleep of
    this process, nor a time in which the database could not be reached makes anybody dead. `clock`: seconds, steady.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        ours: Callable[[], str],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._writer = writer
        self._ours = ours
        self._interval = interval
        self._clock = clock
        self._looked_at = clock()
        self._seen: dict[str, _Seen] = {}

    async def run(self, looked: Callable[[], None] = lambda: None) -> None:
        """Until it is cancelled. `looked`: is called after each look, as beats are told to nobody."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
                looked()
            except Exception as trouble:
                self._seen.clear()  # what was not seen meanwhile is held against nobody
                log.warning("the other owners could not be looked at", reason=str(trouble))

    async def look(self) -> None:
        """Raises what the database raises."""
        found = await asyncio.to_thread(self._others)
        now = self._clock()
        passed = min(now - self._looked_at, 2 * self._interval)
        self._looked_at = now
        self._seen = {owner.name: self._judged(owner, passed) for owner in found}
        for owner in found:
            await self._act(owner, self._seen[owner.name].silent)

    def _others(self) -> list[OwnerRecord]:
        with Snapshot.of(self._database) as snapshot:
            others = (owner for owner in snapshot.owners() if owner.name != self._ours())
            return [owner for owner in others if owner.held or owner.beats_always]

    def _judged(self, owner: OwnerRecord, passed: float) -> _Seen:
        before = self._seen.get(owner.name)
        same = before is not None and before.beat == owner.beat
        return _Seen(owner.beat, before.silent + passed if before and same else 0.0)

    async def _act(self, owner: OwnerRecord, silent: float) -> None:
        if silent >= owner.lease:
            items = await self._writer(take_over, owner.name, owner.beat, silent)
            if items is not None:
                log.warning("the work of a silent process was taken over", owner=owner.name, items=items)
        elif silent >= WORTH_SAYING * owner.lease and not owner.silence:
            await self._writer(note_silence, owner.name, owner.beat, silent, owner.lease - silent)
