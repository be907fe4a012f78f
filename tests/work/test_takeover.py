"""Real processes on one database: what a dead or a silent one held is taken over, once, and it comes too late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.queue.owner_reading import OwnerRecord
from app.queue.records import LogLine, RunRecord
from app.queue.run_plan import StepPlan
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.queue.whereabouts import place_of
from tests.work.conftest import Works

LEASE = 1.0


class Process:
    """One that works. It says what it commits."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.work.shared_database", str(folder), str(LEASE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def until(self, true: Callable[[], bool]) -> None:
        """Reads on until it is so after something that the process committed."""
        assert self.process.stdout
        while not true():
            assert self.process.stdout.readline(), "it has ended"


@contextmanager
def working(folder: Path) -> Iterator[Process]:
    process = Process(folder)
    try:
        yield process
    finally:
        process.process.send_signal(signal.SIGCONT)
        process.process.communicate(timeout=30)


def owners(works: Works) -> dict[str, OwnerRecord]:
    """By process number, the last of each."""
    found: tuple[OwnerRecord, ...] = works.read(lambda snapshot: snapshot.owners(10))
    return {place_of(owner.name)[1]: owner for owner in sorted(found, key=lambda owner: owner.started_at)}


async def start(works: Works, tmp_path: Path, where: Sequence[str]) -> tuple[int, Path]:
    """A run whose work items, one on the loop or one in a process or both, wait for a file."""
    gate = tmp_path / "gate"
    steps = [StepPlan(name, name, settings={"items": ["wait"], "marker": str(gate)}, depends=()) for name in where]
    return await works.start(*steps), gate


def waits(works: Works, manager_id: int, attempt: int) -> Callable[[], bool]:
    """Whether somebody is at that attempt of every work item."""

    def true() -> bool:
        said = [line.message for line in lines(works, manager_id)]
        return said.count(f"attempt {attempt} waits") == len(works.run(manager_id).steps)

    return true


def lines(works: Works, manager_id: int) -> list[LogLine]:
    def reading(snapshot: Snapshot) -> list[LogLine]:
        steps = snapshot.run(manager_id).steps
        return [line for step in steps for line in snapshot.log_lines(step.id, 1, step.log_count)]

    return works.read(reading)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("end", "where"), [(signal.SIGKILL, ["on_loop"]), (signal.SIGSTOP, ["on_loop", "in_process"])])
async def test_what_a_silent_process_held_is_taken_over_and_it_comes_too_late(
    works: Works, tmp_path: Path, end: signal.Signals, where: list[str]
) -> None:
    manager_id, gate = await start(works, tmp_path, where)
    with working(tmp_path) as first:
        first.until(waits(works, manager_id, 1))
        with working(tmp_path) as second:
            pids = [str(each.process.pid) for each in (first, second)]
            second.until(lambda: pids[1] in owners(works))
            first.process.send_signal(end)
            began = time.monotonic()
            second.until(lambda: bool(owners(works)[pids[0]].silence))
            assert f"no heartbeat from {owners(works)[pids[0]].name.split(':')[0]}" in _reasons(works.run(manager_id))
            second.until(lambda: owners(works)[pids[0]].ended_at is not None)
            took = time.monotonic() - began
            print(f"taken over {took:.2f} s after {end.name}, with a lease of {LEASE:g} s")
            assert took < 2 * LEASE or "CHAOS" not in os.environ  # the machine may be busy with other tests
            assert "no heartbeat" not in _reasons(works.run(manager_id))
            second.until(waits(works, manager_id, 2))
            gate.touch()
            second.until(lambda: works.run(manager_id).status is Status.COMPLETED)
            done = facts(works, manager_id)
            if end is signal.SIGSTOP:
                # It finds the file as well, and its work done; but it comes too late.
                first.process.send_signal(signal.SIGCONT)
                first.until(lambda: owners(works)[pids[0]].ended_at is None)
                assert facts(works, manager_id) == done
    if end is signal.SIGSTOP:
        assert facts(works, manager_id) == done
        assert all(owner.end == "stopped" for owner in owners(works).values())


def _reasons(run: RunRecord) -> str:
    return "; ".join(step.reason for step in run.steps)


def facts(works: Works, manager_id: int) -> tuple[RunRecord, list[LogLine]]:
    return works.run(manager_id), lines(works, manager_id)
