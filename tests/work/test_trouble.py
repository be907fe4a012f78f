"""What the runner makes of a database in trouble, and of things that happen at the wrong moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.queue.database import Database
from app.queue.run_plan import RunPlan
from app.queue.schema import bring_up_to_date
from app.queue.status import Status
from app.queue.store.cancel import cancel
from app.queue.store.start import start
from app.queue.writer import WriteFailed, touch
from app.work.frames import Frame
from app.work.processes import ProcessPool, WorkerProcess
from app.work.storing import until_stored
from tests.queue.storage_faults import fill_the_disk, read_only
from tests.work.conftest import Works
from tests.work.test_runner import BOTH, step


@BOTH
async def test_a_full_disk_does_not_keep_the_runner_from_stopping(works: Works, where: str, tmp_path: Path) -> None:
    settings = {"marker": str(tmp_path / "began")}
    async with works.running():
        manager_id = await works.start(step(where, "hang", settings=settings))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        fill_the_disk(works.database, full=True)
    fill_the_disk(works.database, full=False)
    run = works.run(manager_id)
    assert run.counts.pending + run.counts.running == 1


@BOTH
@pytest.mark.parametrize("verb", ["claim_plans", "end_planning", "claim", "_perform", "end_overdue", "steps_of"])
async def test_work_goes_on_by_itself_after_a_commit_that_failed(
    works: Works, where: str, verb: str, tmp_path: Path
) -> None:
    works.write.failing.add(verb)
    timeout = 0.2 if verb == "end_overdue" else None
    items = ["hang"] if verb == "end_overdue" else ["log a", "spawn b", "document c"]
    settings = {"marker": str(tmp_path / "began")}
    run = await works.run_to_end(step(where, *items, settings=settings), timeout=timeout)
    assert verb == "steps_of" or works.write.failed == [verb]
    assert run.status is (Status.FAILED if timeout else Status.COMPLETED)
    assert run.counts.completed == (0 if timeout else 4)
    assert run.document_count == (0 if timeout else 1)


@BOTH
async def test_work_goes_on_when_a_full_disk_has_room_again(works: Works, where: str) -> None:
    async with works.running():
        manager_id = await works.start(step(where, *(f"log {'x' * 3000} {number}" for number in range(40))))
        fill_the_disk(works.database, full=True)
        await works.write.in_trouble()
        assert works.run(manager_id).status not in ("completed", "failed")
        fill_the_disk(works.database, full=False)
        run = await works.ended(manager_id)
    assert run.counts.completed == 40


@BOTH
async def test_nothing_new_begins_while_the_storage_is_in_trouble(works: Works, where: str, tmp_path: Path) -> None:
    async with works.running() as runner:
        with read_only(works.database):
            with pytest.raises(WriteFailed):
                await works.write(touch)
            claimed = []
            claim, runner._claim_plans = runner._claim_plans, lambda: claimed.append(1)  # type: ignore
            runner._wake.set()
            for _ in range(100):
                await asyncio.sleep(0)
            assert works.write.storage.stops_work
            assert claimed == []
            runner._claim_plans = claim  # type: ignore[method-assign]
        run = await works.ended(await until_stored(works.write, start, RunPlan("trial", "Trial", (step(where, "a"),))))  # type: ignore[arg-type]
    assert run.counts.completed == 1


@BOTH
async def test_cancelling_one_run_strands_no_other(works: Works, where: str, tmp_path: Path) -> None:
    """The cancellation is committed after a claim for both runs, and heard of before the claim is answered."""
    async with works.running(slots=0):
        first = await works.start(step(where, "a", "b"), definition="first")
        second = await works.start(step(where, "c", "d"), definition="second")

    async def cancel_the_first() -> None:
        assert await works.write(cancel, first, "cancelled by a person")

    works.write.before_answer["claim"] = cancel_the_first
    async with works.running(slots=4):
        run = await works.ended(second)
    assert run.counts.completed == 2
    assert works.run(first).status is Status.CANCELLED


@BOTH
async def test_a_step_that_is_stopped_while_its_plan_is_claimed_is_not_planned(works: Works, where: str) -> None:
    async with works.running():

        async def cancel_it() -> None:
            assert await works.write(cancel, 1, "cancelled by a person")

        works.write.before_answer["claim_plans"] = cancel_it
        run = await works.ended(await works.start(step(where, "a")))
        after = await works.ended(await works.start(step(where, "b"), definition="next"))
    assert (run.status, run.counts.total) == (Status.CANCELLED, 0)
    assert after.status is Status.COMPLETED


async def test_a_retry_that_is_due_while_no_slot_is_free_costs_nothing(works: Works, tmp_path: Path) -> None:
    settings = {"marker": str(tmp_path / "began")}
    async with works.running(slots=1) as runner:
        hanging = await works.start(step("on_loop", "hang", settings=settings), definition="hanging")
        await works.until(lambda snapshot: snapshot.run(hanging).counts.running == 1)
        for lane in runner._lanes._lanes.values():
            lane.due_at = 1.0  # long ago
        looks = 0
        look = runner._claim_items

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await look()

        runner._claim_items = counted  # type: ignore[method-assign]
        runner._wake.set()
        for _ in range(500):
            await asyncio.sleep(0)
        assert looks <= 3
        await works.write(cancel, hanging, "enough")


async def test_a_step_that_has_ended_leaves_nothing_behind(works: Works) -> None:
    async with works.running() as runner:
        await works.ended(await works.start(step("on_loop", "a"), step("in_process", "b", name="two")))
        await works.write(touch)  # commits are heard of in order, so by now the runner has heard of the end
        assert runner._lanes._lanes == {}


@BOTH
@pytest.mark.parametrize("item", ["untitled", "not a number", "a huge number"])
async def test_what_cannot_be_stored_fails_its_item_and_no_other(works: Works, where: str, item: str) -> None:
    run = await works.run_to_end(step(where, "document 1", item, "document 2"))
    assert works.errors(run.id)[item]
    assert (run.counts.completed, run.document_count) == (2, 2)


@BOTH
async def test_a_data_directory_may_be_called_anything(tmp_path: Path, where: str) -> None:
    for name in ("100%_?x=1#y", "q?a", "q?b"):
        (tmp_path / name).mkdir()
        database = Database.in_directory(tmp_path / name)
        bring_up_to_date(database)
        works = Works(database)
        second = step("in_process", "read", name="two", depends=("one",))
        run = await works.run_to_end(step(where, "document 1"), second)
        assert run.status is Status.COMPLETED
        await works.write.close()
        database.close()
        assert (tmp_path / name / "stepglass.db").exists()
    assert names_in(tmp_path) == ["100%_?x=1#y", "q?a", "q?b"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("coming_up", [True, False])
async def test_a_process_ends_however_often_who_asked_for_it_is_cancelled(
    coming_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that nobody waits for would be left to the system."""
    spoken, ended = asyncio.Event(), list[int]()
    frames, end = WorkerProcess.frames, WorkerProcess.end

    async def speaks(process: WorkerProcess) -> list[Frame]:
        if coming_up:
            spoken.set()
        return await frames(process)

    async def ends(process: WorkerProcess) -> str:
        how = await end(process)
        ended.append(process.pid)
        return how

    async def ask() -> None:
        async with pool.process():
            spoken.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(WorkerProcess, "frames", speaks)
    monkeypatch.setattr(WorkerProcess, "end", ends)
    pool = ProcessPool(1)
    asking = asyncio.create_task(ask())
    await spoken.wait()
    asking.cancel()
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert asking.cancelled()
    await pool.close()
    assert len(ended) == 1
