"""A PostgreSQL that cannot be used: each command says which, why and what helps, and no password."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

import app.queue.database
from app.cli import cli
from app.cli.serve import _config, _Server
from app.cli.worker import _work
from app.queue.database import Database
from app.queue.storage_faults import to_do_about
from app.settings import Settings
from tests.databases import put_new_file

SECRET = "sesame"  # noqa: S105
NOWHERE = f"postgresql://ann:{SECRET}@127.0.0.1:1/none"


def refused(*arguments: str | Path, database: str | None = None) -> str:
    """What a command says that is refused."""
    given = {"STEPGLASS_DATABASE": database, "PGPASSWORD": None}
    ran = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False, env=given)
    assert ran.exit_code == 2, ran.output
    assert SECRET not in ran.output
    return " ".join(ran.stderr.split())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A data directory with a queue in which nothing has happened."""
    (tmp_path / "source").mkdir()
    put_new_file(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def on_server(postgres_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def typed(url: str | sa.URL, **parts: Any) -> str:
    """A URL as a person types it."""
    return sa.make_url(url).set(drivername="postgresql", **parts).render_as_string(hide_password=False)


def test_who_is_not_there_is_named_by_all_that_would_use_it(source: Path) -> None:
    told = "postgresql://ann:***@127.0.0.1:1/none cannot be"
    for command in (
        ("worker",),
        ("serve", "--port", "0", "--data", source),
        ("check",),
        ("copy", "--to", source / "new"),
    ):
        said = refused(*command, "--database", NOWHERE)
        assert told in said and "Connection refused" in said and said.endswith("and that the server runs"), command
    said = refused("copy", "--data", source, "--to", NOWHERE)
    assert told in said and "cannot be written" in said and str(source) not in said


@pytest.mark.parametrize(
    "url", [f"mysql://ann:{SECRET}@db/q", f"ann:{SECRET}@db/q", f"postgresql://ann:{SECRET}@db:x/q"]
)
def test_what_is_no_url_of_a_database_keeps_its_password(source: Path, url: str) -> None:
    assert "--database" in refused("worker", "--database", url)
    assert "STEPGLASS_DATABASE=" in refused("worker", database=url)
    assert "--to" in refused("copy", "--data", source, "--to", url)


def test_what_stands_after_the_question_mark_is_told() -> None:
    said = refused("worker", "--database", NOWHERE + "?sslmode=sometimes")
    assert 'invalid sslmode value: "sometimes"; see to what the URL says of TLS' in said
    assert "see to what follows the ?" in refused("worker", "--database", NOWHERE + "?no_such_option=1")
    said_by_pgbouncer = "connection failed: FATAL:  unsupported startup parameter: options"
    assert str(to_do_about(said_by_pgbouncer)).startswith("connect to PostgreSQL itself")


def test_a_database_that_is_not_there_or_is_unsuited(
    postgres_url: str, postgres_database: str, on_server: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"stepglass_{uuid4().hex}"
    other = typed(postgres_url, database=name)
    assert f'database "{name}" does not exist; a superuser makes it: CREATE DATABASE' in refused(
        "worker", "--database", other
    )
    on_server.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "has the encoding LATIN1, in which not every text" in refused("worker", "--database", other)
    finally:
        on_server.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    monkeypatch.setattr(app.queue.database, "OLDEST_POSTGRES", 99)
    said = refused("worker", "--database", typed(postgres_database))
    assert "Stepglass needs 99 or newer. Upgrade that server" in said


def test_a_user_without_rights_and_tables_in_the_way(
    source: Path, postgres_database: str, on_server: sa.Connection
) -> None:
    role = f"stepglass_{uuid4().hex}"
    theirs = typed(postgres_database, username=role)
    assert f'role "{role}" does not exist' in refused("worker", "--database", theirs)
    on_server.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
    try:
        for command in (("worker", "--database", theirs), ("copy", "--data", source, "--to", theirs)):
            said = refused(*command)
            assert "permission denied for schema public; let its user own the database: ALTER DATABASE" in said
    finally:
        on_server.exec_driver_sql(f"DROP ROLE {role}")
    with psycopg.connect(typed(postgres_database)) as connection:
        connection.execute("CREATE TABLE document (of_others text)")
    for command in (
        ("worker", "--database", typed(postgres_database)),
        ("copy", "--data", source, "--to", typed(postgres_database)),
    ):
        said = refused(*command)
        assert 'relation "document" already exists; name a database that nothing else has tables in' in said


def test_a_directory_that_is_named_goes_before_the_database_of_the_environment(tmp_path: Path, source: Path) -> None:
    for command in (("check", "--data", source), ("copy", "--data", source, "--to", tmp_path / "target")):
        ran = CliRunner().invoke(cli, list(map(str, command)), env={"STEPGLASS_DATABASE": NOWHERE})
        assert (ran.exit_code, ran.stderr) == (0, "")


def test_every_connection_is_told_what_the_url_says(postgres_database: str) -> None:
    """Whatever its way to the server: that of SQLAlchemy, or that of libpq, for which a + in a URL is no space."""
    given = sa.make_url(postgres_database).update_query_dict({"options": "-c our.name=1", "connect_timeout": "x"})
    database = Database(given)
    with database.read() as reading, database.writing.begin() as writing, psycopg.connect(database.libpq_url) as other:
        asked = "SHOW our.name"
        found = [reading.exec_driver_sql(asked), writing.exec_driver_sql(asked), other.execute(asked)]
        assert [list(each) for each in found] == [[("1",)]] * 3
    database.close()
    several = "postgresql+psycopg://a%40b:c%2Bd e@/f?host=one:5432&host=two:5433"
    told = conninfo_to_dict(Database(several).libpq_url)
    wanted = {"user": "a@b", "password": "c+d e", "dbname": "f", "host": "one,two", "port": "5432,5433"}
    assert wanted.items() <= told.items()


async def test_a_worker_that_waits_for_its_database_ends_when_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    class Waiting:
        begun = asyncio.Event()

        @asynccontextmanager
        async def working(self) -> AsyncIterator[None]:
            self.begun.set()
            await asyncio.Event().wait()
            yield

    working: Any = Waiting()
    task = asyncio.create_task(_work(working, Settings(name="w")))
    await working.begun.wait()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
    assert capsys.readouterr().out == "Worker w has ended before it began to work\n"


def test_a_server_that_waits_for_its_database_ends_when_it_is_told_to(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ended, told = list[str](), list[bool]()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(scope["type"])
            await send({"type": "lifespan.startup.failed", "message": "Traceback"})

    async def ready() -> None:
        raise AssertionError("it was told to end before that")

    usual = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises at its end what it was sent
    try:
        _Server(_config(waits), ready, told.append).run(sockets=[])
    finally:
        signal.signal(signal.SIGTERM, usual)
        logging.getLogger("uvicorn.error").disabled = False
    assert (ended, told, caplog.text) == (["lifespan"], [], "")
    assert capsys.readouterr().out == "Stepglass has ended before it served\n"
