"""What every test can ask for: a PostgreSQL, and a browser. And what none leaves to the next: modules of its own."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from app.queue.database import Database
from app.queue.schema import bring_up_to_date
from app.queue.tables import metadata, sequence
from tests.postgres import MISSING, PostgresMissing, new_database, throwaway_cluster

E2E = Path(__file__).parent.parent / "e2e"


@pytest.fixture(autouse=True)
def logs_go_where_they_went() -> Iterator[None]:
    """A command that is called within a test sets up the logs for its own process."""
    handlers = list(logging.root.handlers)
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers


@pytest.fixture(autouse=True)
def own_modules_are_forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test wrote and had imported, it alone has: the next may have another module of that name."""
    before = list(sys.path)
    yield
    if sys.path == before:  # whatever is imported from elsewhere puts its folder there
        return
    sys.path[:] = before
    written = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(place and place.startswith(written) for place in places):
            del sys.modules[name]


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
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture
def another_postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of one more."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_with_schema(postgres_url: str) -> Iterator[str]:
    """The URL of a database of HEAD, which all who ask for `postgres_queue` have one after the other."""
    with new_database(postgres_url) as url:
        bring_up_to_date(database := Database(url))
        database.close()
        yield url


@pytest.fixture
def postgres_queue(postgres_with_schema: str) -> Iterator[str]:
    """The URL of a database of HEAD in which nothing has happened. To empty it costs less than to make it."""
    yield postgres_with_schema
    engine = sa.create_engine(postgres_with_schema, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("SET lock_timeout = '20s'"))
        tables = ", ".join(metadata.tables)
        connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(sa.insert(sequence), [{"name": "job", "value": 0}, {"name": "revision", "value": 0}])


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
