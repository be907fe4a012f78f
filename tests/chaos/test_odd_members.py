"""Processes whose clocks are wrong, and processes of two versions, on one PostgreSQL. They take minutes:
`make chaos-postgresql`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.queue.models import Kind
from app.queue.schema import HEAD, WORKS_FROM, version_of
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from tests.chaos.fleet import WEB, WORKER, Fleet, Member, fleet, until
from tests.chaos.journal import EVERY, Journal

HOUR = 3600
LEASE = 4
SHIFTED = """
import os, time
_shift, _time, _time_ns = float(os.environ["CLOCK_SHIFT"]), time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + int(_shift * 10**9)
"""
TICKING = """
id = "ticking"
[schedule]
cron = "* * * * *"
[step.work]
type = "chaos_loop"
journal = "{journal}"
items = 1
failing = 0
"""
TRYING = """
id = "trying"
concurrency = 1000
timeout = "10m"
[retry]
attempts = 20
first_delay = 1
factor = 1
[step.loop]
type = "chaos_loop"
journal = "{journal}"
items = 20
failing = 60
[step.process]
type = "chaos_process"
journal = "{journal}"
items = 20
failing = 60
depends = []
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif("CUT" not in os.environ, reason="takes minutes: make chaos-postgresql"),
]


def seconds(stamp: Any) -> float:
    return datetime.fromisoformat(stamp).astimezone(UTC).timestamp()


def start(web: Member, definition: str) -> int:
    answer = httpx.post(f"{web.url}/api/jobs", json={"definition": definition}, timeout=20).raise_for_status()
    return int(answer.json()["job_id"])


def status(ours: Fleet, manager_id: int) -> Status:
    with Snapshot.of(ours.database) as snapshot:
        return snapshot.run(manager_id).status


def test_clocks_that_are_an_hour_off_make_nothing_early_or_late(tmp_path: Path, postgres_database: str) -> None:
    (tmp_path / "shifted").mkdir()
    (tmp_path / "shifted" / "sitecustomize.py").write_text(SHIFTED)

    def wrong(shift: int) -> dict[str, str]:
        return {"PYTHONPATH": str(tmp_path / "shifted"), "CLOCK_SHIFT": str(shift)}

    journal = Journal(tmp_path / "journal")
    with fleet(tmp_path / "fleet", postgres_database, LEASE) as ours:
        ours.define("trying", TRYING.format(journal=journal.path))
        began = time.time()
        web = ours.launch(WEB, **wrong(HOUR)).ready()
        for shift in (HOUR, -HOUR, 0):
            ours.launch(WORKER, "--slots", "4", **wrong(shift))
        for member in ours.members:
            member.ready()
        ours.define("ticking", TICKING.format(journal=journal.path))
        run = start(web, "trying")
        until(lambda: status(ours, run) is Status.COMPLETED, 120)
        took = time.time() - began

        def ticked() -> list[Any]:
            jobs = httpx.get(f"{web.url}/api/jobs?kind=manager&limit=100").json()["jobs"]
            return [job for job in jobs if job["definition"] == "ticking" and job["status"] == "completed"]

        until(lambda: len(ticked()) >= 2, 150, "two ticks")
        ended = time.time()
        stamps, delays = [], []
        for name in ("loop", "process"):
            jobs = httpx.get(f"{web.url}/api/jobs?kind=worker&manager_id={run}&limit=200").json()["jobs"]
            for job in (job for job in jobs if job["name"].startswith(name)):
                attempts = httpx.get(f"{web.url}/api/jobs/{job['id']}/attempts").json()["attempts"][::-1]
                stamps += [seconds(each[when]) for each in attempts for when in ("started_at", "finished_at")]
                stamps += [seconds(line["at"]) for each in attempts for line in each["lines"]]
                ends = [seconds(each["finished_at"]) for each in attempts]
                begins = [seconds(each["started_at"]) for each in attempts]
                delays += [begin - end for end, begin in zip(ends, begins[1:], strict=False)]
        with Snapshot.of(ours.database) as snapshot:
            ticks = [tick for tick in snapshot.ticks("ticking", 100) if tick.manager_id]
            owners = snapshot.owners(100)
            runs = {tick.manager_id: snapshot.run(tick.manager_id).created_at for tick in ticks if tick.manager_id}
        lateness = [runs[tick.manager_id] - tick.at for tick in ticks if tick.manager_id]
        ours.stop()
        assert journal.differences(ours.database) == []
    assert all(owner.ended_at is None for owner in owners), "somebody was taken for dead"
    assert all(began - 1 < stamp < ended + 1 for stamp in stamps)
    assert len(delays) > 20 and min(delays) >= 0.99
    assert len({tick.at for tick in ticks}) == len(ticks) == len(runs)
    assert all(began - 60 < tick.at < ended for tick in ticks)
    assert min(lateness) >= 0 and max(lateness) < 30
    print(
        f"clocks of +1 h, -1 h and none: {len(delays)} retries {min(delays):.2f} to {max(delays):.2f} s after a "
        f"failure (1 s was asked for), {len(ticks)} ticks of a schedule started {max(lateness):.2f} s late at most; "
        f"nothing was taken over; the run took {took:.1f} s"
    )


MIGRATION = '''
"""One that only adds."""

import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worker_job", sa.Column("colour", sa.String(), nullable=False, server_default="red"))
    op.add_column("step_job", sa.Column("colour", sa.String(), nullable=True))
    op.create_table("colour", sa.Column("name", sa.String(), primary_key=True))
'''


def newer_program(folder: Path, works_from: str) -> Path:
    """This program as it will be: it has one more migration. Returns the directory in which it is the program."""
    folder.mkdir()
    here = Path(sys.modules["app"].__path__[0]).parent
    for part in ("app", "templates", "static", "definitions", "docs"):
        if (here / part).is_dir():
            shutil.copytree(here / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    migrations = folder / "app" / "queue" / "migrations" / "versions"
    (migrations / "9000_colours.py").write_text(MIGRATION.format(head=HEAD))
    module = folder / "app" / "queue" / "schema.py"
    text = module.read_text()
    newer = text.replace(f'HEAD = "{HEAD}"', 'HEAD = "9000"').replace(
        f'WORKS_FROM = "{WORKS_FROM}"', f'WORKS_FROM = "{works_from}"'
    )
    assert newer.count('"9000"') == 1 + (works_from == "9000")
    module.write_text(newer)
    return folder


def version(ours: Fleet) -> str | None:
    with ours.database.read() as connection:
        return version_of(connection)


def test_versions_before_and_after_a_migration_that_adds_work_side_by_side(
    tmp_path: Path, postgres_database: str
) -> None:
    """One after the other is replaced while they work; an older one that is started again in between works, too."""
    journal = Journal(tmp_path / "journal")
    newer = newer_program(tmp_path / "newer", HEAD)
    with fleet(tmp_path / "fleet", postgres_database, LEASE) as ours:
        ours.define("trying", TRYING.format(journal=journal.path))
        old_web = ours.launch(WEB).ready()
        old = [ours.launch(WORKER, "--slots", "4").ready() for _ in range(2)]
        before = start(old_web, "trying")
        until(lambda: all(ours.held(each) for each in old))
        assert version(ours) == HEAD
        new_worker = ours.launch(WORKER, "--slots", "4", cwd=newer).ready()
        assert version(ours) == "9000"
        between = start(old_web, "trying")
        until(lambda: ours.held(new_worker) > 0 and ours.held(old[0]) > 0, what="old and new ones work on one run")
        assert old[0].stop() == 0
        ours.forget(old[0])
        again = ours.launch(WORKER, "--slots", "4").ready()
        new_web = ours.launch(WEB, cwd=newer).ready()
        after = start(new_web, "trying")
        until(lambda: ours.held(again) > 0, what="an older one that was started later works")
        assert httpx.get(f"{old_web.url}/jobs/{after}").is_success
        for run in (before, between, after):
            until(lambda run=run: status(ours, run) is Status.COMPLETED, 120)  # type: ignore[misc]
        with Snapshot.of(ours.database) as snapshot:
            items = snapshot.jobs(JobFilter(kind=Kind.WORKER), EVERY).jobs
        assert {item.attempt for item in items} and len(items) >= 3 * 40
        logs = {member.name: ours.log(member) for member in ours.members}
        ours.stop()
        assert journal.differences(ours.database) == []
    assert [name for name, log in logs.items() if "Traceback" in log] == []
    print(f"{len(items)} items of three runs, begun before, in and after the upgrade, ended once each")


def test_a_version_that_a_migration_leaves_behind_is_refused(tmp_path: Path, postgres_database: str) -> None:
    newer = newer_program(tmp_path / "newer", "9000")
    with fleet(tmp_path / "fleet", postgres_database, LEASE) as ours:
        ours.launch(WEB, cwd=newer).ready()
        refused = ours.launch(WORKER)
        assert refused.process.wait(timeout=60) != 0
        said = " ".join(ours.log(refused).split())
        ours.forget(refused)
    assert f"written by a newer Stepglass (schema 9000, this one knows {HEAD}" in said
    assert "only those that know 9000 may work on it" in said
