"""Which tests run on which database, and how each gets one of its own.

What a queue does is tested by one suite on both databases. `TEST_ON` chooses:

- unset: everything on SQLite, and on PostgreSQL what is marked `postgresql`: what `make test` has time for
- `postgresql`: everything that can run on PostgreSQL, and nothing else (`make test-postgresql`)
- `both`, `sqlite`: everything on both, or on SQLite alone
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa

from app.queue.database import FILE_NAME, Database
from app.queue.kept_runs import KeptRuns
from app.queue.schema import bring_up_to_date, version_table
from app.queue.tables import sequence
from tests.postgres import new_database, throwaway_cluster

CHOICES = ("sqlite", "postgresql", "both")


def chosen() -> str:
    """What TEST_ON says. Raises pytest.UsageError."""
    on = os.environ.get("TEST_ON", "")
    if on and on not in CHOICES:
        raise pytest.UsageError(f"TEST_ON={on}: it can be {', '.join(CHOICES)}, or unset")
    return on


def is_wanted(item: pytest.Item, on: str) -> bool:
    backend = item.callspec.params.get("backend") if hasattr(item, "callspec") else None
    on_postgres = backend == "postgres" or "postgres_url" in getattr(item, "fixturenames", ())
    if on in ("", "both"):
        return on == "both" or backend != "postgres" or item.get_closest_marker("postgresql") is not None
    return on_postgres is (on == "postgresql")


def put_new_file(directory: Path) -> None:
    """Puts a SQLite file of HEAD there, in which nothing has happened: to make its tables takes ten times as long."""
    (directory / FILE_NAME).write_bytes(_new_file())


@cache
def _new_file() -> bytes:
    with TemporaryDirectory() as directory:
        bring_up_to_date(database := Database.in_directory(Path(directory)))
        database.close()
        return (Path(directory) / FILE_NAME).read_bytes()


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """Within it every SQLite database knows the statements that any other has had SQLAlchemy compile: it keeps them by
    engine, and a test with a database of its own would spend a third of its time compiling them again."""
    make_engine = Database._engine
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        put_new_file(Path(directory))
        first = Database.in_directory(Path(directory))
        for engine in (first.reading, first.writing):
            engine.connect().close()  # a dialect is ready when it has connected once

        def knowing_the_statements(database: Database, size: int, read_only: bool) -> sa.Engine:
            engine = make_engine(database, size, read_only)
            if database.is_sqlite:
                known = first.reading if read_only else first.writing
                engine.dialect = engine.pool._dialect = known.dialect
                engine._compiled_cache = known._compiled_cache
            return engine

        patch.setattr(Database, "_engine", knowing_the_statements)
        yield
        first.close()


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server to create databases on: TEST_DATABASE_URL, else a throwaway cluster.

    Raises PostgresMissing.
    """
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    with throwaway_cluster() as url:
        yield url


@contextmanager
def one_database(server_url: str) -> Iterator[Callable[[], Database]]:
    """A PostgreSQL database of HEAD, and a function that makes it as new and hands it out.

    That costs a tenth of making one from a template, and of TRUNCATE, which makes new files for every table and index;
    and the connections know their way already.
    """
    with new_database(server_url) as url:
        bring_up_to_date(database := Database(url))
        with database.writing.begin() as connection:
            names = [name for name, _ in sa.inspect(connection).get_sorted_table_and_fkc_names() if name]
            emptied = [sa.table(name) for name in reversed(names) if name != version_table.name]
            numbers = list(connection.execute(sa.select(sequence)).mappings())
        empty = ";".join([*(str(sa.delete(table)) for table in emptied), _NUMBER_FROM_1])

        def make_as_new() -> None:
            with database.writing.begin() as connection:
                connection.exec_driver_sql(empty)
                connection.execute(sa.insert(sequence), numbers)

        def as_new() -> Database:
            try:
                make_as_new()
            except sa.exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                make_as_new()  # the test before had ended the connection
            database.kept_runs = KeptRuns()
            return database

        yield as_new
        database.close()


_NUMBER_FROM_1 = "SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences"
