"""A storage in trouble: what is told of it, that nothing acknowledged is lost, and that work goes on by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from app.queue import audit, storage
from app.queue.database import Database, DatabaseTrouble, ReadFailed
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.storage_faults import Fault, fault_of
from app.queue.store.start import start
from app.queue.writer import OutcomeUnknown, Transaction, WriteFailed, touch
from app.work.storing import until_stored
from tests.queue.conftest import Queue
from tests.queue.storage_faults import another_writer, commits, damaged_file, error_of, read_only

STEP = StepPlan("one", "trial")


@pytest.fixture
async def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    """On SQLite, with little patience, and found sound at the end."""
    monkeypatch.setattr(storage, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(storage, "LONGEST_PAUSE", 0.05)
    database = Database.in_directory(tmp_path)
    bring_up_to_date(database)
    queue = Queue(database)
    yield queue
    await queue.write.close()
    assert audit.check(database) == []
    database.close()


async def until(queue: Queue, true: Callable[[], bool]) -> None:
    """Waits until the storage says of itself that it is so."""
    changed = asyncio.Event()
    async with asyncio.timeout(30):
        with queue.write.storage.listening(changed.set):
            while not true():
                await changed.wait()
                changed.clear()


TROUBLES = [
    (another_writer, Fault.BUSY, "database is locked; end the other program"),
    (read_only, Fault.READ_ONLY, "attempt to write a readonly database; make it writable"),
]


@pytest.mark.parametrize(("trouble", "fault", "words"), TROUBLES, ids=["busy", "read_only"])
async def test_trouble_is_told_and_work_goes_on_by_itself(
    queue: Queue, trouble: Callable[[Database], AbstractContextManager[None]], fault: Fault, words: str
) -> None:
    kept = await queue.start(STEP, definition="before")
    with trouble(queue.database):
        with pytest.raises(WriteFailed, match=words):
            await queue.start(STEP, definition="refused")
        told = queue.write.storage.trouble
        assert told and told.fault is fault and told.stops_work
        waiting = asyncio.create_task(until_stored(queue.write, touch))
        await asyncio.sleep(0)
        assert queue.run(kept).definition == "before"  # the page can still be read
        assert not waiting.done()
    await until(queue, lambda: queue.write.storage.trouble is None)
    await waiting
    assert await queue.start(STEP, definition="after")


async def test_a_trouble_is_not_over_before_what_waits_is_stored(queue: Queue) -> None:
    refused = True

    def stubborn(transaction: Transaction) -> None:
        if refused:
            raise_as_the_database_does(transaction)

    def raise_as_the_database_does(transaction: Transaction) -> None:
        transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1")
        try:
            transaction.connection.exec_driver_sql("CREATE TABLE room AS SELECT zeroblob(1000000) AS x")
        finally:
            transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    waiting = asyncio.create_task(until_stored(queue.write, stubborn))
    await until(queue, lambda: queue.write.storage.trouble is not None)
    for number in range(5):  # small ones find room all the same
        await persistently(queue, RunPlan(f"small {number}", "Small", (STEP,)))
        assert queue.write.storage.trouble is not None
    refused = False
    await waiting
    await until(queue, lambda: queue.write.storage.trouble is None)


async def persistently(queue: Queue, plan: RunPlan) -> None:
    """Tries at once again when it shared a transaction with what finds no room."""
    while True:
        with suppress(WriteFailed):
            await queue.write(start, plan)
            return


async def test_nothing_is_written_into_a_damaged_file_until_it_is_sound_again(queue: Queue) -> None:
    for number in range(20):
        await queue.start(STEP, definition=f"run {number}")
    before = [change for commit in queue.commits for change in commit.changes]
    with damaged_file(queue.database):
        with pytest.raises(ReadFailed, match="restore a backup"):
            queue.read(lambda snapshot: snapshot.statistics())
        with pytest.raises(WriteFailed, match="stepglass restore"):
            await queue.start(STEP, definition="refused")
        assert queue.write.storage.is_damaged
        damaged = queue.database.path.read_bytes() if queue.database.path else b""
        with pytest.raises(WriteFailed):
            await queue.start(STEP, definition="refused")
        assert queue.database.path and queue.database.path.read_bytes() == damaged
        away = queue.database.path.rename(queue.database.path.with_suffix(".away"))
        assert await queue.write.storage._is_still_damaged()  # which nobody could tell
        away.rename(queue.database.path)
    await until(queue, lambda: queue.write.storage.trouble is None)
    assert await queue.start(STEP, definition="after") == 41
    assert len(queue.changes) > len(before)


async def test_a_slow_storage_is_told_while_it_is_slow(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.writer.SLOW", 0.05)
    monkeypatch.setattr(storage, "SLOW", 0.05)
    synced = threading.Event()

    def slow_commit(commit: Callable[[Any], None], connection: Any) -> None:
        assert synced.wait(30)
        commit(connection)

    with commits(queue.database, slow_commit):
        started = asyncio.ensure_future(queue.start(STEP))
        await until(queue, lambda: queue.write.storage.trouble is not None)
        told = queue.write.storage.trouble
        assert told and told.fault is Fault.SLOW and not told.stops_work
        assert not started.done()  # acknowledged means committed, however long that takes
        synced.set()
        assert await started == 1
        await until(queue, lambda: queue.write.storage.trouble is None)


async def test_a_commit_whose_outcome_cannot_be_found_out_says_so_when_the_server_ends(queue: Queue) -> None:
    def broken(_commit: Callable[[Any], None], _connection: Any) -> None:
        queue.database.reading.dispose()
        raise error_of(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error")

    with commits(queue.database, broken):
        started = asyncio.ensure_future(queue.start(STEP))
        await until(queue, lambda: queue.write.storage.trouble is not None)
        assert not started.done()  # nobody knows yet
        await queue.write.close()
        with pytest.raises(OutcomeUnknown, match="look whether it was"):
            await started


async def test_who_waits_no_longer_is_forgotten(queue: Queue) -> None:
    queue.write.storage.failed(Fault.FULL, "database or disk is full")
    waiting = asyncio.create_task(queue.write.storage.another_try())
    await asyncio.sleep(0)
    assert len(queue.write.storage._waiting) == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not queue.write.storage._waiting


def test_a_session_that_the_database_server_has_ended_is_no_fault_of_what_was_asked() -> None:
    cause = psycopg.errors.IdleInTransactionSessionTimeout("terminating connection due to idle-in-transaction timeout")
    assert fault_of(sa.exc.InternalError("SELECT 1", {}, cause, connection_invalidated=True)) is Fault.AWAY
    assert fault_of(sa.exc.InternalError("SELECT 1", {}, cause)) is None


def test_a_damaged_file_is_refused_at_the_start_with_the_way_out(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    bring_up_to_date(database)
    with damaged_file(database), pytest.raises(DatabaseTrouble, match=r"is damaged .* stepglass restore FILE"):
        bring_up_to_date(database)
    bring_up_to_date(database)
    (tmp_path / "stepglass.db").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(DatabaseTrouble, match=r"is damaged \(file is not a database\)"):
        bring_up_to_date(Database.in_directory(tmp_path))
