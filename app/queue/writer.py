"""The writer: the only thread that changes the job tables.

Everything that wants to change something hands an operation (a store verb and its arguments) to the writer and
awaits it. The writer takes what has gathered, runs it in one transaction, commits, and only then answers: acknowledged
means committed. An operation that fails undoes itself alone: then the transaction begins anew, with a savepoint for
each. Trouble of the storage answers the whole batch with the error, and nothing of it is stored. After a COMMIT that
failed nobody knows that: then the database is asked, and nobody is answered before it has told.
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
from sqlalchemy.exc import DBAPIError

from app.queue.changes import Change, distinct
from app.queue.commit_marks import CommitMark, CommitMarks, Said
from app.queue.database import Database, tables_grew
from app.queue.storage import FIRST_PAUSE, LONGEST_PAUSE, SLOW, Storage
from app.queue.storage_faults import Fault, cause_of, fault_of, may_come_back
from app.queue.tables import sequence

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 500
"""Operations in one transaction. Larger batches no longer help, and make the callers wait."""
ROOM = 256 << 10
"""Bytes that there must be room for before the trouble of a full disk counts as over."""

log = structlog.get_logger(__name__)
_advance = (
    update(sequence)
    .where(sequence.c.name == bindparam("which"))
    .values(value=sequence.c.value + bindparam("step"))
    .returning(sequence.c.value)
)


class WriteFailed(Exception):
    """The batch could not be committed, so nothing of it is stored. Says why in the words of the database."""


class OutcomeUnknown(WriteFailed):
    """The server ends before anybody could find out whether the batch was committed."""


@dataclass(slots=True)
class Transaction:
    """What a store verb works in: the connection, the time that all its rows are stamped with, the changes it makes."""

    connection: Connection
    now: float
    changes: list[Change] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    """Owners that were found to live in this transaction."""

    def new_ids(self, number: int) -> range:
        """Reserves ids for that many jobs."""
        tables_grew(self.connection, number)
        end = self.connection.execute(_advance, {"which": "job", "step": number}).scalar_one()
        return range(end - number + 1, end + 1)


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


@dataclass(slots=True)
class _Outcome:
    """What became of a batch: a commit (None if it made nothing true), or an error that concerns all of it. `followed`:
    who is to be told of it, too."""

    seconds: float
    commit: Commit | None = None
    error: Exception | None = None
    followed: Followed | None = None


Followed = Callable[[Commit | None], None]
"""What became of something that was done as well: the commit, or None if it was not stored."""


class Writer:
    """Runs store verbs, in the order in which they were handed in.

    `on_commit` is called on the event loop after every COMMIT that changed something, before the callers are answered;
    `announce`, where other processes are to hear of it, within the transaction, right before the COMMIT: it says all
    but the last part of it, and returns that.
    """

    def __init__(
        self,
        database: Database,
        on_commit: Callable[[Commit], None],
        announce: Callable[[Connection, list[Change]], Said | None] | None = None,
    ) -> None:
        self._database = database
        self._on_commit = on_commit
        self._announce = announce
        self._operations: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._unanswered = 0
        self._watching: asyncio.TimerHandle | None = None
        self._began: float | None = None
        self._closing = threading.Event()
        self._marks = CommitMarks()
        self.storage = Storage(str(database), lambda: self(try_out), database.damage, database.clock.now)
        self.follow_up: Callable[[Transaction], Followed | None] | None = None
        """Called in the thread of the writer, in every transaction that changes something, after its operations: it may
        go on from what these changed. What it returns is called on the event loop, after `on_commit`. If it fails, the
        transaction goes without it."""
        self._followed: Followed | None = None
        self.committed_at: float | None = None
        """When the last batch was committed."""
        self._thread = threading.Thread(target=self._run, name="stepglass-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many operations were handed in and have not been begun."""
        return self._operations.qsize()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the storage, and what to do about it; None while it works."""
        return str(self.storage.trouble) if self.storage.trouble else None

    def __call__(
        self, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Hands in `verb`; the awaitable is done after the COMMIT, and raises what the verb raised, or WriteFailed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._unanswered += 1
        if self._watching is None:
            self._watching = self._loop.call_later(SLOW, self._watch)
        self._operations.put(_Operation(lambda transaction: verb(transaction, *args, **kwargs), future))
        return future

    async def close(self) -> None:
        """Finishes what was handed in, then ends the thread."""
        self._closing.set()
        self._operations.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._watching:
            self._watching.cancel()
        self.storage.close()

    def _watch(self) -> None:
        """While anybody waits for an answer: notices that it takes long."""
        self._watching = None
        began = self._began
        if began is not None and time.monotonic() - began >= SLOW:
            self.storage.slow()
        if self._unanswered:
            self._watching = self._loop.call_later(SLOW, self._watch)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take()
            if batch:
                began = self._began = time.monotonic()
                outcome = self._write(batch)
                outcome.followed, self._followed = self._followed, None
                self._began = None
                outcome.seconds = time.monotonic() - began
                self._loop.call_soon_threadsafe(self._answer, batch, outcome)

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

    def _write(self, batch: list[_Operation]) -> _Outcome:
        """Runs the batch in one transaction. Whatever happens, the outcome is what the database holds then."""
        if self.storage.is_damaged:
            return _Outcome(0.0, error=WriteFailed(self.trouble))
        try:
            with self._database.writing.connect() as connection:
                return _Outcome(0.0, self._commit(connection, batch))
        except Exception as error:  # a full disk, a lost connection: nobody of this batch was acknowledged
            return _Outcome(0.0, error=error)

    def _commit(self, connection: Connection, batch: list[_Operation]) -> Commit | None:
        """Raises whatever keeps the batch from being stored, once that is certain; or OutcomeUnknown."""
        try:
            transaction = self._performed(connection, batch)
            if transaction and not self._is_followed_up(transaction):
                transaction = self._performed(connection, batch)
            if transaction is None:
                return None
            changes = distinct(transaction.changes)
            said = self._announce(connection, changes) if self._announce and changes else None
            revision, mark = self._marks.leave(connection, bool(changes), transaction.now, said)
        except Exception as error:
            if fault_of(error) not in (None, Fault.FULL, Fault.BUSY):
                connection.invalidate()  # a connection made anew may find things better
            raise
        try:
            connection.commit()
        except Exception as error:
            connection.invalidate()
            if not self._was_stored(mark, error):
                raise
        self.committed_at = transaction.now
        return Commit(revision, changes) if changes else None

    def _performed(self, connection: Connection, batch: list[_Operation]) -> Transaction | None:
        """The transaction in which the batch was performed; None if nothing of it is left."""
        transaction = self._begun(connection)
        if self._perform_together(batch, transaction):
            return transaction
        if len(batch) == 1:
            return None
        transaction = self._begun(connection)
        for operation in batch:
            self._perform(operation, transaction)
        return transaction

    def _is_followed_up(self, transaction: Transaction) -> bool:
        """False if that failed. It is none of the batch's fault: all is undone, for the batch to be performed alone."""
        follow_up = self.follow_up
        if follow_up is None or not transaction.changes:
            return True
        try:
            self._followed = follow_up(transaction)
        except Exception as error:
            if fault_of(error):
                raise
            log.exception("what was to follow a change failed, and is left out")
            transaction.connection.rollback()
            return False
        return True

    def _begun(self, connection: Connection) -> Transaction:
        _begin(connection)
        return Transaction(connection, self._database.begun_at(connection))

    def _was_stored(self, mark: CommitMark, error: Exception) -> bool:
        """Whether the COMMIT that ended with this error was carried out all the same. Asks until it is told."""
        pause = FIRST_PAUSE
        while True:
            try:
                return mark.is_found(self._database, overwrite=may_come_back(error))
            except Exception as trouble:
                self._loop.call_soon_threadsafe(self._tell, trouble)
                if self._closing.is_set():
                    raise OutcomeUnknown(
                        f"{self._database} cannot be asked whether a change was stored: {cause_of(trouble)}; "
                        f"look whether it was"
                    ) from error
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @staticmethod
    def _perform_together(batch: list[_Operation], transaction: Transaction) -> bool:
        """Without savepoints, as failing is rare. If an operation fails, all is undone."""
        for operation in batch:
            try:
                operation.result = operation.run(transaction)
            except Exception as error:
                if fault_of(error):  # that concerns the whole batch
                    raise
                operation.error = error
                transaction.connection.rollback()
                return False
        return True

    @staticmethod
    def _perform(operation: _Operation, transaction: Transaction) -> None:
        connection, before = transaction.connection, len(transaction.changes)
        operation.error = None
        connection.exec_driver_sql("SAVEPOINT operation")
        try:
            operation.result = operation.run(transaction)
        except Exception as error:
            if fault_of(error):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT operation")
            del transaction.changes[before:]
            operation.error = error
        connection.exec_driver_sql("RELEASE SAVEPOINT operation")

    def _answer(self, batch: list[_Operation], outcome: _Outcome) -> None:
        self._unanswered -= len(batch)
        if outcome.error is None:
            self.storage.stored(outcome.seconds)
        elif not isinstance(outcome.error, WriteFailed):
            self._tell(outcome.error)
        if outcome.commit:
            self._on_commit(outcome.commit)
        if outcome.followed:
            try:
                outcome.followed(outcome.commit)
            except Exception:  # the callers are to be answered all the same
                log.exception("what followed a change failed")
        for operation in batch:
            if operation.future.cancelled():
                continue
            if outcome.error is not None:
                operation.future.set_exception(self._refusal(outcome.error))
            elif operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.result)

    def _tell(self, error: Exception) -> None:
        self.storage.failed(fault_of(error) or Fault.FAILING, cause_of(error))

    def _refusal(self, error: Exception) -> WriteFailed:
        """Each caller gets one of its own: an exception that is raised in many places gathers all their tracebacks."""
        if isinstance(error, WriteFailed):
            return type(error)(*error.args)
        refusal = WriteFailed(self.trouble or cause_of(error))
        refusal.__cause__ = error
        return refusal


def _begin(connection: Connection) -> None:
    """A connection that was lost while nobody used it is made anew."""
    try:
        connection.begin()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        connection.begin()


def touch(transaction: Transaction) -> None:
    """Writes, and changes nothing: finds out whether the database can be written."""
    transaction.connection.execute(_advance, {"which": "revision", "step": 0})


def try_out(transaction: Transaction) -> None:
    """Writes, changes nothing, and takes as much room for a moment as a batch may need: finds out whether trouble is
    over. Statements that are prepared have to be prepared anew, so it is not for every day."""
    touch(transaction)
    if transaction.connection.dialect.name == "sqlite":
        transaction.connection.exec_driver_sql(f"CREATE TABLE trial AS SELECT zeroblob({ROOM}) AS room")
        transaction.connection.exec_driver_sql("DROP TABLE trial")
