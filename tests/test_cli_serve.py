"""stepglass serve: starts, says where it is, stops cleanly; and says in one paragraph why it does not start."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.queue.database import Database
from app.queue.models import Kind
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from tests.stepglass import COMMAND, definitions, serving, stepglass


def refused(*arguments: str | Path, **environment: str) -> str:
    """What the command says when it does not start."""
    ran = stepglass("serve", *arguments, **environment)
    assert (ran.returncode, ran.stdout) == (2, ""), ran
    assert ran.stderr.startswith("stepglass: ")
    assert "Traceback" not in ran.stderr
    return " ".join(ran.stderr.split())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told_to(tmp_path: Path, stop: signal.Signals) -> None:
    with serving(tmp_path, program=COMMAND) as server:
        assert httpx.get(f"{server.url}/healthz", trust_env=False).json()["status"] == "ok"
        server.process.send_signal(stop)
        assert server.process.wait(timeout=30) == 0


def test_no_answer_names_the_program_behind_it(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        headers = httpx.get(f"{server.url}/queue", trust_env=False).headers
        assert "server" not in headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_it_starts_a_definition_when_it_is_ready(tmp_path: Path) -> None:
    mine = definitions(tmp_path / "definitions")
    with serving(tmp_path / "data", "--definitions", mine, "--run", "endless") as server:
        assert server.process.stdout
        assert server.process.stdout.readline() == f"endless is job 1: {server.url}/jobs/1\n"
        assert httpx.get(f"{server.url}/api/jobs/1", trust_env=False).json()["definition"] == "endless"


def test_unfinished_work_is_given_back_and_goes_on(tmp_path: Path) -> None:
    mine = definitions(tmp_path / "definitions")
    options = ("--definitions", mine)
    with serving(tmp_path / "data", *options, "--run", "endless", STEPGLASS_GRACE="0") as server:
        assert server.process.stdout
        server.process.stdout.readline()
        with httpx.stream("GET", f"{server.url}/api/events", trust_env=False) as events:
            next(line for line in events.iter_lines() if '"refresh_logs":true' in line)
        assert server.stop() == 0
    assert stepglass("check", "--data", tmp_path / "data").returncode == 0
    with serving(tmp_path / "data", *options) as server:
        assert httpx.get(f"{server.url}/api/jobs/1", trust_env=False).json()["status"] == "running"


def test_a_definition_that_cannot_be_started_is_told_before_anything_begins(tmp_path: Path) -> None:
    said = refused("--data", tmp_path, "--port", "0", "--run", "codebase_classify")
    assert "folder: is missing" in said


def test_a_second_server_is_told_who_owns_the_data(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        said = refused("--data", tmp_path, "--port", "0")
        assert f"{tmp_path} is in use by stepglass serve (process {server.process.pid} since 2" in said
        assert f"Use that one at {server.url}" in said


def test_a_port_in_use_is_told_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused("--data", tmp_path, "--port", port)
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use" in said
    assert "--port" in said


def test_a_data_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file. Name a directory with --data" in refused("--data", tmp_path / "file")
    assert "is a file. Name a directory with --data" in refused("--data", tmp_path / "file" / "below")


def test_a_data_directory_that_cannot_be_written() -> None:
    assert "The data directory /proc/self/net cannot be written" in refused("--data", "/proc/self/net")


def test_a_database_that_is_newer(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "stepglass.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE sequence SET value = 9999 WHERE name = 'works from'")
    database.close()
    said = refused("--data", tmp_path, "--port", "0")
    assert "written by a newer Stepglass (schema 9999" in said
    assert "only those that know 9999 may work on it" in said
    checked = stepglass("check", "--data", tmp_path)
    assert checked.returncode == 2
    assert "written by a newer Stepglass" in " ".join(checked.stderr.split())


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "stepglass.db").write_text("this is no database, but it is long enough to be looked at" * 20)
    assert "file is not a database" in refused("--data", tmp_path, "--port", "0")


def test_an_address_for_everybody_is_refused_with_the_way_out(tmp_path: Path) -> None:
    said = refused("--data", tmp_path, "--host", "0.0.0.0")  # noqa: S104
    assert "no access control is configured" in said
    assert "SSH tunnel" in said


def test_parameters_without_a_definition_are_bad_usage(tmp_path: Path) -> None:
    ran = stepglass("serve", "--data", tmp_path, "--set", "folder=.")
    assert ran.returncode == 2
    assert "--set is for the definition that --run names" in ran.stderr


def test_a_wrong_setting_is_told_by_its_variable(tmp_path: Path) -> None:
    assert "STEPGLASS_SYNCHRONOUS=OFF: must be NORMAL or FULL" in refused(
        "--data", tmp_path, STEPGLASS_SYNCHRONOUS="OFF"
    )


GATE_STEPS = """
import asyncio, pathlib
from app.work.step_type import Settings, StepType, WorkItem

class Gate(StepType[Settings]):
    name = "gate"
    summary = "One work item ends when a file is there, the other never."
    settings_type = Settings
    async def plan(self, context):
        yield WorkItem("short")
        yield WorkItem("endless")
    async def run(self, context, item):
        context.log(f"{item.name} has begun")
        while item.name == "endless" or not pathlib.Path(__file__).with_name("open").exists():
            await asyncio.sleep(0.01)
"""


def test_a_first_signal_waits_for_what_ends_and_a_second_for_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "definitions"
    mine.mkdir()
    (mine / "gate.toml").write_text('id = "gate"\n[step.work]\ntype = "gate"\n')
    (tmp_path / "gate_steps.py").write_text(GATE_STEPS)
    options = ("--definitions", mine, "--steps", tmp_path / "gate_steps.py", "--grace", "3600", "--run", "gate")
    with serving(tmp_path / "data", *options) as server:
        address = f"{server.url}/api/events"
        with httpx.stream("GET", address, trust_env=False, timeout=60) as events:
            heard = events.iter_lines()
            while httpx.get(f"{server.url}/api/jobs/1/logs?q=begun", trust_env=False).json()["total"] < 2:
                next(line for line in heard if line.startswith("data:"))
            server.process.send_signal(signal.SIGTERM)
            list(heard)  # to an end that a reader cannot mistake for a broken connection
        (tmp_path / "open").touch()
        _until_completed(tmp_path / "data", "short")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
    with seen(tmp_path / "data") as snapshot:
        jobs = {job.name: job for job in snapshot.jobs(JobFilter(kind=Kind.WORKER), 9).jobs}
        assert (jobs["short"].status, jobs["short"].attempt) == (Status.COMPLETED, 1)
        assert (jobs["endless"].status, jobs["endless"].attempt) == (Status.PENDING, 0)
        assert jobs["endless"].reason == "given back"
        assert [owner.end for owner in snapshot.owners(9)] == ["stopped"]


def _until_completed(data: Path, name: str) -> None:
    for _ in range(3000):
        with seen(data) as snapshot:
            jobs = snapshot.jobs(JobFilter(kind=Kind.WORKER, status=Status.COMPLETED), 9).jobs
        if [job.name for job in jobs] == [name]:
            return
        time.sleep(0.01)
    raise AssertionError(f"{name} did not end")


@contextmanager
def seen(data: Path) -> Iterator[Snapshot]:
    database = Database.in_directory(data)
    with Snapshot.of(database) as snapshot:
        yield snapshot
    database.close()
