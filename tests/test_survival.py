"""kill -9 in mid-run, and a restart: the run is finished, and everything that was acknowledged is kept."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.queue import audit
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.records import JobRecord, LogLine, RunRecord
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import FINAL
from tests.stepglass import Server, serving

DEFINITION = """
id = "survivor"
[step.loop]
type = "test_job_generator"
worker_count = 60
log_count = 20
log_delay_ms = 5
failure_rate = 0.2
on_error = "continue"
seed = 3
[step.children]
type = "test_job_generator"
worker_count = 4
log_count = 5
log_delay_ms = 1
failure_rate = 0
child_count = 2
recursion_depth = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "survivor.toml").write_text(DEFINITION)
    return definitions


@contextmanager
def seen(data: Path) -> Iterator[Snapshot]:
    database = Database.in_directory(data)
    with Snapshot.of(database) as snapshot:
        yield snapshot
    database.close()


def follow(server: Server, until: Callable[[dict[str, Any]], bool]) -> None:
    """Hears what the server says of its jobs, until one of the facts is the one waited for."""
    with httpx.stream("GET", f"{server.url}/api/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and until(json.loads(line[5:])):
                return


def facts(data: Path) -> tuple[RunRecord, dict[int, JobRecord], list[LogLine]]:
    """What is acknowledged: the run, its final work items, all its lines."""
    with seen(data) as snapshot:
        run = snapshot.run(1)
        items = snapshot.jobs(JobFilter(kind=Kind.WORKER), 100_000).jobs
        lines = [line for step in run.steps for line in snapshot.log_lines(step.id, 1, step.log_count)]
    return run, {item.id: item for item in items if item.status in FINAL}, lines


def kill(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(timeout=30)


def test_a_killed_server_loses_nothing_and_the_next_one_finishes_the_run(tmp_path: Path, folder: Path) -> None:
    data = tmp_path / "data"
    options = ("--definitions", folder, "--run", "survivor", "--slots", "10")
    with serving(data, *options) as server:
        seen_steps: list[int] = []
        follow(server, lambda fact: seen_steps.append(1) is None and len(seen_steps) > 40)
        kill(server)
    for _ in range(3):
        before = facts(data)
        assert audit.check(Database.in_directory(data)) == []
        with serving(data, *options) as server:
            run_facts: list[int] = []
            follow(server, lambda fact, heard=run_facts: heard.append(1) is None and len(heard) > 10)  # type: ignore[misc]
            kill(server)
        _nothing_is_lost(before, facts(data))
    before = facts(data)
    with serving(data, *options) as server:
        if before[0].status not in FINAL:
            follow(server, lambda fact: fact["context"] == "job" and fact["status"] in FINAL)
        assert server.stop() == 0
    after = facts(data)
    _nothing_is_lost(before, after)
    run = after[0]
    assert run.status == "completed"
    assert run.steps[0].counts.total == 60
    assert run.steps[1].counts.total == 4 * (1 + 2 + 4 + 8)
    assert audit.check(Database.in_directory(data)) == []


def _nothing_is_lost(
    before: tuple[RunRecord, dict[int, JobRecord], list[LogLine]],
    after: tuple[RunRecord, dict[int, JobRecord], list[LogLine]],
) -> None:
    """Final work items are as they were, to the last field; every line stands where it stood."""
    for item_id, item in before[1].items():
        assert after[1][item_id] == item
    places = {(line.step_id, line.line): line for line in after[2]}
    for line in before[2]:
        assert places[line.step_id, line.line] == line
    for earlier, later in zip(before[0].steps, after[0].steps, strict=True):
        assert earlier.status not in FINAL or earlier == later


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
def test_a_killed_server_takes_its_worker_processes_along(tmp_path: Path) -> None:
    data, source = tmp_path / "data", tmp_path / "source"
    source.mkdir()
    for number in range(300):
        (source / f"module_{number}.py").write_text(f"value = {number}\n" * 50)
    options = ("--run", "codebase_classify", "--set", f"folder={source}")
    with serving(data, *options) as server:
        follow(server, lambda fact: fact["step_name"] == "import_files")
        children = _children_of(server.process.pid)
        assert children
        kill(server)
    for child in children:
        _ends(child)
    with serving(data, *options) as server:
        run, _, _ = facts(data)
        if run.status not in FINAL:
            follow(server, lambda fact: fact["context"] == "job" and fact["status"] in FINAL)
        assert server.stop() == 0
    run, _, _ = facts(data)
    assert (run.status, run.steps[1].document_count, run.steps[2].counts.completed) == ("completed", 300, 300)
    assert audit.check(Database.in_directory(data)) == []


def _children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _ends(pid: int) -> None:
    """Waits for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], 30)[0], f"process {pid} outlived its server"
    os.close(descriptor)
