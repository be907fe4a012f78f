"""What every test can ask for: a PostgreSQL, and a browser. And what none leaves to the next: modules of its own."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.queue.database import FILE_NAME, Database
from tests import chromium
from tests.chaos.hosts import NO_HOSTS
from tests.databases import chosen, is_wanted, one_database, put_new_file, server, statements_compiled_once
from tests.postgres import MISSING, PostgresMissing, new_database

E2E = Path(__file__).parent.parent / "e2e"


@pytest.fixture(scope="session", autouse=True)
def each_statement_is_compiled_once() -> Iterator[None]:
    with statements_compiled_once():
        yield


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


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which kind of database a test has. TEST_ON says which tests have both."""
    return str(request.param)


@pytest.fixture
def as_new(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Hands out a database of HEAD in which nothing has happened, as often as a test wants, one after the other."""
    if backend == "postgres":
        yield request.getfixturevalue("postgres_as_new")
        return
    made: list[Database] = []

    def new() -> Database:
        while made:
            made.pop().close()
        for file in tmp_path.glob(f"{FILE_NAME}*"):
            file.unlink()
        put_new_file(tmp_path)
        made.append(Database.in_directory(tmp_path))
        return made[0]

    yield new
    while made:
        made.pop().close()


@pytest.fixture
def database(as_new: Callable[[], Database]) -> Database:
    """A database of HEAD in which nothing has happened."""
    return as_new()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server to create databases on. Each xdist worker has its own."""
    try:
        with server() as url:
            yield url
    except PostgresMissing as missing:
        if chosen() in ("postgresql", "both"):
            raise
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
def postgres_as_new(postgres_url: str) -> Iterator[Callable[[], Database]]:
    """Hands out one database of HEAD as if it were new, to one test after the other."""
    with one_database(postgres_url) as as_new:
        yield as_new


@pytest.fixture
def postgres_queue(postgres_as_new: Callable[[], Database]) -> str:
    """The URL of a database of HEAD in which nothing has happened."""
    return postgres_as_new().address


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, **chromium.OPTIONS}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright leaves its event loop running, and async tests cannot start beside it.

    Of those that could run on both databases, those are left out that TEST_ON does not want.
    """
    items.sort(key=lambda item: E2E in item.path.parents)
    on = chosen()
    wanted = [is_wanted(item, on) for item in items]
    config.hook.pytest_deselected(items=[item for item, is_it in zip(items, wanted, strict=True) if not is_it])
    items[:] = [item for item, is_it in zip(items, wanted, strict=True) if is_it]


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """A missing PostgreSQL is said in the last line, where it cannot be overlooked."""
    yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal:
        reports = [*terminal.getreports("skipped"), *terminal.getreports("error")]
        for missing in (MISSING, NO_HOSTS):
            if number := sum(missing in str(report.longrepr) for report in reports):
                terminal.write_line(f"{number} tests left out. {missing}.", red=True, bold=True)
