"""kill -9 at random instants, again and again, under load: nothing that was acknowledged is lost, nothing ends twice,
nothing is stuck. `make chaos` kills 300 times (CHAOS=...); CHAOS_SEED repeats the choices of a run, not its instants.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from app.queue.database import Database
from tests.chaos import chaos_steps
from tests.chaos.clients import Client, Follower
from tests.chaos.journal import Journal
from tests.stepglass import COMMAND, clean_environment, stepglass

KILLS = int(os.environ.get("CHAOS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
LONGEST = float(os.environ.get("CHAOS_SECONDS", "870"))
"""Seconds after which nobody is killed any more."""
DEFINITION = """
id = "chaos"
concurrency = 1000
[step.loop]
type = "chaos_loop"
journal = "{journal}"
items = {items}
on_error = "{on_error}"
[step.process]
type = "chaos_process"
journal = "{journal}"
items = {items}
on_error = "{on_error}"
depends = []
[step.last]
type = "chaos_loop"
journal = "{journal}"
items = 3
depends = ["loop", "process"]
always_run = true
on_error = "continue"
"""


class Chaos:
    """A server that is killed and started again."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._data = folder / "data"
        self._chance = chance
        self._definitions = folder / "definitions"
        self._definitions.mkdir()
        self.journal = Journal(folder / "journal")
        text = DEFINITION.format(
            journal=self.journal.path, items=8 if KILLS < 50 else 15, on_error="continue" if KILLS < 50 else "retry"
        )
        (self._definitions / "chaos.toml").write_text(text)
        self.client = Client(chance, self.journal)
        self.killed: Counter[str] = Counter()
        self.heard = 0
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._follower: Follower | None = None

    def kill_once(self, target: str) -> None:
        """Brings the server up if need be, and kills it, or one of its worker processes, in the midst of its work."""
        if self._process is None and target == "server" and self._chance.random() < 0.2:
            self._launch()
            self._die_after(self._chance.uniform(0.0, 1.0), "server while it starts")
            return
        self.ensure_up()
        assert self._process
        if target == "worker":
            worker = threading.Timer(self._chance.uniform(0.0, 0.3), self._kill_a_worker)
            worker.start()
            self.client.load(self._url, self._chance.randint(1, 6))
            worker.join()
            return
        instant = self._chance.choice([0.05, 0.3, 1.0])
        killer = threading.Timer(self._chance.uniform(0.0, instant), self._process.kill)
        killer.start()
        self.client.load(self._url, 1000)
        killer.join()
        self._die_after(0.0, "server")

    def ensure_up(self) -> None:
        if self._process is None:
            self._launch()
        assert self._process and self._process.stdout
        if not self._url:
            line = self._process.stdout.readline()
            assert line.startswith("Stepglass is at http://"), line
            self._url = line.split()[-1].removesuffix("/queue")
            self._follower = Follower(self._url)

    def finish(self) -> None:
        """Lets everything come to its end."""
        self.ensure_up()
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as http:
            until = time.monotonic() + 120
            while time.monotonic() < until:
                counts = http.get("/api/jobs/stats").json()
                if counts["pending"] + counts["running"] == 0:
                    break
                with http.stream("GET", "/api/events") as events:
                    next(line for line in events.iter_lines() if line.startswith("data:") or line.startswith(":"))
            assert counts["pending"] + counts["running"] == 0, f"stuck: {counts}"
        assert self._process
        self._process.terminate()
        assert self._process.wait(timeout=30) == 0
        self._forget()
        self.compare()
        if KILLS > 10:
            assert stepglass("check", "--data", self._data).returncode == 0

    def compare(self) -> None:
        database = Database.in_directory(self._data)
        try:
            assert self.journal.differences(database) == []
        finally:
            database.close()

    def _launch(self) -> None:
        command = [*COMMAND, "serve", "--port", "0", "--data", str(self._data), "--slots", "12"]
        command += ["--definitions", str(self._definitions), "--steps", str(chaos_steps.__file__)]
        with (self._data.parent / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=clean_environment()
            )

    def _die_after(self, seconds: float, what: str) -> None:
        assert self._process
        threading.Event().wait(seconds)
        self._process.kill()
        self._process.wait(timeout=30)
        self.killed[what] += 1
        self._forget()
        if (self._data / "stepglass.db").is_file() and self._is_made():
            self.compare()

    def _is_made(self) -> bool:
        """Whether there are tables: a server may have been killed before it made them."""
        database = Database.in_directory(self._data)
        try:
            return database.trouble() is None
        finally:
            database.close()

    def _forget(self) -> None:
        assert self._process and self._process.stdout
        self._process.stdout.close()
        self._process, self._url = None, ""
        if self._follower:
            self._follower.join(timeout=30)
            self.heard += len(self._follower.ends)
            self._keep_heard(self._follower)
        self._follower = None

    def _keep_heard(self, follower: Follower) -> None:
        """What was told of the end of a run is so, unless somebody asked for a retry."""
        database = Database.in_directory(self._data)
        with database.read() as connection:
            rows = connection.exec_driver_sql("SELECT id, status FROM manager_job").all()
        database.close()
        stored = {row[0]: row[1] for row in rows}
        for manager_id, status in follower.ends:
            if manager_id not in self.journal.retried | self.journal.deleted:
                assert stored[manager_id] == status, f"run {manager_id} was told to be {status}"

    def _kill_a_worker(self) -> None:
        assert self._process
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            os.kill(int(self._chance.choice(children)), signal.SIGKILL)
            self.killed["worker process"] += 1

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(timeout=30)
            self._forget()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
@pytest.mark.timeout(LONGEST + 200)
@pytest.mark.slow
def test_whoever_is_killed_nothing_is_lost_and_nothing_ends_twice(tmp_path: Path) -> None:
    print(f"CHAOS={KILLS} CHAOS_SEED={SEED}")
    chance, began = random.Random(SEED), time.monotonic()
    chaos = Chaos(tmp_path, chance)
    try:
        while (done := sum(chaos.killed.values())) < KILLS and time.monotonic() - began < LONGEST:
            is_server = chance.random() < 0.4 if KILLS > 10 else done == KILLS - 1
            target = "server" if is_server else "worker"
            chaos.kill_once(target)
            if KILLS > 10 and sum(chaos.killed.values()) // 50 > done // 50:
                print(f"{time.monotonic() - began:.0f} s: {dict(chaos.killed)}", flush=True)
        chaos.finish()
    finally:
        chaos.end()
    lines = chaos.journal.path.read_text().count("\n")
    took = time.monotonic() - began
    print(
        f"killed {dict(chaos.killed)} in {took:.0f} s; {len(chaos.journal.started)} runs, {lines:,} attempts "
        f"that came to an end; asked {dict(chaos.client.asked)}, told done {dict(chaos.client.answered)}; "
        f"{len(chaos.journal.endings):,} endings seen and {chaos.heard} heard of; nothing lost, doubled or stuck"
    )
    assert sum(chaos.killed.values()) >= KILLS
