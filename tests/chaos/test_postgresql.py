"""kill -9 of any worker and any web process on one PostgreSQL, and restarts of PostgreSQL itself, under load: nothing
that was acknowledged is lost, nothing ends twice, nothing is stuck.

`make chaos-postgresql` kills 100 times (CHAOS_POSTGRESQL=...), or for a quarter of an hour (CHAOS_SECONDS=870), and
restarts PostgreSQL 20 times.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx
import pytest
import sqlalchemy as sa

from app.queue.actor import Actor, Place
from app.queue.database import Database
from app.queue.pauses import QUEUE, pauses
from app.queue.schema import bring_up_to_date
from app.queue.store.pause import pause_as
from app.queue.writer import Transaction, WriteFailed, Writer, touch
from tests.chaos.clients import Client
from tests.chaos.fleet import LEASE, WEB, WORKER, Fleet, Member, children_of, fleet, until
from tests.chaos.journal import Journal
from tests.chaos.test_chaos import DEFINITION, LONGEST, SEED
from tests.postgres import Cluster, new_database
from tests.stepglass import stepglass

KILLS = int(os.environ.get("CHAOS_POSTGRESQL", "1"))
IS_LONG = KILLS > 10
RESTARTS = KILLS // 5 if IS_LONG else 1
WEBS, WORKERS = (2, 3) if IS_LONG else (1, 1)


class Storm:
    """A fleet under load, of which somebody is killed again and again."""

    def __init__(self, ours: Fleet, chance: random.Random) -> None:
        self.fleet = ours
        self._chance = chance
        self.journal = Journal(ours.folder / "journal")
        items, on_error = (15, "retry") if IS_LONG else (4, "continue")
        text = DEFINITION.format(journal=self.journal.path, items=items, on_error=on_error)
        ours.define("chaos", text if IS_LONG else text.replace("chaos_process", "chaos_loop"))
        self.client = Client(chance, self.journal)
        self.killed: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self.answered_again: list[float] = []
        self.ended_again: list[float] = []
        self._watching: list[threading.Thread] = []
        self._calm = threading.Event()
        self._load: threading.Thread | None = None

    def begin(self) -> None:
        self.fleet.launch(WEB).ready()  # which makes the tables
        for _ in range(WEBS - 1):
            self.fleet.launch(WEB)
        for _ in range(WORKERS):
            self.fleet.launch(WORKER, "--slots", "8")
        for member in self.fleet.members:
            member.ready()

    def load(self) -> None:
        """Keeps whatever web process is there busy, until `calm`."""
        self._calm.clear()
        self._load = threading.Thread(target=self._ask, daemon=True)
        self._load.start()

    def calm(self) -> None:
        self._calm.set()
        assert self._load
        self._load.join(timeout=60)
        assert not self._load.is_alive()

    def _ask(self) -> None:
        while not self._calm.is_set():
            webs = [member.url for member in self.fleet.members if member.name.startswith("web") and member.url]
            if webs:
                self.client.load(self._chance.choice(webs), self._chance.randint(1, 8))
            self._calm.wait(0.02)

    def kill_one(self) -> None:
        """Kills whoever, in the midst of its work, and sends another one in its stead."""
        kinds = 5 * ["worker"] + 4 * ["web"] + ["process of a worker"]
        kind = self._chance.choice(kinds) if IS_LONG else "worker"
        victims = [member for member in self.fleet.members if member.name.startswith(kind.split()[-1])]
        victim = self._chance.choice(victims)
        if kind == "worker":  # one that holds something, as a rule: else it is no loss
            with suppress(AssertionError):
                until(lambda: self.fleet.held(victim) > 0, seconds=5)
        threading.Event().wait(self._chance.uniform(0.0, 0.5))
        self.killed[kind] += 1
        if kind == "process of a worker":
            children = children_of(victim.process.pid)
            if children:
                os.kill(self._chance.choice(children), signal.SIGKILL)
            return
        victim.kill()
        self.fleet.forget(victim)
        self._watching.append(threading.Thread(target=self._watch, args=(victim, time.monotonic()), daemon=True))
        self._watching[-1].start()
        if kind == "web":
            self.fleet.launch(WEB).ready()
        else:
            self.fleet.launch(WORKER, "--slots", "8").ready()

    def _watch(self, dead: Member, died_at: float) -> None:
        """Measures how long what it held is not somebody else's."""
        if self.fleet.held(dead):
            try:
                until(lambda: not self.fleet.held(dead), 120, f"what {dead.name} held is taken over")
            finally:
                self.takeovers.append(time.monotonic() - died_at)

    def wait_for_takeovers(self) -> None:
        for each in self._watching:
            each.join(timeout=150)
        self._watching.clear()
        assert max(self.takeovers, default=0.0) < 120, "what a dead one held was not taken over"

    def restart(self, cluster: Cluster, mode: str) -> None:
        """Of PostgreSQL. Waits until every web process answers and the work goes on."""
        threading.Event().wait(self._chance.uniform(0.0, 1.0) if IS_LONG else 0.0)
        cluster.restart(mode)
        began, ended = time.monotonic(), self._ends()
        for member in self.fleet.members:
            if member.name.startswith("web"):
                until(lambda url=member.url: httpx.get(f"{url}/api/jobs/stats").is_success)  # type: ignore[misc]
        self.answered_again.append(time.monotonic() - began)
        until(lambda: self._ends() > ended, what="an attempt that comes to its end")
        self.ended_again.append(time.monotonic() - began)
        assert [member.name for member in self.fleet.members if member.process.poll() is not None] == []

    def _ends(self) -> int:
        """How many attempts have come to their ends."""
        return self.journal.path.read_text().count("\n") if self.journal.path.exists() else 0

    def finish(self) -> None:
        """Lets everything come to its end, and compares."""
        url = next(member.url for member in self.fleet.members if member.name.startswith("web"))

        def is_over() -> bool:
            counts = httpx.get(f"{url}/api/jobs/stats", timeout=20).json()
            return bool(counts["pending"] + counts["running"] == 0)

        until(is_over, 120, "everything is finished")
        self.compare()

    def compare(self) -> None:
        assert self.journal.differences(self.fleet.database) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_whoever_is_killed_nothing_is_lost_and_nothing_ends_twice(tmp_path: Path, own_cluster: Cluster) -> None:
    print(f"CHAOS_POSTGRESQL={KILLS} CHAOS_SEED={SEED}")
    began = time.monotonic()
    with new_database(own_cluster.url) as url, fleet(tmp_path, url) as ours:
        storm = Storm(ours, random.Random(SEED))
        storm.begin()
        storm.load()
        while (done := storm.killed.total()) < KILLS and time.monotonic() - began < LONGEST:
            storm.kill_one()
            if done % 25 == 24:
                storm.calm()
                storm.compare()
                print(f"{time.monotonic() - began:.0f} s: {dict(storm.killed)}", flush=True)
                storm.load()
        storm.wait_for_takeovers()
        for number in range(RESTARTS):
            storm.restart(own_cluster, ("immediate", "fast")[number % 2])
        storm.calm()
        storm.finish()
        ours.stop()
        if IS_LONG:
            assert stepglass("check", "--database", url.replace("+psycopg", "")).returncode == 0
    print(
        f"killed {dict(storm.killed)}, PostgreSQL restarted {RESTARTS} times, in {time.monotonic() - began:.0f} s; "
        f"{len(storm.journal.started)} runs, {storm._ends():,} attempts that came to an end; asked "
        f"{dict(storm.client.asked)}, told done {dict(storm.client.answered)}; nothing lost, doubled or stuck"
    )
    print(f"takeover, with a lease of {LEASE} s: {_told(storm.takeovers)}")
    print(f"after a restart of PostgreSQL: every page answers: {_told(storm.answered_again)}")
    print(f"after a restart of PostgreSQL: an attempt ends: {_told(storm.ended_again)}")
    assert not IS_LONG or max(storm.takeovers) < 2 * LEASE + 2  # the machine may be busy with the starts of others


async def test_a_commit_that_a_crash_undid_is_not_taken_for_one_that_others_made_after_it(own_cluster: Cluster) -> None:
    """After a crash PostgreSQL gives the numbers of the transactions that were lost to others."""
    with new_database(own_cluster.url) as url:
        database, others = Database(url), Database(url)
        bring_up_to_date(database)
        writer = Writer(database, lambda commit: None)
        numbers: list[int] = []

        @sa.event.listens_for(database.writing, "commit")
        def crash(connection: sa.Connection) -> None:
            if numbers:
                return
            numbers.append(connection.exec_driver_sql("SELECT txid_current()").scalar_one())
            own_cluster.restart("immediate")
            number = 0
            while number <= numbers[0]:
                others.writing.dispose()
                with others.writing.begin() as another:
                    touch(Transaction(another, 0.0))
                    number = another.exec_driver_sql("SELECT txid_current()").scalar_one()

        with pytest.raises(WriteFailed):
            await writer(pause_as, QUEUE, Actor(Place.API))
        with database.read() as connection:
            assert pauses(connection) == {}
        await writer.close()
        for each in (database, others):
            each.close()


def _told(seconds: list[float]) -> str:
    if not seconds:
        return "not measured"
    return f"median {median(seconds):.2f} s, most {max(seconds):.2f} s (n = {len(seconds)})"
