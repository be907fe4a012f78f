"""One open stream: a bounded queue of frames between a channel and a reader, who may be slow or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

MAX_QUEUED = 256
"""Frames that wait for one reader. One more and it is cut; it comes back and resumes."""
MAX_CHUNK = 65_536
"""Bytes of frames that are sent together."""
STALLED_BEATS = 3
"""Heartbeats without anything taken, though frames wait, after which a reader counts as gone."""


class Subscriber:
    """Takes frames in; a stream reads them out.

    There are thousands, and each gets every message: so this is a list and a future, which take a third of the time
    and room of an `asyncio.Queue`.
    """

    __slots__ = (
        "_arrival",
        "_ended",
        "_leave",
        "_room",
        "_stalled_beats",
        "_taken_since_beat",
        "_waiting",
        "_when_cut",
        "is_cut",
        "synchronised",
    )

    def __init__(self, leave: Callable[[Subscriber], None]) -> None:
        self.is_cut = False
        """Whether the stream must end without delay."""
        self.synchronised = False
        """Whether what was queued brings the reader to the channel's present; until then it gets no differences."""
        self._leave = leave
        self._room = MAX_QUEUED
        self._when_cut: Callable[[], None] | None = None
        self._waiting: list[bytes] = []
        self._arrival: asyncio.Future[None] | None = None
        self._ended = False
        self._taken_since_beat = False
        self._stalled_beats = 0

    def put(self, made: bytes) -> None:
        if len(self._waiting) >= self._room:
            self.drop()
            return
        self._waiting.append(made)
        self._wake()

    def drop(self) -> None:
        """Ends the stream without delay: its reader does not keep up, or cannot be told the truth."""
        self._leave(self)
        self.is_cut = True
        if self._when_cut:
            self._when_cut()

    def when_cut(self, end: Callable[[], None] | None) -> None:
        """What ends the stream when it is cut, as it may be already."""
        self._when_cut = end
        if end and self.is_cut:
            end()

    def end(self) -> None:
        """Ends the stream after what is queued."""
        self._leave(self)
        self._ended = True
        self._wake()

    def beat(self) -> None:
        """Notices a reader that takes nothing. Call at every heartbeat, before queueing it."""
        stalled = bool(self._waiting) and not self._taken_since_beat
        self._stalled_beats = self._stalled_beats + 1 if stalled else 0
        self._taken_since_beat = False
        if self._stalled_beats >= STALLED_BEATS:
            self.drop()

    async def frames(self) -> AsyncIterator[bytes]:
        """What the reader gets, in order, frames that have gathered together."""
        try:
            while True:
                if self._waiting:
                    yield self._take()
                elif self._ended:
                    return
                else:
                    self._arrival = asyncio.get_running_loop().create_future()
                    await self._arrival
        finally:
            self._leave(self)

    def _take(self) -> bytes:
        self._taken_since_beat = True
        waiting = self._waiting
        number, length = 1, len(waiting[0])
        while number < len(waiting) and length < MAX_CHUNK:
            length += len(waiting[number])
            number += 1
        taken = waiting[0] if number == 1 else b"".join(waiting[:number])
        del waiting[:number]
        return taken

    def _wake(self) -> None:
        if self._arrival and not self._arrival.done():
            self._arrival.set_result(None)
