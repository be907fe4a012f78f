"""The PostgreSQL of the tests: which it is, that each has its own, which of them have one, and that it is never missing
in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from app.queue.database import Database
from app.queue.run_plan import StepPlan
from tests import databases
from tests.databases import chosen, is_wanted, server
from tests.postgres import new_database
from tests.queue.conftest import Queue

ROOT = Path(__file__).parent.parent


def test_each_test_gets_an_empty_database_that_can_be_written(postgres_database: str) -> None:
    engine = sa.create_engine(postgres_database)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE job (id integer)"))
        connection.execute(sa.text("INSERT INTO job VALUES (1)"))
        assert connection.scalar(sa.text("SELECT count(*) FROM job")) == 1
    engine.dispose()


async def test_a_database_that_is_handed_out_again_is_as_new(postgres_as_new: Callable[[], Database]) -> None:
    """Also in what no transaction undoes: the numbers that rows are given."""
    seen = []
    for _ in range(2):
        queue = Queue(postgres_as_new())
        assert queue.read(lambda snapshot: snapshot.revision) == 0
        manager_id = await queue.start(StepPlan("one", "trial"))
        with queue.database.read() as connection:
            actions = connection.execute(sa.text("SELECT last_value FROM pg_sequences")).all()
        seen.append((manager_id, actions))
        await queue.write.close()
    assert seen[0] == seen[1]


def test_a_given_server_is_used_instead_of_a_throwaway_cluster(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever driver it is named."""
    monkeypatch.setattr(databases, "throwaway_cluster", None)
    monkeypatch.setenv("TEST_DATABASE_URL", postgres_url.replace("postgresql+psycopg", "postgresql"))
    with server() as url, new_database(url) as ours:
        assert sa.make_url(url) == sa.make_url(postgres_url)
        engine = sa.create_engine(ours)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT current_database()")).startswith("stepglass_")
        engine.dispose()


WITHOUT_POSTGRES = f"""
import os, pytest, tests.postgres as postgres

def none():
    raise postgres.PostgresMissing(postgres.MISSING)

postgres._programs = none
for os.environ["TEST_ON"] in ("", "postgresql"):
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:playwright", {__file__!r}, "-k", "empty_database"])
    print("ended with", int(status))
"""


def test_a_run_without_postgresql_says_so_in_its_last_line() -> None:
    """It is as good as any other, unless it is PostgreSQL that was asked for."""
    without = {key: value for key, value in os.environ.items() if key != "TEST_DATABASE_URL"}
    command = [sys.executable, "-c", WITHOUT_POSTGRES]
    ran = subprocess.run(command, cwd=ROOT, env=without, capture_output=True, text=True, timeout=120)
    lines = ran.stdout.splitlines()
    for status in (0, 1):
        said = lines[lines.index(f"ended with {status}") - 1]
        assert said.startswith("1 tests left out. PostgreSQL not found") and "TEST_DATABASE_URL" in said, ran


def item(backend: str = "", asks: str = "", marked: bool = False) -> Any:
    """A test as pytest collects it."""
    found = SimpleNamespace(fixturenames=[asks], get_closest_marker=lambda name: marked or None)
    if backend:
        found.callspec = SimpleNamespace(params={"backend": backend})
    return found


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        ("", ["sqlite", "marked", "cluster", "neither"]),
        ("sqlite", ["sqlite", "neither"]),
        ("postgresql", ["postgres", "marked", "cluster"]),
        ("both", ["sqlite", "postgres", "marked", "cluster", "neither"]),
    ],
)
def test_which_tests_run_is_a_matter_of_choice(on: str, wanted: list[str]) -> None:
    kinds = {
        "sqlite": item("sqlite"),
        "postgres": item("postgres"),
        "marked": item("postgres", marked=True),
        "cluster": item(asks="postgres_url"),
        "neither": item(),
    }
    assert [name for name, each in kinds.items() if is_wanted(each, on)] == wanted


def test_a_choice_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ON", "oracle")
    with pytest.raises(pytest.UsageError, match="TEST_ON=oracle: it can be sqlite, postgresql, both, or unset"):
        chosen()
