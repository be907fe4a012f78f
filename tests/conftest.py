"""What every test can ask for: a PostgreSQL, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.postgres import MISSING, PostgresMissing, throwaway_cluster

E2E = Path(__file__).parent.parent / "e2e"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server to create databases on: TEST_DATABASE_URL, else a throwaway cluster. Each xdist worker has its own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield sa.make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    try:
        with throwaway_cluster() as url:
            yield url
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a new, empty database, dropped after the test."""
    with _new_database(postgres_url) as url:
        yield url


@pytest.fixture
def another_postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of one more."""
    with _new_database(postgres_url) as url:
        yield url


@contextmanager
def _new_database(postgres_url: str) -> Iterator[str]:
    name = f"stepglass_{uuid4().hex}"
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium, otherwise the one that Playwright installed."""
    return {
        **browser_type_launch_args,
        "executable_path": shutil.which("chromium"),
        "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright leaves its event loop running, and async tests cannot start beside it."""
    items.sort(key=lambda item: E2E in item.path.parents)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A missing PostgreSQL is said once more, where it cannot be overlooked."""
    skipped = [report for report in terminalreporter.getreports("skipped") if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped. {MISSING}.", red=True, bold=True)
