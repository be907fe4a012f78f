"""Ways to bring a SQLite database into trouble, each undone at the end of its block."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa

from app.queue.database import Database


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
    """Every connection that is made may only read."""

    def restrict(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    sa.event.listen(database.writing, "connect", restrict)
    database.writing.dispose()
    try:
        yield
    finally:
        sa.event.remove(database.writing, "connect", restrict)
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
