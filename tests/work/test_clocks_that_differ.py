"""On PostgreSQL the clock of the database counts, however wrong that of the machine is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from app.queue import audit
from app.queue.clock import Clock
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.run_plan import Retry, StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from tests.work.conftest import Works

HOUR = 3600.0


@pytest.fixture
async def shared(postgres_queue: str) -> AsyncIterator[Works]:
    works = Works(Database(postgres_queue))
    yield works
    await works.write.close()
    assert audit.check(works.database) == []
    works.database.close()


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
async def test_what_is_due_begins_in_time_and_is_stamped_with_the_time_of_the_database(
    shared: Works, monkeypatch: pytest.MonkeyPatch, shift: float
) -> None:
    """On a machine whose clock is an hour off."""
    real = time.time
    began = real()
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: real() + shift)
        retry = Retry(attempts=3, first_delay=0.3)
        async with shared.running():
            manager_id = await shared.start(
                StepPlan("one", "on_loop", settings={"items": ["flaky"]}, retry=retry),
                timeout=30.0,
            )
            run = await shared.ended(manager_id)
    ended = real()
    assert run.status is Status.COMPLETED
    items = shared.read(lambda snapshot: snapshot.jobs(JobFilter(manager_id=manager_id, kind=Kind.WORKER), 10).jobs)
    lines = [
        line.at
        for step in run.steps
        for line in shared.read(lambda snapshot, step=step: snapshot.log_lines(step.id, 1, step.log_count))
    ]
    stamps = [run.created_at, run.finished_at, *(item.started_at for item in items), *lines]
    assert lines
    assert all(began - 1 < stamp < ended + 1 for stamp in stamps), [stamp - began for stamp in stamps]


def test_time_does_not_jump_to_and_fro() -> None:
    """The server is heard after a longer or a shorter while, and means the same."""
    clock, begun = Clock(), time.monotonic()
    clock.said(1_000_000.0 + time.monotonic(), begun)
    first = clock.now() - time.monotonic()
    clock.said(1_000_000.0 + time.monotonic() - 0.4, begun - 1.0)  # it looked 0.4 s ago
    assert clock.now() - time.monotonic() == pytest.approx(first, abs=0.01)
    clock.said(1_003_600.0 + time.monotonic(), time.monotonic())  # it was set
    assert clock.now() - time.monotonic() == pytest.approx(1_003_600.0, abs=0.01)


def test_without_a_server_it_is_the_clock_of_the_machine() -> None:
    assert Clock().now() == pytest.approx(time.time(), abs=1)
    assert Clock().there(5.0) == 5.0
