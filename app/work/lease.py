"""The lease: what a runner holds is its own for as long as it lets the others know that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sized
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from app.queue.storage import Storage
from app.queue.store.owners import NewOwner, as_owner, beat, end_owner, open_owner, withdraw
from app.queue.whereabouts import new_name
from app.queue.writer import Transaction, Writer
from app.work.storing import give_back, until_stored

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

BEATS = 4
"""Heartbeats in one lease."""


class Lease:
    """The name under which a runner works, and its heartbeat. One beat stands for all that it holds.

    `alone`: nobody else can work on the database, so that nobody takes this one for dead; then a runner that holds
    nothing writes nothing. Otherwise it beats all the time, as what it offers counts only while it lives. When somebody
    took it for dead, `let_go` ends what was held, which is somebody else's by now, and the lease goes on under a new
    name.
    """

    def __init__(
        self,
        writer: Writer,
        owner: NewOwner,
        alone: bool,
        holds: Callable[[], bool],
        let_go: Callable[[], Awaitable[None]],
    ) -> None:
        self.alone = alone
        self.interval = owner.lease / BEATS
        self._owner = owner
        self._writer = writer
        self._holds = holds
        self._let_go = let_go
        self._renewing = asyncio.Lock()
        self._held = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._owner.name

    @property
    def storage(self) -> Storage:
        """Of what is written under this lease."""
        return self._writer.storage

    async def open(self) -> int:
        """Enters the name. Returns how many work items of the dead were taken back for that: see `open_owner`."""
        rescued = await self._writer(open_owner, self._owner, self.alone)
        self._beating = asyncio.create_task(self._beat(), name="heartbeat")
        return rescued

    def keep(self, claimed: Sized) -> None:
        """If it is anything, it is held, or was for a moment: others may have seen it, and are to see a beat."""
        if claimed:
            self._held.set()

    async def withdraw(self) -> None:
        """Nothing more is claimed under the name; whoever is not alone lets the others know."""
        if not self.alone:
            await give_back(self._writer, withdraw, self.name)

    async def close(self) -> None:
        """Ends the name, when nothing is held any more."""
        if self._beating:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await give_back(self._writer, end_owner, self.name)

    def write(
        self, verb: Callable[Concatenate[Transaction, P], T], *arguments: P.args, **named: P.kwargs
    ) -> Awaitable[T]:
        """Hands a verb to the writer that is void if this owner is taken for dead: then it raises OwnerLost."""
        if self.alone:
            return self._writer(verb, *arguments, **named)
        return self._writer(as_owner, self.name, verb, *arguments, **named)

    async def lost(self, name: str) -> None:
        """That name was found to have ended. Until there is a new one everything that is said is void."""
        async with self._renewing:
            if name != self.name:
                return
            log.error("this process was silent for too long, and its work was taken over", owner=name)
            await self._let_go()
            new = replace(self._owner, name=new_name())
            await until_stored(self._writer, open_owner, new, self.alone)
            self._owner = new

    async def _beat(self) -> None:
        while True:
            if self.alone:
                await self._held.wait()
            await asyncio.sleep(self.interval)
            self._held.clear()
            if self._holds():
                self._held.set()
            name = self.name
            try:
                alive = await self._writer(beat, name)
            except Exception as trouble:
                log.warning("a heartbeat could not be stored", reason=str(trouble))
                self._held.set()
                continue
            if not alive:
                await self.lost(name)
