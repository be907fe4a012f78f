"""The figures on PostgreSQL, which is as durable here as it is by default: fsync and synchronous_commit are on.

Everything runs on one machine: PostgreSQL, whoever works, and the server of the pages with a viewer.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from playwright.sync_api import Page

from app.queue.database import Database
from tests.bench import floor_postgresql
from tests.bench.filled import fill_postgresql
from tests.bench.observed import Observed
from tests.bench.readers import reading
from tests.bench.rig import items_per_second_on, show, starts
from tests.bench.test_latency import MARKER, delays_in_browser, percentile
from tests.bench.test_million import ENOUGH, FEW, MANY, measure_all
from tests.postgres import new_database, throwaway_cluster
from tests.stepglass import COMMAND, Server, serving
from tests.web.theatre import Theatre

pytestmark = pytest.mark.timeout(1800)

ITEMS = 10_000
RUNS = 3
SLOTS = 200
STARTS = 200


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with throwaway_cluster(durable=True) as url:
        yield url


def test_no_op_items(cluster: str, tmp_path: Path) -> None:
    """Target: 4,000/s, beside a server that shows them to a viewer."""
    ours, bare = [], []
    for number in range(RUNS):
        with new_database(cluster) as url, _viewed(url, tmp_path / f"{number}"):
            ours.append(items_per_second_on(Database(url), "no_op", ITEMS, SLOTS))
        with new_database(cluster) as url:
            bare.append(floor_postgresql.items_per_second(Database(url), ITEMS))
    ratio = sorted(ours)[RUNS // 2] / sorted(bare)[RUNS // 2]
    show("no-op async items on PostgreSQL", sorted(ours)[RUNS // 2], "items/s", ours, "target 4,000")
    beside = f"ours is {ratio:.2f} of this"
    show("bare psycopg, the same row changes, batches of 50", sorted(bare)[RUNS // 2], "items/s", bare, beside)


def test_enqueue_to_start(cluster: str) -> None:
    """Target: median 10 ms, 99th percentile 50 ms, from when a run of one work item is asked for to its handler."""
    with new_database(cluster) as url:
        delays = [1000 * each for each in starts(Database(url), STARTS)]
    show("a run asked for to its work item's start, median", percentile(delays, 50), "ms", delays, "target 10")
    show("a run asked for to its work item's start, 99th percentile", percentile(delays, 99), "ms", (), "target 50")


def test_commit_on_one_server_to_a_viewer_of_another(cluster: str, tmp_path: Path) -> None:
    """Target: median 30 ms, 99th percentile 200 ms."""
    with new_database(cluster) as url, _two_servers(url, tmp_path) as (a, observed):
        httpx.get(f"{a.url}/queue").raise_for_status()
        with reading(a.url, {"/queue/stream": 1}, tmp_path / "arrivals") as arrivals:
            job = httpx.post(f"{a.url}/api/jobs", json={"definition": "marker"}).raise_for_status().json()
            while httpx.get(f"{a.url}/api/jobs/{job['job_id']}").json()["status"] != "completed":
                time.sleep(0.5)
        delays = sorted(1000 * delay for delay in _delays(arrivals[0].messages, observed))
    show("commit to a message of another server, median", percentile(delays, 50), "ms", delays, "target 30")
    show("commit to a message of another server, 99th percentile", percentile(delays, 99), "ms", (), "target 200")


def test_commit_on_one_server_to_a_browser_at_another(cluster: str, tmp_path: Path, page: Page) -> None:
    """Target: median 30 ms, 99th percentile 200 ms."""
    with new_database(cluster) as url, _two_servers(url, tmp_path) as (a, observed):
        delays = delays_in_browser(a, observed, page)
    show("commit to a browser at another server, median", percentile(delays, 50), "ms", delays, "target 30")
    show("commit to a browser at another server, 99th percentile", percentile(delays, 99), "ms", (), "target 200")


def test_everything_at_a_thousand_and_at_a_million(cluster: str, tmp_path: Path) -> None:
    """Target: at most 1.5 times the time at a thousand, counting what the server and PostgreSQL work for an answer."""
    with ExitStack() as stack:
        filled = []
        for number in (FEW, ENOUGH, MANY):
            url = stack.enter_context(new_database(cluster))
            database = Database(url)
            names = fill_postgresql(database, number)
            database.close()
            (folder := tmp_path / str(number)).mkdir()
            filled.append((stack.enter_context(_TheatreAndPostgreSQL(folder, url)), names))
        measure_all(*filled)


class _TheatreAndPostgreSQL(Theatre):
    """Whose work is also that of PostgreSQL for it."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url=_given(url))
        self._observer = psycopg.connect(Database(url).libpq_url, autocommit=True)

    def __exit__(self, *details: object) -> None:
        self._observer.close()
        super().__exit__(*details)

    @property
    def working_time(self) -> float:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ours = super().working_time
        return ours + sum(_worked(pid) for (pid,) in self._observer.execute(query))


def _worked(pid: int) -> float:
    """Seconds that a process was at work, as Linux counts them."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def _viewed(url: str, folder: Path) -> Iterator[None]:
    """A server that works on nothing and shows the queue to a viewer."""
    folder.mkdir()
    with (
        serving(folder, "--database", _given(url), "--engine", "embedded", "--slots", "0", program=COMMAND) as server,
        reading(server.url, {"/queue/stream": 1}, folder / "arrivals"),
    ):
        yield


@contextmanager
def _two_servers(url: str, folder: Path) -> Iterator[tuple[Server, Observed]]:
    """One that only shows, and how the other one, which works, was seen to commit."""
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "marker.toml").write_text(MARKER)
    options = ("--database", _given(url), "--definitions", definitions)
    observed = Observed(folder / "observed")
    with (
        serving(folder / "b", *options, program=observed.program),
        serving(folder / "a", *options, "--slots", "0", program=COMMAND) as a,
    ):
        yield a, observed


def _given(url: str) -> str:
    """As a user gives it."""
    return url.replace("postgresql+psycopg", "postgresql")


def _delays(messages: Sequence[tuple[float, int]], observed: Observed) -> Iterator[float]:
    """Seconds from each commit to the first message that shows it."""
    revisions = [revision for _, revision in messages]
    for revision, committed_at in observed.commits.items():
        place = bisect_left(revisions, revision)
        if 0 < place < len(messages):
            yield messages[place][0] - committed_at
