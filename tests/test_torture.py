"""A torture of SQLite: everything that reads and writes a database, at once. Nobody ever hears that it is locked.

`make torture` does it for five minutes (TORTURE=seconds); here it is a few seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from app.main import create_app
from app.queue import audit
from app.queue.backup import back_up
from app.queue.database import LARGEST_WAL, Database
from app.queue.writer import touch
from app.settings import Settings
from app.web.live.hub import Live
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.system_view import SystemView

SECONDS = float(os.environ.get("TORTURE", 3))
VIEWERS = 200
IN_PROGRESS = 6
LONG_READ = min(30.0, SECONDS / 3)
"""Seconds for which one reader holds on to one moment."""
GRANTED = {200, 202, 204, 404, 409}
LOAD = """
id = "load"
concurrency = 1000
[step.work]
type = "test_job_generator"
worker_count = 60
log_count = 20
log_delay_ms = 5
failure_rate = 0.1
on_error = "continue"
[step.more]
type = "test_job_generator"
worker_count = 20
log_count = 5
log_delay_ms = 1
failure_rate = 0
"""


class Torture:
    def __init__(self, app: Litestar, client: httpx.AsyncClient, database: Path, folder: Path) -> None:
        self._access = app.state.access
        self._live: Live = app.state.live
        self._client = client
        self._database = database
        self._folder = folder
        self._chance = random.Random(7)
        self._ends = time.monotonic() + SECONDS
        self._runs: list[int] = []
        self.took: list[float] = []
        """Seconds from a write's asking to its answer."""
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.largest_wal = 0

    async def run(self) -> None:
        tasks = [self._starts(), self._heartbeats(), self._backs_up(), self._reads_for_long(), self._checks()]
        tasks += [self._measures(), *(self._controls() for _ in range(4))]
        viewers = [asyncio.create_task(self._views(number)) for number in range(VIEWERS)]
        await asyncio.gather(*map(self._guarded, tasks))
        for viewer in viewers:
            viewer.cancel()
        for ended in await asyncio.gather(*viewers, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                self.errors.append(f"a viewer ended: {ended!r}")

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._ends

    async def _guarded(self, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except Exception as error:
            self.errors.append(repr(error))

    async def _starts(self) -> None:
        while self.goes_on:
            stats = (await self._client.get("/api/jobs", params={"kind": "manager", "status": "running"})).json()
            if stats["total"] < IN_PROGRESS:
                started = await self._asked("POST", "/api/jobs", json={"definition": "load", "parameters": {}})
                self._runs.append(started.json()["job_id"])
            await asyncio.sleep(0.02)

    async def _controls(self) -> None:
        """Cancels, pauses, resumes, retries and deletes whatever it meets."""
        while self.goes_on:
            await asyncio.sleep(0.01)
            if not self._runs:
                continue
            run = self._chance.choice(self._runs[-30:])
            method, path = self._chance.choice(
                [
                    ("POST", f"/api/jobs/{run}/pause"),
                    ("DELETE", f"/api/jobs/{run}/pause"),
                    ("DELETE", f"/api/jobs/{run}/pause"),
                    ("POST", f"/api/jobs/{run}/retries"),
                    ("POST", f"/api/jobs/{run}/cancellation"),
                    ("DELETE", f"/api/jobs/{run}"),
                ]
            )
            await self._asked(method, path)

    async def _asked(self, method: str, path: str, **request: Any) -> httpx.Response:
        began = time.perf_counter()
        response = await self._client.request(method, path, **request)
        self.took.append(time.perf_counter() - began)
        self.done["writes through the API"] += 1
        if response.status_code not in GRANTED:
            self.errors.append(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response

    async def _heartbeats(self) -> None:
        while self.goes_on:
            began = time.perf_counter()
            await self._access.writer(touch)
            self.took.append(time.perf_counter() - began)
            self.done["heartbeats"] += 1
            await asyncio.sleep(0.005)

    async def _views(self, number: int) -> None:
        while True:
            run = self._runs[-1 - number % len(self._runs)] if self._runs else 1
            views = (QueueView(), RunView(run), SystemView(self._access.system))
            reader = self._live.subscribe(views[number % 3], None, None)
            try:
                async with asyncio.timeout(self._chance.uniform(0.5, 5)):
                    async for _ in reader.frames():
                        self.done["messages to viewers"] += 1
            except TimeoutError:
                pass
            reader.end()

    async def _backs_up(self) -> None:
        while self.goes_on:
            await asyncio.to_thread(back_up, self._database, self._folder / "copy", True)
            self.done["backups"] += 1
            await asyncio.sleep(SECONDS / 30)

    async def _checks(self) -> None:
        """As `stepglass check` does, from beside the server."""
        while self.goes_on:
            database = Database.at_path(self._database)
            drifts = await asyncio.to_thread(audit.check, database)
            database.close()
            self.errors += drifts
            self.done["checks"] += 1
            await asyncio.sleep(SECONDS / 30)

    async def _reads_for_long(self) -> None:
        while self.goes_on:
            await asyncio.to_thread(self._hold_a_moment)
            self.done["long reads"] += 1
            await asyncio.sleep(LONG_READ / 2)

    def _hold_a_moment(self) -> None:
        with closing(sqlite3.connect(self._database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            before = reader.execute("SELECT count(*) FROM log_entry").fetchone()
            time.sleep(LONG_READ)
            assert reader.execute("SELECT count(*) FROM log_entry").fetchone() == before

    async def _measures(self) -> None:
        storage = self._access.writer.storage
        while self.goes_on:
            self.largest_wal = max(self.largest_wal, _wal(self._database))
            if storage.stops_work:
                self.errors.append(str(storage.trouble))
            await asyncio.sleep(0.05)


def _jobs(database: Path) -> int:
    """How many runs, steps and work items were made."""
    with closing(sqlite3.connect(database)) as reader:
        (number,) = reader.execute("SELECT value FROM sequence WHERE name = 'job'").fetchone()
    return int(number)


def _wal(database: Path) -> int:
    beside = Path(f"{database}-wal")
    return beside.stat().st_size if beside.exists() else 0


@pytest.mark.timeout(SECONDS + 240)
async def test_nobody_hears_that_the_database_is_locked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "load.toml").write_text(LOAD)
    app = create_app(Settings(data=tmp_path / "data", definitions=(definitions,), slots=8, keep_runs=10))
    path = tmp_path / "data" / "stepglass.db"
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        torture = Torture(app, client, path, tmp_path)
        await torture.run()
        for _ in range(3):  # the long reads are over: the next who writes begins the log anew
            await app.state.access.writer(touch)
    printed = capsys.readouterr()
    took = sorted(torture.took)
    with capsys.disabled():
        print(f"\n{SECONDS:g} s, {VIEWERS} viewers: {dict(torture.done)}; {_jobs(path):,} jobs")
        print(f"{len(took) / SECONDS:,.0f} writes/s besides the work; a write took {_ms(took, 0.5)} at the median,")
        print(f"{_ms(took, 0.99)} at p99, {_ms(took, 1)} at most; largest WAL {torture.largest_wal / 1e6:.1f} MB")
    assert torture.errors == []
    assert "locked" not in printed.out + printed.err
    assert torture.largest_wal < LARGEST_WAL + 2_000_000 * LONG_READ
    database = Database.at_path(path)
    assert audit.check(database) == []
    database.close()


def _ms(took: list[float], part: float) -> str:
    return f"{1000 * took[min(len(took) - 1, int(part * len(took)))]:,.0f} ms"
