"""stepglass worker: works on a database that servers share, without a page; drains when told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app.cli import cli
from app.cli.stopping import Stopping
from app.main import open_stepglass
from app.queue import audit
from app.queue.database import Database, DatabaseTrouble
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import Snapshot
from app.settings import Settings
from app.web.access import NotStartable
from app.working import open_worker
from tests.stepglass import COMMAND, Process, begun, definitions, serving


@contextmanager
def working(address: str, *options: str | Path) -> Iterator[Process]:
    """A worker that is ready, until the end of the block."""
    process = begun("worker", "--database", address, *options, program=COMMAND)
    assert process.stdout
    with process.stdout:
        try:
            line = process.stdout.readline()
            assert line.startswith("Worker "), line
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=30)


def refused(*arguments: str) -> str:
    """What the command says when it does not start."""
    ran = CliRunner().invoke(cli, ["worker", *arguments], catch_exceptions=False, env={"STEPGLASS_DATABASE": None})
    assert (ran.exit_code, ran.stdout) == (2, "")
    return " ".join(ran.stderr.split())


def test_a_worker_does_the_work_of_a_server_that_runs_nothing_and_drains(
    tmp_path: Path, postgres_database: str
) -> None:
    address = postgres_database.replace("postgresql+psycopg", "postgresql")
    ours = definitions(tmp_path / "definitions")
    name = "<script>alert(1)</script>"
    with (
        serving(tmp_path / "a", "--database", address, "--definitions", ours, "--slots", "0") as server,
        httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client,
        client.stream("GET", "/api/events") as events,
    ):
        lines = events.iter_lines()
        next(lines)
        quick, endless = (start(client, definition) for definition in ("quick", "endless"))
        said = "no worker offers the step type test_job_generator"
        with working(address, "--slots", "4", "--name", name, "--grace", "0") as worker:
            until(lines, '"status":"completed"')
            assert client.get(f"/api/jobs/{quick}").json()["counts"]["completed"] == 3
            until(lines, '"refresh_logs":true', f'"job_id":{endless}')
            assert said not in client.get(f"/api/jobs/{endless}/tree").text
            page = client.get("/system").text
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and name not in page
            found = {owner["kind"]: owner for owner in client.get("/api/system/owners").json()["owners"]}
            assert (found["worker"]["name"], found["worker"]["slots"], found["worker"]["taken"]) == (name, 4, 1)
            assert "test_job_generator" in found["worker"]["step_types"] and found["server"]["step_types"] == []
            worker.send_signal(signal.SIGTERM)
            assert worker.stdout and worker.stdout.readline().endswith("has ended: 1 work item given back\n")
            assert worker.wait(timeout=30) == 0
        assert said in client.get(f"/api/jobs/{endless}/tree").text
        ended = client.get("/api/system/owners").json()["owners"]
        assert [owner["end"] for owner in ended if owner["kind"] == "worker"] == ["stopped"]
    database = Database(postgres_database)
    assert audit.check(database) == []
    database.close()


def start(client: httpx.Client, definition: str) -> int:
    answer: dict[str, Any] = client.post("/api/jobs", json={"definition": definition}).raise_for_status().json()
    return int(answer["job_id"])


def until(lines: Iterator[str], *parts: str) -> None:
    next(line for line in lines if all(part in line for part in parts))


def test_a_worker_says_why_it_does_not_start() -> None:
    assert "A worker needs a PostgreSQL database" in refused()
    nowhere = ("--database", "postgresql://nobody@127.0.0.1:1/none")
    said = refused(*nowhere, "--step-types", "crawler,crawlr")
    assert "there is no step type crawlr here; there are agent," in said and "crawler" in said
    assert "a worker without slots runs nothing" in refused(*nowhere, "--slots", "0")
    assert "cannot be opened for writing" in refused(*nowhere)


async def test_a_worker_makes_itself_known_with_what_it_offers(tmp_path: Path, postgres_queue: str) -> None:
    """Bulk actions only if it has the definitions that it needs for them."""
    for folders, bulk in (((), []), ((tmp_path,), ["bulk_action", "bulk_report"])):
        settings = Settings(database=postgres_queue, step_types=("crawler",), slots=3, name="x", definitions=folders)
        with open_worker(settings) as worker:
            async with worker.working() as runner:
                with Snapshot.of(worker.database) as snapshot:
                    (found,) = snapshot.owners()
        assert (found.kind, found.label, found.slots, found.offers) == ("worker", "x", 3, [*bulk, "crawler"])
        assert runner.given_back == 0


SEARCH = """
id = "search"
[step.find]
type = "places_search"
provider = "google"
search_type = "text_search"
search_query = "cafe"
api_key = "NO_SUCH_KEY"
"""


def test_what_a_step_needs_is_looked_for_only_where_its_type_is_offered(tmp_path: Path, postgres_queue: str) -> None:
    (tmp_path / "search.toml").write_text(SEARCH)
    settings = Settings(data=tmp_path / "data", database=postgres_queue, definitions=(tmp_path,))
    for here in (replace(settings, slots=0), replace(settings, step_types=("crawler",))):
        with open_stepglass(here, "a test") as stepglass:
            assert stepglass.catalog.plan("search", {}).steps
    for here in (settings, Settings(data=tmp_path / "data", definitions=(tmp_path,), slots=0)):
        with open_stepglass(here, "a test") as stepglass, pytest.raises(NotStartable, match="wants a key"):
            stepglass.catalog.plan("search", {})


def test_a_worker_of_a_version_before_the_database_says_how_to_go_on(postgres_database: str) -> None:
    bring_up_to_date(database := Database(postgres_database))
    with database.writing.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE sequence SET value = 9999 WHERE name = 'works from'"))
    database.close()
    said = r"schema 9999, this one knows \d+, and only those that know 9999 may work on it\); use that version here"
    with pytest.raises(DatabaseTrouble, match=said), open_worker(Settings(database=postgres_database)):
        pass


def test_the_first_signal_asks_the_second_hurries_and_the_third_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(os, "_exit", told.append)
    stopping = Stopping(told.append)
    stopping.signalled(signal.SIGTERM)
    stopping.signalled(signal.SIGTERM)
    assert told == [False, True]
    stopping.signalled(signal.SIGTERM)
    assert told[2] == 128 + signal.SIGTERM
