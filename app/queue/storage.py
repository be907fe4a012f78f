"""The storage: whether the database can be written just now, and if not why, since when, and what to do about it.

The writer tells it how every batch went. While there is trouble somebody has to find out when it is over: it tries the
database out, less and less often, and then lets those try again who still have something to store. Where there is no
trouble it asks nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import structlog

from app.queue.storage_faults import WAYS_OUT, Fault

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 2.0
"""Seconds between two tries while there is trouble: the first, and the most."""
SLOW = 2.0
"""Seconds that a batch may take before the storage counts as slow."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong. `told`: in one sentence, without what to do, which is `way_out`. `since`: seconds since the epoch.

    A slow storage works; any other trouble keeps what is said from being stored.
    """

    fault: Fault
    told: str
    since: float

    @property
    def way_out(self) -> str:
        return WAYS_OUT[self.fault]

    @property
    def stops_work(self) -> bool:
        return self.fault is not Fault.SLOW

    def __str__(self) -> str:
        return f"{self.told}; {self.way_out}"


class Storage:
    """Lives on the event loop. `try_out`: writes something, as a trial, or reads it; if that costs little, it is done
    `often`. `damage`: looks through the whole file, in any thread, and says what is damaged."""

    def __init__(
        self,
        name: str,
        try_out: Callable[[], Awaitable[object]],
        damage: Callable[[], str | None],
        clock: Callable[[], float] = time.time,
        often: bool = False,
    ) -> None:
        self.trouble: Trouble | None = None
        self._clock = clock
        self._name = name
        self._try_out = try_out
        self._damage = damage
        self._often = often
        self._works = True
        self._owed = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[], None]] = []
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self._good_sign = asyncio.Event()

    @property
    def stops_work(self) -> bool:
        return self.trouble is not None and self.trouble.stops_work

    @property
    def is_damaged(self) -> bool:
        """Whether nothing may be written, since that could do more damage. Asked by the writer's thread, too."""
        return self.trouble is not None and self.trouble.fault is Fault.DAMAGED

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """`listener` is called whenever there is another trouble, or none any more."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def failed(self, fault: Fault, cause: str, doing: str = "written") -> None:
        """A batch could not be committed, or something not be read."""
        self._works = False
        if not self.is_damaged:  # nothing that follows is worse
            self._tell(fault, f"{self._name} cannot be {doing}: {cause}")

    def stored(self, seconds: float) -> None:
        """A batch was committed, and took that long. In trouble that is a good sign and no more: a small one may find
        room on a full disk."""
        if seconds >= SLOW:
            self.slow()
        if self.trouble:
            self._good_sign.set()

    def slow(self) -> None:
        """A batch has been on its way for too long, or was."""
        if not self.stops_work:
            self._tell(Fault.SLOW, f"{self._name} is slow: a commit has taken more than {SLOW:g} s")

    @contextmanager
    def owing(self) -> Iterator[None]:
        """While the block lasts somebody has something to store that could not be stored: the trouble is not over
        before it is."""
        self._owed += 1
        try:
            yield
        finally:
            self._owed -= 1
            self._settle()

    async def another_try(self) -> None:
        """Waits until it is worth while to try again."""
        if not self.stops_work or self._closed:
            await asyncio.sleep(FIRST_PAUSE)
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def hurry(self) -> None:
        """Whoever waits to try again does so now: the server is about to end."""
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()
        if self._probing:
            self._probing.cancel()

    def _tell(self, fault: Fault, told: str) -> None:
        before = self.trouble
        if before and (before.fault, before.told) == (fault, told):
            return
        is_same = before is not None and before.stops_work and fault is not Fault.SLOW
        self.trouble = Trouble(fault, told, before.since if before and is_same else self._clock())
        log.error("the storage is in trouble", fault=fault.value, reason=told, way_out=self.trouble.way_out)
        self._notify()
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe(), name="storage")

    def _settle(self) -> None:
        if self.trouble is None or not self._works or self._owed:
            return
        log.info("the storage works again", seconds=round(self._clock() - self.trouble.since, 1))
        self.trouble = None
        self._notify()

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _wake(self) -> None:
        for each in tuple(self._waiting):
            if not each.done():
                each.set_result(None)

    async def _probe(self) -> None:
        pause = FIRST_PAUSE
        try:
            while self.trouble:
                await asyncio.sleep(FIRST_PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause - FIRST_PAUSE):
                        await self._good_sign.wait()
                began = time.monotonic()
                await self._look_again()
                self._good_sign.clear()
                pause = min(2 * pause, FIRST_PAUSE if self._often else LONGEST_PAUSE)
                if self.is_damaged:  # which took a look through the whole file
                    pause = max(pause, 10 * (time.monotonic() - began))
        finally:
            self._probing = None
            self._wake()

    async def _look_again(self) -> None:
        if self.is_damaged:
            if await self._is_still_damaged():
                return
            assert self.trouble
            self.trouble = replace(self.trouble, fault=Fault.FAILING)  # so that the writer writes again
        began = time.monotonic()
        try:
            await self._try_out()
        except Exception as error:  # the writer has told us of it
            log.debug("the storage is still in trouble", reason=str(error))
            return
        self._works = True
        if self.stops_work or time.monotonic() - began < SLOW:
            self._settle()
        self._wake()

    async def _is_still_damaged(self) -> bool:
        try:
            return await asyncio.to_thread(self._damage) is not None
        except Exception as error:  # it cannot even be looked through
            log.debug("the storage is still damaged", reason=str(error))
            return True
