"""Turns: views are painted one after the other, whoever has waited longest first.

Side by side they would only contend for the interpreter, and take it from the work that they show. Those that wait at
the same time share a snapshot, and with it whatever has been read of it: fifty views of one run read that run once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

from app.queue.database import ReadFailed
from app.queue.snapshot import Snapshot
from app.web.access import Access
from app.web.screens import Screen

TOGETHER = 0.03
"""Seconds for which views are painted from one snapshot. Those that still wait then get a newer one."""
TURN = 0.1
"""Seconds for which one view may keep the others waiting."""

Painted = tuple[Screen, str]
"""A view, and the message that brings a page from the paint before to this one."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A view that waits to be painted. `begin` is called on the event loop before the snapshot is taken."""

    begin: Callable[[], None]
    paint: Callable[[Snapshot], Painted]
    painted: asyncio.Future[Painted]

    def take(self, snapshot: Snapshot) -> None:
        """In a reader thread. Raises what painting raises."""
        if not self.painted.cancelled():
            painted = self.paint(snapshot)
            self.painted.get_loop().call_soon_threadsafe(self._succeed, painted)

    def fail(self, error: BaseException) -> None:
        if not self.painted.done():
            self.painted.set_exception(error)

    def _succeed(self, painted: Painted) -> None:
        if not self.painted.done():
            self.painted.set_result(painted)


class Turns:
    """Gives all channels of a hub their turns. Lives on the event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._waiting: deque[Turn] = deque()
        self._giving: asyncio.Task[None] | None = None

    async def paint(self, begin: Callable[[], None], paint: Callable[[Snapshot], Painted]) -> Painted:
        """What `paint` makes of a snapshot that is taken after `begin` was called. Raises what it raises, or
        ReadFailed."""
        turn = Turn(begin, paint, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        if self._giving is None:
            self._giving = asyncio.get_running_loop().create_task(self._give())
        return await turn.painted

    def close(self) -> None:
        if self._giving:
            self._giving.cancel()

    async def _give(self) -> None:
        try:
            while self._waiting:
                await self._paint_together()
        finally:
            self._giving = None

    async def _paint_together(self) -> None:
        together, self._waiting = self._waiting, deque()
        number = len(together)
        for turn in together:
            turn.begin()
        painting = asyncio.create_task(self._take_turns(together))
        while len(together) == number and not painting.done():
            await asyncio.wait({painting}, timeout=TURN)
        left = list(_taken(together))  # behind one that takes long, or for a newer snapshot
        self._waiting.extendleft(reversed(left))

    async def _take_turns(self, together: deque[Turn]) -> None:
        """Does not fail: it may go on for longer than anybody waits for it."""
        in_hand: list[Turn] = []
        try:
            await self._access.read(lambda snapshot: _take_turns(snapshot, together, in_hand))
        except ReadFailed as trouble:
            for turn in in_hand or _taken(together):
                turn.fail(trouble.again())
        except Exception as error:
            for turn in in_hand or _taken(together):
                turn.fail(error)


def _take_turns(snapshot: Snapshot, together: deque[Turn], in_hand: list[Turn]) -> None:
    """In a reader thread. Those that wait behind one that takes long may be taken back meanwhile. What one raises ends
    the snapshot, as a statement of it may have failed, and with it the transaction."""
    end = monotonic() + TOGETHER
    for turn in _taken(together):
        in_hand[:] = [turn]
        turn.take(snapshot)
        if monotonic() >= end:
            return


def _taken(together: deque[Turn]) -> Iterator[Turn]:
    """Each is taken once, by whichever thread comes first."""
    while True:
        try:
            turn = together.popleft()
        except IndexError:
            return
        yield turn
