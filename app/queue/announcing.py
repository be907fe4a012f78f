"""Telling other processes what was committed, by PostgreSQL's NOTIFY, and hearing it from them.

A commit is announced from within its transaction, so that it is heard if and only if it became true, and in the order
of the commits. That costs no concurrency: one transaction writes at a time. Whoever loses the connection has missed
what was said meanwhile; then, and whenever the revision has moved on unheard, `MuchChanged` says that anything may have
changed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy.engine import Connection

from app.queue.changes import Change, DocumentsChanged, ItemsStopped, MuchChanged, WorkStopped
from app.queue.commit_marks import Said
from app.queue.database import Database
from app.queue.step_monitor import StepMonitor
from app.queue.tickets import enqueue, has_tickets
from app.queue.whereabouts import told
from app.queue.writer import Commit

if TYPE_CHECKING:
    import psycopg

CHANNEL = "stepglass"
LONGEST = 7_700
"""Bytes of the changes in one notification; PostgreSQL takes 7,999 in all."""
IDS_AT_ONCE = 500
LOOK_EVERY = 2.0
"""Seconds after which the revision is looked at although nothing was heard. Less than a heartbeat of the page, which
may claim to be true only as long as this succeeds."""
_LOOK = "SELECT value, extract(epoch FROM clock_timestamp())::float8 FROM sequence WHERE name = 'revision'"
AGAIN_AFTER = 0.5
"""Seconds until a connection that was lost is opened again."""

log = structlog.get_logger(__name__)
Announce = Callable[[Connection, list[Change]], Said]
_kinds: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Change)}


class Announcer:
    """The voice of this process. Its name tells it its own words."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    def announce(self, connection: Connection, changes: Iterable[Change]) -> Said:
        """Says what the transaction of this connection is about to make true, but for the last part, which is returned:
        that is to be said with the revision."""
        *first, last = self._parts(changes)
        for said in first:
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, f"{said.before}0{said.after}"))
        return last

    def _parts(self, changes: Iterable[Change]) -> Iterator[Said]:
        """What does not fit into one notification is said in several."""
        said: list[bytes] = []
        size = 0
        for encoded in _encoded(changes):
            if said and size + len(encoded) > LONGEST:
                yield self._part(said)
                said, size = [], 0
            said.append(encoded)
            size += len(encoded) + 1
        yield self._part(said)

    def _part(self, said: list[bytes]) -> Said:
        return Said(CHANNEL, f'["{self.name}",', f",[{b','.join(said).decode()}]]")


def understood(text: str) -> tuple[str, Commit] | None:
    """Who said it, and what; None if it was none of us. A kind of change that a newer version has may be anything."""
    try:
        name, revision, changes = msgspec.json.decode(text, type=tuple[str, int, list[list[Any]]])
    except msgspec.DecodeError:
        return None
    return name, Commit(revision, list(map(_change, changes)), name)


def _encoded(changes: Iterable[Change]) -> Iterator[bytes]:
    for change in changes:
        for part in _parts(change):
            values = [getattr(part, each.name) for each in fields(part)] if is_dataclass(part) else []
            encoded = msgspec.json.encode([type(part).__name__, *values])
            yield encoded if len(encoded) < LONGEST // 2 else msgspec.json.encode([MuchChanged.__name__])


def _parts(change: Change) -> Iterator[Change]:
    match change:
        case DocumentsChanged(ids):
            yield from map(DocumentsChanged, _in_parts(ids))
        case WorkStopped(step_id, worker_ids) | ItemsStopped(step_id, worker_ids) if worker_ids:
            for part in _in_parts(worker_ids):
                yield type(change)(step_id, part)
        case _:
            yield change


def _in_parts(ids: frozenset[int]) -> Iterator[frozenset[int]]:
    rest = iter(ids)
    while part := frozenset(islice(rest, IDS_AT_ONCE)):
        yield part


def _change(encoded: list[Any]) -> Change:
    kind = _kinds.get(str(encoded[0])) if encoded else None
    if kind is None:
        return MuchChanged()
    try:
        names = [each.name for each in fields(kind)] if is_dataclass(kind) else []
        known: Change = msgspec.convert(dict(zip(names, encoded[1:], strict=False)), kind) if names else kind()
    except msgspec.ValidationError:
        return MuchChanged()
    return known


class Listener:
    """Hears what other processes commit, and hands it to `hear` on the event loop."""

    def __init__(
        self, database: Database, own_name: str, hear: Callable[[Commit], None], revision: Callable[[], int]
    ) -> None:
        """`revision`: the last that was heard of, by whatever way."""
        self._url = database.libpq_url
        self._clock = database.clock
        self._own_name = own_name
        self._called = f"stepglass listens, {told(own_name)}"[:63]  # by which others see who is at work
        self._hear = hear
        self._revision = revision
        self._ready = asyncio.Event()
        self.true_until = 0.0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Begins once the connection is there, so that nothing is missed between a first look and the first word."""
        task = asyncio.create_task(self._run(), name="listener")
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield self
        finally:
            for each in (task, ready):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each

    async def _run(self) -> None:
        import psycopg

        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, application_name=self._called, connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    await self._catch_up(connection)
                    self._ready.set()
                    await self._listen(connection)
            except (psycopg.Error, OSError) as error:
                log.warning("changes of other processes cannot be heard for now", reason=str(error).strip())
                await asyncio.sleep(AGAIN_AFTER)
            except Exception:  # whatever it was, who does not listen any more would never know what others do
                log.exception("hearing other processes failed, and is begun anew")
                await asyncio.sleep(AGAIN_AFTER)

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            # To its end: those that arrive together with the first would be lost with whoever leaves before.
            notifications = connection.notifies(timeout=LOOK_EVERY, stop_after=1)
            said = [notification.payload async for notification in notifications]
            are_ours = [self._understands(each) for each in said]
            if not (said and all(are_ours)):
                await self._catch_up(connection)

    def _understands(self, said: str) -> bool:
        """Hands on what was said, by one of us."""
        heard = understood(said)
        if heard is None:
            return False
        self.true_until = self._clock.now()
        name, commit = heard
        if name != self._own_name:
            self._hear(commit)
        return True

    async def _catch_up(self, connection: psycopg.AsyncConnection[Any]) -> None:
        asked_at = time.monotonic()
        cursor = await connection.execute(_LOOK)
        row = await cursor.fetchone()
        if row:
            self.true_until = row[1]
            self._clock.said(row[1], asked_at)
        if row and row[0] > self._revision():
            self._hear(Commit(row[0], [MuchChanged()], "others"))


@asynccontextmanager
async def hearing_others(database: Database, monitor: StepMonitor) -> AsyncIterator[Announce | None]:
    """Lets the monitor hear what other processes commit, until the end of the block. Yields how they are told what this
    one commits, with the tickets for what it lets be claimed; None for a database that nobody else writes."""
    if database.is_sqlite:
        yield None
        return
    announcer = Announcer()

    engine: list[bool] = []
    """Whether it is Procrastinate: that stays as it is while anybody listens."""

    def announce(connection: Connection, changes: list[Change]) -> Said:
        if not engine:
            engine.append(has_tickets(connection))
        if engine[0]:
            enqueue(connection, changes, database.clock.now())
        return announcer.announce(connection, changes)

    listener = Listener(database, announcer.name, monitor.hear, lambda: monitor.revision)
    monitor.true_until = lambda: listener.true_until
    async with listener.listening():
        yield announce
