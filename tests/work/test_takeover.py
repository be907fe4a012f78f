"""Real processes on one database: what a dead or a silent one held is taken over, once, and it comes too late."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.queue.owner_reading import OwnerRecord
from app.queue.run_plan import StepPlan
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.queue.whereabouts import place_of
from tests.work.conftest import Works

LEASE = 1.0


class Process:
    """One that works. It says what it commits."""

    def __init__(self, address: str) -> None:
        command = [sys.executable, "-m", "tests.work.shared_database", address, str(LEASE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def until(self, true: Callable[[], bool]) -> None:
        """Reads on until it is so after something that the process committed."""
        assert self.process.stdout
        while not true():
            assert self.process.stdout.readline(), "it has ended"


@contextmanager
def working(works: Works) -> Iterator[Process]:
    process = Process(works.database.address)
    try:
        yield process
    finally:
        process.process.send_signal(signal.SIGCONT)
        process.process.communicate(timeout=30)


def owners(works: Works) -> dict[str, OwnerRecord]:
    """By process number, the last of each."""
    found: tuple[OwnerRecord, ...] = works.read(lambda snapshot: snapshot.owners(10))
    return {place_of(owner.name)[1]: owner for owner in sorted(found, key=lambda owner: owner.started_at)}


async def start(works: Works, tmp_path: Path) -> int:
    """A run whose two work items, on the loop and in a process, wait for a file for each attempt."""
    marker = str(tmp_path / "gate")
    return await works.start(
        *(
            StepPlan(where, where, settings={"items": ["wait"], "marker": marker}, depends=())
            for where in ("on_loop", "in_process")
        )
    )


def said(works: Works, manager_id: int) -> list[str]:
    """Every line of the run."""

    def reading(snapshot: Snapshot) -> list[str]:
        steps = snapshot.run(manager_id).steps
        return [line.message for step in steps for line in snapshot.log_lines(step.id, 1, step.log_count)]

    return works.read(reading)  # type: ignore[no-any-return]


def reasons(works: Works, manager_id: int) -> str:
    return "; ".join(step.reason for step in works.run(manager_id).steps)


async def test_what_a_silent_process_held_is_taken_over_and_it_comes_too_late(works: Works, tmp_path: Path) -> None:
    """The first is stopped as if its machine slept; the second is killed when it has taken over; the first is there."""
    manager_id = await start(works, tmp_path)

    def at_work(attempt: int) -> bool:
        return said(works, manager_id).count(f"attempt {attempt} waits") == 2

    with working(works) as first:
        first.until(lambda: at_work(1))
        with working(works) as second:
            first_pid, second_pid = (str(each.process.pid) for each in (first, second))
            second.until(lambda: second_pid in owners(works))
            stop_between_writes(first.process, works)
            taken_over(works, manager_id, first_pid, second)
            second.until(lambda: at_work(2))
            (tmp_path / "gate1").touch()  # so that the first one finds its work done
            first.process.send_signal(signal.SIGCONT)
            first.until(lambda: owners(works)[first_pid].ended_at is None)
            second.process.kill()
            taken_over(works, manager_id, second_pid, first)
            first.until(lambda: at_work(3))
        (tmp_path / "gate3").touch()
        first.until(lambda: works.run(manager_id).status is Status.COMPLETED)
    assert works.run(manager_id).counts.completed == 2
    assert [line for line in said(works, manager_id) if "is done" in line] == ["attempt 3 is done"] * 2
    assert owners(works)[first_pid].end == "stopped"


def stop_between_writes(process: subprocess.Popen[str], works: Works) -> None:
    """Whoever sleeps in the midst of a transaction keeps the lock of a SQLite file for as long; nothing helps there.
    PostgreSQL ends the session of one that does."""
    process.send_signal(signal.SIGSTOP)
    while works.database.path and is_locked(works.database.path):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGSTOP)


def is_locked(path: Path) -> bool:
    """Or somebody just writes."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def taken_over(works: Works, manager_id: int, silent: str, by: Process) -> None:
    """Waits until what the silent process held is taken over; until then it says that it is silent."""
    began = time.monotonic()
    by.until(lambda: bool(owners(works)[silent].silence))
    told = f", process {silent} since "
    assert reasons(works, manager_id).count(told) == 2
    by.until(lambda: owners(works)[silent].ended_at is not None)
    took = time.monotonic() - began
    assert told not in reasons(works, manager_id)
    print(f"taken over after {took:.2f} s, with a lease of {LEASE:g} s")
    assert took < 2 * LEASE or "CHAOS" not in os.environ  # the machine may be busy with other tests
