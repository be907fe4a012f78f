"""GET /api/events: what changes, as Server-Sent Events for programs.

Each `job_update` event says that a run or a step of it changed; read the rest from the API. After a connection is lost,
`Last-Event-ID` resumes where it ended; when that is too long ago, a `reset` event says that facts were missed and
everything should be read again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from sse_starlette import EventSourceResponse

from app.queue.changes import MuchChanged
from app.queue.places import LARGEST
from app.queue.records import JobRecord
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import JobUpdate, StepMonitor, job_updates
from app.queue.writer import Commit
from app.web.access import Access
from app.web.errors import error_answers
from app.web.json_shapes import JobUpdateJson

KEPT = 2048
"""Facts that a connection which was lost can catch up on."""

BACKLOG = 512
"""Facts that a slow reader may be behind before it is cut off; it can resume."""

HEARTBEAT = 15.0
"""Seconds between comments that keep an idle connection alive."""


FAREWELL = 1.0
"""Seconds that a reader has to take what is waiting when the server stops."""


class Fact(NamedTuple):
    number: int
    update: JobUpdate


class Follower:
    """One connection: the facts it has still to be sent, and how it ends."""

    def __init__(self, job_id: int | None) -> None:
        self.job_id = job_id
        self.facts: asyncio.Queue[Fact | None] = asyncio.Queue(BACKLOG)
        self.cut = asyncio.Event()

    def wants(self, update: JobUpdate) -> bool:
        return self.job_id is None or self.job_id == update.job_id

    def hear(self, fact: Fact) -> None:
        if not self.wants(fact.update):
            return
        try:
            self.facts.put_nowait(fact)
        except asyncio.QueueFull:
            self.cut.set()

    def end(self) -> None:
        """Ends the stream after what is waiting; a reader that does not take that in time is cut off."""
        asyncio.get_running_loop().call_later(FAREWELL, self.cut.set)
        with suppress(asyncio.QueueFull):
            self.facts.put_nowait(None)


class JobEvents:
    """Numbers the facts of this process, keeps the latest, and hands each to its followers."""

    def __init__(self, monitor: StepMonitor) -> None:
        self._monitor = monitor
        self._epoch = f"{time.time_ns():x}"
        self._number = 0
        self._kept: deque[Fact] = deque(maxlen=KEPT)
        self._followers: set[Follower] = set()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[JobEvents]:
        """Hears the monitor; when the server is told to stop, ends every stream cleanly."""
        watch = asyncio.create_task(self._end_all_at_exit())
        try:
            with self._monitor.listening(self._hear):
                yield self
        finally:
            watch.cancel()
            self._end_all()

    async def stream(self, follower: Follower, last_event_id: str | None) -> AsyncIterator[bytes]:
        """Registers the follower before anything is sent, so that nothing falls between."""
        self._followers.add(follower)
        try:
            yield self._beginning(follower, last_event_id)
            while (fact := await follower.facts.get()) is not None:
                yield self._frame(fact)
        finally:
            self._followers.discard(follower)

    def _hear(self, commit: Commit) -> None:
        if any(isinstance(change, MuchChanged) for change in commit.changes):
            self._start_anew()
        for update in job_updates(commit.changes):
            self._number += 1
            fact = Fact(self._number, update)
            self._kept.append(fact)
            for follower in self._followers:
                follower.hear(fact)

    def _start_anew(self) -> None:
        """Facts were missed: every follower is sent away, and told to read everything again when it comes back."""
        self._epoch = f"{time.time_ns():x}"
        self._kept.clear()
        self._end_all()

    def _beginning(self, follower: Follower, last_event_id: str | None) -> bytes:
        greeting = f": following\nretry: 1000\nid: {self._epoch}-{self._number}\n".encode()
        if last_event_id is None:
            return greeting + b"\n"
        missed = self._since(last_event_id)
        if missed is None:
            return greeting + b"event: reset\ndata: {}\n\n"
        return b": following\n\n" + b"".join(self._frame(fact) for fact in missed if follower.wants(fact.update))

    def _since(self, event_id: str) -> list[Fact] | None:
        """The facts after that event; None if they are no longer, or never were, known here."""
        epoch, _, number = event_id.rpartition("-")
        if epoch != self._epoch or not number.isdecimal() or len(number) > 18 or int(number) > self._number:
            return None
        if self._kept and int(number) < self._kept[0].number - 1:
            return None
        return [fact for fact in self._kept if fact.number > int(number)]

    def _frame(self, fact: Fact) -> bytes:
        data = msgspec.json.encode(JobUpdateJson.of(fact.update))
        return b"event: job_update\nid: %s-%d\ndata: %s\n\n" % (self._epoch.encode(), fact.number, data)

    async def _end_all_at_exit(self) -> None:
        await EventSourceResponse._listen_for_exit_signal()
        self._end_all()

    def _end_all(self) -> None:
        for follower in tuple(self._followers):
            follower.end()


class FactStream(EventSourceResponse):
    """A stream that ends by itself when the server stops, and is cut when its reader is too slow."""

    def __init__(self, follower: Follower, content: AsyncIterator[bytes]) -> None:
        self._follower = follower
        super().__init__(content, ping=HEARTBEAT, sep="\n")

    async def _listen_for_exit_signal_with_grace(self) -> None:
        await self._follower.cut.wait()


@get(
    "/api/events",
    media_type="text/event-stream",
    responses={
        200: ResponseSpec(JobUpdateJson, description="A stream of events", media_type="text/event-stream"),
        **error_answers(404),
    },
)
async def events(
    request: Request[Any, Any, Any],
    access: NamedDependency[Access],
    job_events: NamedDependency[JobEvents],
    job_id: Annotated[int | None, Parameter(ge=1, le=LARGEST, description="Only this run and its steps.")] = None,
) -> FactStream:
    """`job_update` events, as runs and steps change."""
    if job_id is not None:
        job_id = (await access.read(partial(_job, job_id=job_id))).manager_id
    follower = Follower(job_id)
    return FactStream(follower, job_events.stream(follower, request.headers.get("last-event-id")))


def _job(snapshot: Snapshot, job_id: int) -> JobRecord:
    return snapshot.job(job_id)
