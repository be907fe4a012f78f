"""The network between one process and PostgreSQL is cut: no packets, no answer, nobody is told.

`make chaos-postgresql` cuts it for 30 s (CUT=...); else these tests take too long.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from playwright.sync_api import Page

from app.queue.database import Database
from app.queue.models import Kind
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from tests.chaos.fleet import WEB, WORKER, Fleet, Member, fleet, until
from tests.chaos.hosts import Host
from tests.chaos.journal import EVERY, Journal
from tests.postgres import new_database

CUT = float(os.environ.get("CUT", "0"))
LEASE = 4
HELD = """
id = "held"
concurrency = 1000
[step.work]
type = "chaos_loop"
journal = "{journal}"
items = 60
failing = 0
slowest = 2000
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CUT, reason="takes minutes: make chaos-postgresql"),
]


def start(url: str) -> int:
    return int(
        httpx.post(f"{url}/api/jobs", json={"definition": "held"}, timeout=20).raise_for_status().json()["job_id"]
    )


def status(ours: Fleet, manager_id: int) -> Status:
    with Snapshot.of(ours.database) as snapshot:
        return snapshot.run(manager_id).status


def loses_its_work_and_comes_back(
    ours: Fleet, journal: Journal, victim_url: str, lose: Callable[[Member], None], find: Callable[[Member], None]
) -> str:
    """One of two workers cannot say anything for `CUT` seconds. Returns what was measured."""
    ours.define("held", HELD.format(journal=journal.path))
    web = ours.launch(WEB).ready()
    far = ours.launch(WORKER, "--slots", "8", url=victim_url)
    near = ours.launch(WORKER, "--slots", "8")
    for each in (far, near):
        each.ready()
    first = start(web.url)
    until(lambda: ours.held(far) >= 4 and ours.held(near) >= 4)
    (lost,) = ours.owners(far)
    lose(far)
    began = time.monotonic()
    until(lambda: "no heartbeat from" in httpx.get(f"{web.url}/jobs/{first}").text, what="the page says so")
    said = time.monotonic() - began
    until(lambda: ours.held(far) == 0, what="what it held is taken over")
    took = time.monotonic() - began
    assert ours.owners(far)[0].end.startswith("taken over after")
    assert took < 2 * LEASE
    until(lambda: status(ours, first) is Status.COMPLETED, what="the other one finishes it")
    threading.Event().wait(max(0.0, CUT - (time.monotonic() - began)))
    find(far)
    began = time.monotonic()
    second = start(web.url)
    until(lambda: ours.held(far) > 0, what="it works again")
    back = time.monotonic() - began
    assert lost.name not in {owner.name for owner in ours.owners(far) if owner.ended_at is None}
    until(lambda: status(ours, second) is Status.COMPLETED)
    ends = journal.path.read_text().splitlines()
    with Snapshot.of(ours.database) as snapshot:
        items = snapshot.jobs(JobFilter(kind=Kind.WORKER), EVERY).jobs
    twice = sum(item.attempt > 1 for item in items)
    ours.stop()
    assert journal.differences(ours.database) == []
    assert twice, "it held nothing when it was lost"
    return (
        f"for {CUT:g} s with a lease of {LEASE} s: said on the page after {said:.1f} s, {twice} items taken over "
        f"after {took:.1f} s, of which {len(ends) - len(items)} ended twice and count once; it works again after "
        f"{back:.1f} s"
    )


def test_a_worker_that_is_cut_off_loses_its_work_and_comes_back(tmp_path: Path, far_database: Host) -> None:
    with new_database(far_database.cluster.url) as url, fleet(tmp_path, url, LEASE) as ours:
        by_cable = far_database.url_of(url)
        measured = loses_its_work_and_comes_back(
            ours, Journal(tmp_path / "journal"), by_cable, lambda _: far_database.cut(), lambda _: far_database.join()
        )
    print(f"cut {measured}")


def test_a_worker_that_is_stopped_loses_its_work_and_comes_back(tmp_path: Path, postgres_database: str) -> None:
    """As if its machine slept."""
    with fleet(tmp_path, postgres_database, LEASE) as ours:
        measured = loses_its_work_and_comes_back(
            ours,
            Journal(tmp_path / "journal"),
            postgres_database,
            lambda member: member.process.send_signal(signal.SIGSTOP),
            lambda member: member.process.send_signal(signal.SIGCONT),
        )
    print(f"stopped {measured}")


def stands_since(page: Page) -> float:
    """Up to when the page says that its numbers are true."""
    stamp = page.locator("#liveness time").get_attribute("datetime")
    assert stamp
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()


def let_it_be(_database: Database) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def a_page_is_being_painted(database: Database) -> Iterator[None]:
    """By way of the cable: it has begun to read what a run shows, and cannot go on before the block ends."""
    engine = sa.create_engine(database.url)
    with engine.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE action IN ACCESS EXCLUSIVE MODE")
        until(lambda: waits_from_afar(database), what="a page is being painted")
        yield
    engine.dispose()


def waits_from_afar(database: Database) -> bool:
    """Those that are near use no address."""
    with database.read() as connection:
        held_up = "FROM pg_stat_activity WHERE client_addr IS NOT NULL AND wait_event_type = 'Lock'"
        asked = connection.exec_driver_sql(f"SELECT query {held_up}").scalars()
        return any("FROM action" in each for each in asked)


@pytest.mark.parametrize("instant", [let_it_be, a_page_is_being_painted])
def test_a_page_that_is_cut_off_says_since_when_its_numbers_stand(
    tmp_path: Path, far_database: Host, page: Page, instant: Callable[[Database], AbstractContextManager[None]]
) -> None:
    from playwright.sync_api import expect

    with new_database(far_database.cluster.url) as url, fleet(tmp_path, url, LEASE) as ours:
        ours.define("held", HELD.format(journal=tmp_path / "journal"))
        near = ours.launch(WEB).ready()
        ours.launch(WORKER, "--slots", "8").ready()
        far = ours.launch(WEB, url=far_database.url_of(url)).ready()
        first = start(far.url)
        page.goto(f"{far.url}/jobs/{first}")
        expect(page.locator("#liveness .live")).to_be_visible()
        with instant(ours.database):
            far_database.cut()
        cut_at, began = time.time(), time.monotonic()
        until(lambda: page.locator("#liveness .lost").is_visible(), what="the page says that it does not know")
        said = time.monotonic() - began
        age = cut_at - stands_since(page)
        until(lambda: status(ours, first) is Status.COMPLETED, what="the run goes on meanwhile")
        refused = time.monotonic()
        answer = httpx.post(f"{far.url}/api/jobs", json={"definition": "held"}, timeout=60)
        refused = time.monotonic() - refused
        assert (answer.status_code, answer.json()["error"]) == (503, "not_written")
        expect(page.locator("#storage")).to_contain_text("Storage trouble since")
        assert page.locator("#liveness .lost").is_visible(), "the trouble of the storage was taken for a sign of life"
        assert httpx.get(f"{near.url}/jobs/{first}").is_success
        threading.Event().wait(max(0.0, CUT - (time.monotonic() - began)))
        assert page.locator("#liveness .lost").is_visible()
        far_database.join()
        joined_at, began = time.time(), time.monotonic()
        until(lambda: stands_since(page) >= joined_at, what="the page knows again")
        assert page.locator("#liveness .live").is_visible()
        lives = time.monotonic() - began
        until(lambda: "completed" in page.locator("main").inner_text().lower(), what="the page shows the end")
        until(lambda: not page.locator("#storage").inner_text(), what="the trouble is over")
        shows = time.monotonic() - began
        ours.stop()
        assert "Traceback" not in ours.log(far), ours.log(far)
    assert -1 < age < 3, f"the numbers are said to stand since {age:.1f} s before the cut"
    print(
        f"cut for {CUT:g} s, {instant.__name__}: said on the page after {said:.1f} s, with numbers as of {age:.1f} s "
        f"before the cut; a write was refused after {refused:.1f} s; live again after {lives:.1f} s, and all of it "
        f"true after {shows:.1f} s, without a reload"
    )
