"""A queue in the hands of a test, seen through the pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from app.queue import audit
from app.queue.database import Database
from app.web.live.hub import Live
from app.web.screens import Screen
from app.web.templating import environment
from app.web.views import JobsView
from tests.databases import put_new_file
from tests.web.stage import Stage, open_access, staged_app
from tests.web.theatre import Theatre


class Pages(TestClient[Any]):
    """Pages of an app in this process, whose queue the test moves. Streams never end: see `theatre`."""

    def play(self, verb: str, **arguments: Any) -> Any:
        answer = self.post(f"/stage/{verb}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()["answer"]


@pytest.fixture
def queue_url(backend: str, request: pytest.FixtureRequest) -> str:
    """The URL of the PostgreSQL database that a test has; empty if it has a SQLite database in its directory."""
    return str(request.getfixturevalue("postgres_queue")) if backend == "postgres" else ""


def drifts(directory: Path, url: str) -> list[str]:
    """What an audit of a test's database finds."""
    database = Database.named(url, directory)
    try:
        return audit.check(database)
    finally:
        database.close()


@pytest.fixture
def pages(tmp_path: Path, queue_url: str) -> Iterator[Pages]:
    put_new_file(tmp_path)
    with Pages(staged_app(tmp_path, url=queue_url), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def stage(tmp_path: Path, queue_url: str) -> AsyncIterator[Stage]:
    put_new_file(tmp_path)
    async with open_access(tmp_path, queue_url) as access:
        yield Stage(access)


@pytest.fixture
async def live(stage: Stage) -> AsyncIterator[Live]:
    async with Live(stage.access, environment(), heartbeat=3600).running() as running:
        yield running


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    put_new_file(tmp_path)
    with Theatre(tmp_path) as running:
        yield running


class HeldUp:
    """Keeps lists of jobs from being painted until they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._released, self._begun = threading.Event(), threading.Event()
        paint = JobsView.paint

        def held_up(view: JobsView, *arguments: Any) -> Screen:
            self._begun.set()
            assert self._released.wait(10)
            return paint(view, *arguments)

        monkeypatch.setattr(JobsView, "paint", held_up)

    async def begun(self) -> None:
        """A paint is on its way: its snapshot is taken."""
        assert await asyncio.to_thread(self._begun.wait, 10)

    def release(self) -> None:
        self._released.set()

    def hold(self) -> None:
        self._released.clear()
        self._begun.clear()


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> HeldUp:
    return HeldUp(monkeypatch)
