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
    """Takes frames in; a stream reads them out."""

    def __init__(self, leave: Callable[[Subscriber], None]) -> None:
        self.is_cut = False
        """Whether the stream must end without delay."""
        self.synchronised = False
        """Whether what was queued brings the reader to the channel's present; until then it gets no differences."""
        self._leave = leave
        self._when_cut: Callable[[], None] | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED)
        self._taken_since_beat = False
        self._stalled_beats = 0

    def put(self, made: bytes) -> None:
        try:
            self._queue.put_nowait(made)
        except asyncio.QueueFull:
            self.drop()

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
        try:
            self._queue.put_nowait(None)
        except asyncio.QueueFull:
            self.drop()

    def beat(self) -> None:
        """Notices a reader that takes nothing. Call at every heartbeat, before queueing it."""
        stalled = not self._queue.empty() and not self._taken_since_beat
        self._stalled_beats = self._stalled_beats + 1 if stalled else 0
        self._taken_since_beat = False
        if self._stalled_beats >= STALLED_BEATS:
            self.drop()

    async def frames(self) -> AsyncIterator[bytes]:
        """What the reader gets, in order, frames that have gathered together."""
        try:
            while (made := await self._queue.get()) is not None:
                self._taken_since_beat = True
                ended = False
                while not self._queue.empty() and len(made) < MAX_CHUNK:
                    more = self._queue.get_nowait()
                    ended = more is None
                    if more is None:
                        break
                    made += more
                yield made
                if ended:
                    return
        finally:
            self._leave(self)
