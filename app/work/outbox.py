"""The outbox: what running work says, on its way to the writer.

Work never waits for the database. What it says gathers here and goes out together, one batch at a time, in order:
whatever a work item said is stored before its end is. When the database is in trouble a batch is kept and tried again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import structlog

from app.queue.clock import Clock
from app.queue.documents import Document
from app.queue.store.documents import Saving, delete_documents, save_documents
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line
from app.queue.store.logging import log as log_lines
from app.queue.store.owners import OwnerLost
from app.queue.store.plan import NewItem, spawn
from app.queue.store.totals import add_to_totals
from app.queue.totals import added
from app.queue.writer import Transaction, WriteFailed
from app.work.lease import Lease

log = structlog.get_logger(__name__)

CROWDED = 20_000
"""Entries from which on senders that can wait are asked to."""


_Operation = tuple[Callable[..., Any], tuple[Any, ...]]
"""A store verb, and its arguments."""


@dataclass(slots=True)
class _Batch:
    lines: list[Line] = field(default_factory=list)
    documents: defaultdict[int, list[Saving | str]] = field(default_factory=lambda: defaultdict(list))
    totals: defaultdict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    spawned: defaultdict[tuple[int, int, int], list[NewItem]] = field(default_factory=lambda: defaultdict(list))
    endings: defaultdict[int, list[Ending]] = field(default_factory=lambda: defaultdict(list))
    size: int = 0

    def operations(self) -> list[_Operation]:
        """One operation per kind and step; what work said comes before its end."""
        said: list[_Operation] = [(log_lines, (self.lines,))] if self.lines else []
        for step_id, documents in self.documents.items():
            said += (
                _saving(step_id, list(run)) for _, run in groupby(documents, key=lambda each: isinstance(each, str))
            )
        said += ((spawn, (*key, items)) for key, items in self.spawned.items())
        said += ((add_to_totals, (step_id, amounts)) for step_id, amounts in self.totals.items())
        return said + [(finish, (step_id, endings)) for step_id, endings in self.endings.items()]

    def tells_of(self, step_id: int) -> bool:
        """Whether a step itself may have said anything of this."""
        if step_id in self.documents or step_id in self.totals:
            return True
        return any(line.step_id == step_id and line.worker_id is None for line in self.lines)

    def parts(self) -> Iterator[_Operation]:
        """The same, each line, document, item and end by itself."""
        yield from ((log_lines, ([line],)) for line in self.lines)
        for step_id, documents in self.documents.items():
            yield from (_saving(step_id, [each]) for each in documents)
        yield from ((spawn, (*key, [item])) for key, items in self.spawned.items() for item in items)
        yield from ((add_to_totals, (step_id, amounts)) for step_id, amounts in self.totals.items())
        yield from ((finish, (step_id, [end])) for step_id, endings in self.endings.items() for end in endings)


def _saving(step_id: int, documents: list[Saving | str]) -> _Operation:
    """A run of saves, or of deletions (by address)."""
    if isinstance(documents[0], str):
        return delete_documents, (documents,)
    return save_documents, (step_id, documents)


class Outbox:
    """Gathers lines, documents, spawned items and endings, and hands them to the writer. `on_stored` is called after
    each batch. Under a `lease` that is lost by then, nothing of it is stored."""

    def __init__(self, lease: Lease, on_stored: Callable[[], None], clock: Clock) -> None:
        self._lease = lease
        self._clock = clock
        self._dropped = 0
        self._on_stored = on_stored
        self._batch = _Batch()
        self._sending: _Batch | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._closing = False
        self._roomy = asyncio.Event()
        self._roomy.set()

    def log(self, step_id: int, worker_id: int | None, level: str, message: str, at: float | None = None) -> None:
        """`at`: by the clock of this machine; None for now."""
        said_at = self._clock.now() if at is None else self._clock.there(at)
        self._batch.lines.append(Line(step_id, worker_id, said_at, level, message))
        self._grew()

    def save_document(self, step_id: int, worker_id: int | None, document: Document) -> None:
        self._batch.documents[step_id].append(Saving(document, worker_id))
        self._grew()

    def delete_document(self, step_id: int, address: str) -> None:
        self._batch.documents[step_id].append(address)
        self._grew()

    def add_to_totals(self, step_id: int, amounts: dict[str, float]) -> None:
        self._batch.totals[step_id] = added(self._batch.totals[step_id], amounts)
        self._grew()

    def spawn(self, step_id: int, worker_id: int, attempt: int, item: NewItem) -> None:
        self._batch.spawned[step_id, worker_id, attempt].append(item)
        self._grew()

    def end(self, step_id: int, ending: Ending) -> None:
        self._batch.endings[step_id].append(ending)
        self._grew()

    async def room(self) -> None:
        """Waits while too much is on its way; for senders that can."""
        await self._roomy.wait()

    @property
    def crowded(self) -> bool:
        return not self._roomy.is_set()

    @property
    def is_sending(self) -> bool:
        """Whether something is on its way."""
        return self._flushing is not None

    def holds(self, step_id: int) -> bool:
        """Whether something that a step may have said while it was planned is not stored yet."""
        return any(batch.tells_of(step_id) for batch in (self._batch, self._sending) if batch)

    def drop(self) -> None:
        """Forgets what is not stored: what it tells of is somebody else's."""
        self._dropped += 1
        self._batch = _Batch()
        self._roomy.set()

    async def flushed(self) -> None:
        """Waits until everything said so far is stored."""
        while self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def close(self) -> None:
        """As `flushed`, but a batch that cannot be committed now is given up: what was not acknowledged is still
        running for the next owner, who takes it up again."""
        self._closing = True
        self._lease.storage.hurry()
        await self.flushed()

    def _grew(self) -> None:
        self._batch.size += 1
        if self._batch.size >= CROWDED:
            self._roomy.clear()
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="outbox")

    async def _flush(self) -> None:
        try:
            await asyncio.sleep(0)  # let everything that is ready to speak join this batch
            while self._batch.size:
                self._sending, self._batch = self._batch, _Batch()
                self._roomy.set()
                try:
                    await self._store(self._sending)
                except Exception:  # what follows has to be stored all the same
                    log.exception("a part could not be stored, nor that it could not")
                self._on_stored()
        finally:
            self._flushing = self._sending = None

    async def _store(self, batch: _Batch) -> None:
        """Stores the batch as one operation: all of it or nothing, in order."""
        try:
            await self._hand_in(_perform, batch.operations())
        except OwnerLost as lost:
            await self._lease.lost(str(lost))
        except Exception:
            log.exception("a batch could not be stored as a whole; its parts are stored one by one")
            await self._store_apart(batch)

    async def _store_apart(self, batch: _Batch) -> None:
        """Stores what can be stored, and tells what cannot: no part may keep the others from being stored."""
        for verb, arguments in batch.parts():
            try:
                await self._hand_in(verb, *arguments)
            except OwnerLost as lost:
                await self._lease.lost(str(lost))
                return
            except Exception as error:
                log.exception("a part could not be stored", verb=verb.__name__)
                if verb is finish:
                    step_id, (ending,) = arguments
                    told = f"its end could not be stored: {error}"
                    failure = Ending(ending.worker_id, ending.attempt, error=told)
                    await self._hand_in(finish, step_id, [failure])

    async def _hand_in(self, verb: Callable[..., Any], *arguments: Any) -> None:
        """Hands in a verb again and again until it is committed, or until closing; raises what the verb itself
        raises."""
        dropped, storage = self._dropped, self._lease.storage
        with suppress(WriteFailed):
            await self._lease.write(verb, *arguments)
            return
        with storage.owing():
            while dropped == self._dropped:
                if self._closing:
                    log.error("the database cannot be written, so the work is left for the next start")
                    return
                await storage.another_try()
                with suppress(WriteFailed):
                    await self._lease.write(verb, *arguments)
                    return


def _perform(transaction: Transaction, operations: Sequence[_Operation]) -> None:
    for verb, arguments in operations:
        verb(transaction, *arguments)
