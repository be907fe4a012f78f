"""The writer: the only thread that changes the job tables.

Everything that wants to change something hands an operation (a store verb and its arguments) to the writer and
awaits it. The writer takes what has gathered, runs it in one transaction with a savepoint for each operation,
commits, and only then answers: acknowledged means committed. An operation that fails undoes itself alone; a COMMIT
that fails answers its whole batch with the error, and nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import bindparam, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from app.queue.changes import Change, distinct
from app.queue.database import Database
from app.queue.tables import sequence

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 500
"""Operations in one transaction. Larger batches no longer help, and make the callers wait."""

log = structlog.get_logger(__name__)
_advance = (
    update(sequence)
    .where(sequence.c.name == bindparam("which"))
    .values(value=sequence.c.value + bindparam("step"))
    .returning(sequence.c.value)
)


class WriteFailed(Exception):
    """The batch could not be committed, so nothing of it is stored. Says why in the words of the database."""


@dataclass(slots=True)
class Transaction:
    """What a store verb works in: the connection, the time that all its rows are stamped with, the changes it makes."""

    connection: Connection
    now: float
    changes: list[Change] = field(default_factory=list)

    def new_ids(self, number: int) -> range:
        """Reserves ids for that many jobs."""
        end = self.connection.execute(_advance, {"which": "job", "step": number}).scalar_one()
        return range(end - number + 1, end + 1)

    def new_revision(self) -> int:
        return int(self.connection.execute(_advance, {"which": "revision", "step": 1}).scalar_one())


@dataclass(frozen=True, slots=True)
class Commit:
    """What one COMMIT made true. `by`: the other process that made it; empty for this one."""

    revision: int
    changes: list[Change]
    by: str = ""


@dataclass(slots=True)
class _Operation:
    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs store verbs, in the order in which they were handed in.

    `on_commit` is called on the event loop after every COMMIT that changed something, before the callers are answered;
    `announce`, where other processes are to hear of it, within the transaction, right before the COMMIT.
    """

    def __init__(
        self,
        database: Database,
        on_commit: Callable[[Commit], None],
        announce: Callable[[Connection, Commit], None] | None = None,
    ) -> None:
        self._database = database
        self._on_commit = on_commit
        self._announce = announce
        self._operations: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="stepglass-writer", daemon=True)
        self._thread.start()
        self.trouble: str | None = None
        """Why the last batch could not be committed; None when it could."""
        self.committed_at: float | None = None
        """When the last batch was committed."""

    @property
    def waiting(self) -> int:
        """How many operations were handed in and have not been begun."""
        return self._operations.qsize()

    def __call__(
        self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Hands in `verb`; the awaitable is done after the COMMIT, and raises what the verb raised, or WriteFailed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._operations.put(_Operation(lambda transaction: verb(transaction, *args, **kwargs), future))
        return future

    async def close(self) -> None:
        """Finishes what was handed in, then ends the thread."""
        self._operations.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take()
            if batch:
                commit = self._commit(batch)
                self._loop.call_soon_threadsafe(self._answer, batch, commit)

    def _take(self) -> tuple[list[_Operation], bool]:
        batch: list[_Operation] = []
        operation = self._operations.get()
        while operation is not None:
            batch.append(operation)
            if len(batch) == MAX_BATCH:
                return batch, False
            try:
                operation = self._operations.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Operation]) -> Commit | None:
        """Runs the batch in one transaction. Returns what it made true, or None if that is nothing."""
        try:
            with self._database.writing.begin() as connection:
                transaction = Transaction(connection, time.time())
                for operation in batch:
                    self._perform(operation, transaction)
                changes = distinct(transaction.changes)
                commit = Commit(transaction.new_revision(), changes) if changes else None
                if commit and self._announce:
                    self._announce(connection, commit)
        except Exception as error:  # a full disk, a lost connection: nobody of this batch was acknowledged
            self._refuse(batch, error)
            return None
        self.trouble = None
        self.committed_at = transaction.now
        return commit

    @staticmethod
    def _perform(operation: _Operation, transaction: Transaction) -> None:
        connection, before = transaction.connection, len(transaction.changes)
        connection.exec_driver_sql("SAVEPOINT operation")
        try:
            operation.result = operation.run(transaction)
        except OperationalError:  # the database itself is in trouble: that concerns the whole batch
            raise
        except Exception as error:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT operation")
            del transaction.changes[before:]
            operation.error = error
        connection.exec_driver_sql("RELEASE SAVEPOINT operation")

    def _refuse(self, batch: list[_Operation], error: Exception) -> None:
        cause = getattr(error, "orig", None) or error
        self.trouble = f"{self._database} cannot be written: {cause}; {_way_out(str(cause))}"
        log.error("commit failed", database=str(self._database), reason=str(cause), operations=len(batch))
        for operation in batch:
            operation.error = WriteFailed(self.trouble)
            operation.error.__cause__ = error

    def _answer(self, batch: list[_Operation], commit: Commit | None) -> None:
        if commit:
            self._on_commit(commit)
        for operation in batch:
            if operation.future.cancelled():
                continue
            if operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.result)


def touch(transaction: Transaction) -> None:
    """Writes, and changes nothing: finds out whether the database can be written."""
    transaction.connection.execute(_advance, {"which": "revision", "step": 0})


_WAYS_OUT = {
    "full": "make room on its disk, and work goes on by itself",
    "readonly": "make it writable, and work goes on by itself",
    "locked": "end the other program that writes to it, and work goes on by itself",
}


def _way_out(cause: str) -> str:
    """What a person can do about the trouble."""
    ways = [way for word, way in _WAYS_OUT.items() if word in cause]
    return ways[0] if ways else "nothing that was acknowledged is lost, and it is tried again"
