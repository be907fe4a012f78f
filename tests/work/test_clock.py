"""The clock of the machine is set by an hour while work waits and runs: nothing is lost, and nothing waits an hour."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.queue import audit
from app.queue.models import Kind
from app.queue.records import JobRecord
from app.queue.run_plan import Retry, StepPlan
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import FINAL, Status
from app.queue.store.cancel import cancel
from tests.work.conftest import Works

HOUR = 3600.0


class Clock:
    """The wall clock, set by a test. The steady one goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time
        self.shift = 0.0
        monkeypatch.setattr(time, "time", lambda: self._real() + self.shift)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_retry_is_made_in_time(works: Works, clock: Clock, shift: float, restarts: bool) -> None:
    """One that has to wait for its next attempt when the clock is set."""
    async with works.running():
        manager_id = await works.start(
            StepPlan("one", "on_loop", settings={"items": ["flaky"]}, retry=Retry(attempts=3, first_delay=0.3))
        )
        await works.until(
            lambda snapshot: any("attempt 2 of 3" in item.reason for item in _items(snapshot, manager_id))
        )
        clock.shift = shift
        if not restarts:
            await works.ended(manager_id)
    if restarts:
        async with works.running():
            await works.ended(manager_id)
    run = works.run(manager_id)
    assert (run.status, run.counts.completed) == (Status.COMPLETED, 1)


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
async def test_nothing_ends_before_it_began(works: Works, clock: Clock, tmp_path: Path, shift: float) -> None:
    """Work items, their attempts, their step and their run; and the recount agrees."""
    step = StepPlan("one", "on_loop", settings={"items": ["wait", "hang"], "marker": str(tmp_path / "gate")})
    async with works.running():
        manager_id = await works.start(step)
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 2)
        clock.shift = shift
        (tmp_path / "gate1").touch()
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.completed == 1)
        await works.write(cancel, manager_id, "cancelled by a person")
    run = works.run(manager_id)
    assert run.status in FINAL
    for each in (run, *run.steps, *works.read(lambda snapshot: _items(snapshot, manager_id))):
        assert each.started_at is not None and each.finished_at is not None
        assert 0 <= each.finished_at - each.started_at <= HOUR + 60
    assert audit.check(works.database) == []


async def test_a_run_may_take_no_longer_because_the_clock_was_set_back(
    works: Works, clock: Clock, tmp_path: Path
) -> None:
    """While the server was down, so that only the clock can tell how long it ran."""
    step = StepPlan("one", "on_loop", settings={"items": ["hang"], "marker": str(tmp_path / "gate")})
    async with works.running():
        manager_id = await works.start(step, timeout=0.5)
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        clock.shift = -HOUR
    async with works.running():
        run = await works.ended(manager_id)
    assert (run.status, run.reason) == (Status.FAILED, "the run took longer than its timeout of 0.5 s")


def _items(snapshot: Snapshot, manager_id: int) -> tuple[JobRecord, ...]:
    return snapshot.jobs(JobFilter(Kind.WORKER, manager_id=manager_id), 10).jobs
