"""Many work items at once, and one that takes long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from app.queue.run_plan import StepPlan
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.queue.store.cancel import cancel
from tests.work import trial_steps
from tests.work.conftest import Works


def step(type: str, *items: str, name: str = "one", marker: Path | str = "") -> StepPlan:
    return StepPlan(name, type, settings={"items": list(items), "marker": str(marker)})


async def test_no_more_run_at_once_than_there_are_slots(works: Works, tmp_path: Path) -> None:
    seen: set[int] = set()

    def all_at_work(snapshot: Snapshot) -> bool:
        counts = snapshot.run(manager_id).counts
        seen.add(counts.running)
        return (counts.total, counts.running) == (64, 5)

    async with works.running(slots=5):
        manager_id = await works.start(step("on_loop", *(f"hang {n}" for n in range(64)), marker=tmp_path / "began"))
        await works.until(all_at_work)
        other = await works.start(step("on_loop", "waits for a slot"), definition="other")
        await works.until(lambda snapshot: all_at_work(snapshot) and snapshot.run(other).counts.pending == 1)
        await works.write(cancel, manager_id, "cancelled by a person")
        await works.ended(other)
    assert max(seen) == 5


@pytest.mark.timeout(150)
async def test_hundreds_that_speak_save_and_find_more_at_once_do_not_get_stuck(works: Works) -> None:
    busy = [f"{what} {number}" for number in range(50) for what in ("log", "document", "spawn", "raise")]
    run = await works.run_to_end(
        step("on_loop", *busy), step("in_process", *busy, name="two"), step("on_loop", *busy, name="three")
    )
    assert [(each.counts.completed, each.counts.failed) for each in run.steps] == [(200, 50)] * 3


async def test_what_takes_twenty_minutes_is_left_alone_while_its_owner_lives(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, started = asyncio.Event(), time.time
    monkeypatch.setitem(trial_steps.GATES, "gate", gate)
    async with works.running():
        manager_id = await works.start(step("on_loop", "wait", marker="gate"))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        monkeypatch.setattr(time, "time", lambda: started() + 1200)
        await works.ended(await works.start(step("on_loop", "log"), definition="other"))
        assert works.run(manager_id).counts.running == 1
        gate.set()
        run = await works.ended(manager_id)
    assert run.status is Status.COMPLETED
    assert [line.message for line in works.log(run) if line.level != "info"] == []
