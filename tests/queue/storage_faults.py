"""Ways to bring a database into trouble."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from app.queue.database import Database


def fill_the_disk(database: Database, *, full: bool) -> None:
    """No page may be added to the file; PostgreSQL refuses, as it does then, whatever would write."""
    if not database.is_sqlite:
        (sa.event.listen if full else sa.event.remove)(database.writing, "before_cursor_execute", refuse_as_full)
        return
    with database.writing.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full else 1_000_000
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def refuse_as_full(_connection: Any, cursor: Any, statement: str, *_: object) -> None:
    if statement.startswith(("INSERT", "UPDATE")):
        cursor.execute(REFUSAL)


REFUSAL = "DO $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"


@contextmanager
def another_writer(database: Database) -> Iterator[None]:
    """Another program holds the database; ours has little patience with it."""
    assert database.path
    with database.writing.connect() as ours:
        ours.exec_driver_sql("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def read_only(database: Database) -> Iterator[None]:
    """Every connection that is made may only read; on PostgreSQL every transaction that begins."""

    def restrict(connection: Any, *_: object) -> None:
        if database.is_sqlite:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    event = "connect" if database.is_sqlite else "begin"
    sa.event.listen(database.writing, event, restrict)
    if database.is_sqlite:
        database.writing.dispose()
    try:
        yield
    finally:
        sa.event.remove(database.writing, event, restrict)
        if database.is_sqlite:
            database.writing.dispose()


@contextmanager
def damaged_file(database: Database) -> Iterator[None]:
    """The file is overwritten from its second page on, and later as it was before."""
    assert database.path
    database.writing.dispose()
    database.reading.dispose()
    with closing(sqlite3.connect(database.path)) as alone:
        alone.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = database.path.read_bytes()
    database.path.write_bytes(sound[:4096] + b"\xa5" * (len(sound) - 4096))
    try:
        yield
    finally:
        database.path.write_bytes(sound)


class Reads:
    """How many statements were tried, in vain."""

    number = 0


@contextmanager
def unreadable(database: Database, *, disconnected: bool = True) -> Iterator[Reads]:
    """Every statement that reads fails, be it in the midst of a snapshot; and with it, as far as anybody can tell, the
    connection."""
    dialect, reads = database.reading.dialect, Reads()

    def lose(*_: object) -> None:
        reads.number += 1
        if database.is_sqlite:
            raise error_of(sqlite3.SQLITE_IOERR, LOST)
        raise psycopg.OperationalError(LOST)

    dialect.do_execute = lose  # type: ignore[method-assign]
    dialect.is_disconnect = lambda *_: disconnected  # type: ignore[method-assign]
    try:
        yield reads
    finally:
        del dialect.do_execute, dialect.is_disconnect


LOST = "the connection is lost"
Commit = Callable[[Any], None]


@contextmanager
def commits(database: Database, instead: Callable[[Commit, Any], None]) -> Iterator[None]:
    """`instead` is called for each COMMIT of the writer with what would carry it out, and the connection."""
    dialect = database.writing.dialect
    commit = type(dialect).do_commit.__get__(dialect)
    dialect.do_commit = lambda connection: instead(commit, connection)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del dialect.do_commit


def error_of(code: int, words: str) -> sqlite3.OperationalError:
    """As SQLite raises it."""
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error
