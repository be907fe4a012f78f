"""stepglass worker: works on a database that servers share, without a page; drains when told to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stepglass import COMMAND, clean_environment, definitions, serving, stepglass


@pytest.fixture
def address(postgres_database: str) -> str:
    return postgres_database.replace("postgresql+psycopg", "postgresql")


@contextmanager
def working(address: str, *options: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that is ready, until the end of the block."""
    command = [*COMMAND, "worker", "--database", address, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment())
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
    ran = stepglass("worker", *arguments)
    assert (ran.returncode, ran.stdout) == (2, ""), ran
    assert "Traceback" not in ran.stderr
    return " ".join(ran.stderr.split())


def test_a_worker_does_the_work_of_a_server_that_runs_nothing_and_drains(tmp_path: Path, address: str) -> None:
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
    checked = stepglass("check", "--database", address)
    assert checked.returncode == 0, checked.stdout + checked.stderr


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
