"""What the embedded runner makes of handlers that behave, and of those that do not."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.queue.actor import Actor, Place
from app.queue.models import Kind
from app.queue.pauses import Scope
from app.queue.run_plan import Retry, StepPlan
from app.queue.snapshot import JobFilter, LogFilter
from app.queue.status import FINAL, Status
from app.queue.store.cancel import cancel, cancel_item
from app.queue.store.deadlines import time_out
from app.queue.store.delete import delete_run, deletions_begun
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.retry import Again, retry
from app.queue.tables import metadata
from app.work import frames, patience
from app.work.loop_work import LoopWork, _Running
from app.work.processes import WorkerProcess
from tests.work import trial_steps
from tests.work.conftest import PATIENCE, Works


def _rows(works: Works, table: str) -> int:
    with works.database.read() as connection:
        return connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar_one()


BOTH = pytest.mark.parametrize("where", [pytest.param("on_loop", marks=pytest.mark.postgresql), "in_process"])


def step(where: str, *items: str, name: str = "one", timeout: float | None = None, **plan: object) -> StepPlan:
    settings = {"items": list(items), **dict(plan.pop("settings", {}))}  # type: ignore[call-overload]
    return StepPlan(name, where, settings=settings, timeout=timeout, **plan)  # type: ignore[arg-type]


@BOTH
async def test_a_run_is_carried_out(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "a", "b", "c"), step(where, "d", name="two", depends=("one",)))
    assert (run.status, run.counts.completed) == (Status.COMPLETED, 4)


@BOTH
async def test_a_step_without_items_has_nothing_to_do(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where))
    assert (run.steps[0].status, run.steps[0].reason) == (Status.COMPLETED, "nothing to do")


@BOTH
async def test_what_an_item_logs_is_its_own_and_in_order(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "log a"))
    lines = [line for line in works.log(run) if line.worker_name == "log a"]
    said = [(line.level, line.message) for line in lines]
    assert said == [("info", "line 0 of log a"), ("warn", "line 1 of log a"), ("info", "line 2 of log a")]
    page = works.read(lambda snapshot: snapshot.log(LogFilter(worker_id=lines[0].worker_id), 10))
    assert page.total == 3


@BOTH
async def test_documents_count_once_for_the_step_that_created_them(works: Works, where: str) -> None:
    again = step(where, "document 1", "document 3", name="two", depends=("one",))
    run = await works.run_to_end(step(where, "document 1", "document 2"), again)
    assert [each.document_count for each in run.steps] == [2, 1]
    assert run.document_count == 3


@BOTH
async def test_what_its_work_items_have_used_adds_up_on_the_step(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "use 1", "use 2", "odd", "log"))
    assert run.steps[0].totals == (("tokens", 10), ("cost", 0.5))
    assert run.counts.failed == 1, "nan is not an amount"


@BOTH
async def test_a_work_item_is_known_to_have_saved_its_documents(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "document 1", "document 2"))
    items = works.read(lambda snapshot: snapshot.jobs(JobFilter(Kind.WORKER, None, run.id), 10)).jobs
    assert len(items) == 2
    for item in items:
        saved = works.read(lambda snapshot, item=item: snapshot.item(item.id)).documents
        assert [(each.address, each.created) for each in saved] == [(f"trial:{item.name}", True)]


async def test_documents_can_be_read_in_a_process(works: Works) -> None:
    second = step("in_process", "read", name="two", depends=("one",))
    run = await works.run_to_end(step("in_process", "document 1", "document 2"), second)
    (item,) = works.read(lambda snapshot: snapshot.jobs(_items_of(run.id, "two"), 5)).jobs
    assert works.read(lambda snapshot: snapshot.item(item.id)).result == ["trial:document 1"]


@BOTH
async def test_children_join_their_parents_step_once(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "spawn a", "spawn b"))
    assert run.steps[0].counts.completed == 4


@BOTH
async def test_a_step_grows_up_to_a_limit_whoever_adds_to_it(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "few a", "few b"))
    assert run.steps[0].counts.completed == 4


@BOTH
@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("raise", "ValueError: no such thing"),
        ("permanent", "it will never work"),
        ("object", "the result (object) cannot be stored as JSON"),
        ("level", "ValueError: 'fatal' is not a valid Level"),
    ],
)
async def test_a_handler_that_fails_fails_its_item_alone(works: Works, where: str, item: str, error: str) -> None:
    run = await works.run_to_end(step(where, "a", item, "b"))
    told = works.errors(run.id)[item]
    assert told is not None
    assert error in told
    assert run.steps[0].counts == (0, 0, 2, 1, 0, 0)
    assert run.steps[0].reason == "1 of 3 failed"


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("kill", "its process was killed by signal 9 (SIGKILL)"),
        ("quit", "its process exited with status 7"),
        ("exit", "its process exited with status 3"),
    ],
)
async def test_a_handler_that_ends_its_process_fails_its_item_alone(works: Works, item: str, error: str) -> None:
    run = await works.run_to_end(step("in_process", "a", "b", item, "c", "d"))
    assert works.errors(run.id)[item] == error
    assert run.steps[0].counts == (0, 0, 4, 1, 0, 0)


async def test_a_handler_on_the_loop_that_exits_does_not_take_the_server_along(works: Works) -> None:
    run = await works.run_to_end(step("on_loop", "exit", "a"))
    assert works.errors(run.id)["exit"] == "sys.exit was called: 3"


@BOTH
async def test_a_handler_that_hangs_is_ended_by_its_timeout(works: Works, where: str, tmp_path: Path) -> None:
    settings = {"marker": str(tmp_path / "began")}
    run = await works.run_to_end(step(where, "hang", "a", timeout=0.5, settings=settings))
    assert works.errors(run.id)["hang"] == "took longer than its timeout of 0.5 s"
    assert run.steps[0].counts == (0, 0, 1, 1, 0, 0)


async def test_a_handler_that_does_not_stop_is_left_behind(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STOP_GRACE", 0.05)
    run = await works.run_to_end(step("on_loop", "stubborn", "a", timeout=0.1))
    assert works.errors(run.id)["stubborn"] == "took longer than its timeout of 0.1 s"


@BOTH
async def test_a_short_step_is_planned_in_one_transaction_after_what_its_planning_said(
    works: Works, where: str
) -> None:
    run = await works.run_to_end(step(where, "a", "b"))
    said = [line.message for line in works.log(run) if line.worker_id is None]
    assert said[: said.index("planned 2 work items") + 1] == [
        *(["looking around"] if where == "in_process" else []),
        "planned 2 work items",
    ]
    verbs = {"plan", "end_planning"} if where == "in_process" else {"end_planning"}
    assert verbs == {verb for verb in works.write.called if "plan" in verb} - {"claim_plans", "claim_plans_by_tickets"}


@BOTH
async def test_a_plan_that_fails_fails_its_step(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, settings={"plan_error": "the disk is on fire"}))
    assert run.steps[0].status is Status.FAILED
    assert run.steps[0].reason.endswith("the disk is on fire")
    assert run.steps[0].reason.startswith("planning failed: ")


async def test_a_step_that_nobody_offers_waits_for_whoever_does(works: Works) -> None:
    async with works.running():
        manager_id = await works.start(step("nowhere", "a"), step("on_loop", "b", name="two", depends=()))
        await works.until(lambda snapshot: snapshot.run(manager_id).steps[1].status in FINAL)
        said = "no worker offers the step type nowhere"
        await works.until(lambda snapshot: snapshot.run(manager_id).steps[0].reason == said)
        waiting = works.run(manager_id)
        assert waiting.steps[0].status is Status.PENDING
        assert waiting.reason == "step one: no worker offers the step type nowhere"

    class Nowhere(trial_steps.OnLoop):
        name = "nowhere"

    async with works.running(also=[Nowhere]):
        assert (await works.ended(manager_id)).status is Status.COMPLETED


@BOTH
async def test_a_flaky_item_succeeds_in_the_end(works: Works, where: str) -> None:
    run = await works.run_to_end(step(where, "flaky", retry=Retry(attempts=3, first_delay=0.0)))
    assert (run.status, run.counts.completed) == (Status.COMPLETED, 1)
    (item,) = works.read(lambda snapshot: snapshot.jobs(_items_of(run.id, "one"), 5)).jobs
    attempts = works.read(lambda snapshot: snapshot.item(item.id)).attempts
    assert [attempt.number for attempt in attempts] == [3, 2, 1]
    assert [attempt.status for attempt in attempts] == ["completed", "failed", "failed"]


@BOTH
async def test_a_cancelled_run_stops_what_runs(works: Works, where: str, tmp_path: Path) -> None:
    marker = tmp_path / "began"
    async with works.running():
        manager_id = await works.start(step(where, "hang", "hang again", settings={"marker": str(marker)}))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 2)
        assert await works.write(cancel, manager_id, "cancelled by a person")
        assert works.run(manager_id).counts.cancelled == 2
        after = await works.ended(await works.start(step(where, "a", "b"), definition="next"))
        assert after.status is Status.COMPLETED


@BOTH
async def test_a_cancelled_work_item_stops_and_the_others_of_its_step_go_on(
    works: Works, where: str, tmp_path: Path
) -> None:
    marker = tmp_path / "began"
    async with works.running():
        manager_id = await works.start(step(where, "hang", "a", "b", settings={"marker": str(marker)}))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.completed == 2)
        (item,) = works.read(
            lambda snapshot: snapshot.jobs(replace(_items_of(manager_id, "one"), status="running"), 5)
        ).jobs
        assert await works.write(cancel_item, item.id, "cancelled by ann")
        run = await works.ended(manager_id)
        after = await works.ended(await works.start(step(where, "a"), definition="next"))
    assert (run.status, run.counts.completed, run.counts.cancelled) == (Status.COMPLETED, 2, 1)
    assert run.steps[0].reason == "1 of 3 cancelled"
    assert after.status is Status.COMPLETED


@BOTH
async def test_a_work_item_cancelled_while_it_is_claimed_never_starts(works: Works, where: str, tmp_path: Path) -> None:
    marker = tmp_path / "began"

    async def cancel_it() -> None:
        items = works.read(lambda snapshot: snapshot.jobs(JobFilter(kind="worker"), 5)).jobs
        for item in items:
            assert await works.write(cancel_item, item.id, "cancelled by ann")
        if not items:  # this claim came before there were any
            works.write.before_answer["claim"] = cancel_it

    works.write.before_answer["claim"] = cancel_it
    run = await works.run_to_end(step(where, "hang", settings={"marker": str(marker)}))
    assert (run.status, run.counts.cancelled) == (Status.CANCELLED, 1)
    assert not marker.exists()


async def test_what_is_paused_waits_and_what_runs_finishes(works: Works, tmp_path: Path) -> None:
    async with works.running(slots=1):
        paused = await works.start(step("on_loop", "a", "b"), definition="paused")
        await works.write(pause_as, Scope("paused"), Actor(Place.API))
        other = await works.ended(await works.start(step("on_loop", "c"), definition="other"))
        assert other.status is Status.COMPLETED
    async with works.running(slots=1):  # another owner keeps to it
        waiting = works.run(paused)
        other = await works.ended(await works.start(step("on_loop", "c"), definition="other"))
        assert works.run(paused).counts == waiting.counts
        assert waiting.paused is not None
        await works.write(resume_as, Scope("paused"), Actor(Place.API))
        assert (await works.ended(paused)).counts.completed == 2


@BOTH
async def test_what_a_stopped_runner_gives_back_the_next_one_finishes(works: Works, where: str, tmp_path: Path) -> None:
    marker = tmp_path / "began"
    async with works.running(slots=2):
        manager_id = await works.start(step(where, "hang", settings={"marker": str(marker)}))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
    run = works.run(manager_id)
    assert (run.status, run.counts.pending) == (Status.RUNNING, 1)
    (item,) = works.read(lambda snapshot: snapshot.jobs(_items_of(manager_id, "one"), 5)).jobs
    assert (item.attempt, item.reason) == (0, "given back")


async def test_a_run_that_takes_longer_than_it_may_fails(works: Works, tmp_path: Path) -> None:
    hang = step("on_loop", "hang", settings={"marker": str(tmp_path / "began")})
    run = await works.run_to_end(hang, timeout=0.2)
    assert (run.status, run.reason) == (Status.FAILED, "the run took longer than its timeout of 0.2 s")


async def test_a_long_run_does_not_keep_a_short_one_waiting(works: Works, tmp_path: Path) -> None:
    settings = {"marker": str(tmp_path / "began")}
    async with works.running(slots=4):
        long_id = await works.start(step("on_loop", *(f"hang {n}" for n in range(2)), settings=settings))
        await works.until(lambda snapshot: snapshot.run(long_id).counts.running == 2)
        short = await works.ended(await works.start(step("on_loop", "a"), definition="short"))
        assert short.status is Status.COMPLETED
        await works.write(cancel, long_id, "enough")


@BOTH
async def test_what_is_retried_runs_again(works: Works, where: str) -> None:
    async with works.running():
        manager_id = await works.start(step(where, "raise"), step(where, "b", name="two", depends=("one",)))
        run = await works.ended(manager_id)
        assert [each.status for each in run.steps] == [Status.FAILED, Status.SKIPPED]
        (item,) = works.read(lambda snapshot: snapshot.jobs(_items_of(manager_id, "one"), 5)).jobs
        await works.write(retry, Again(manager_id), "retried by a person")
        run = await works.ended(manager_id)
        assert [each.status for each in run.steps] == [Status.FAILED, Status.SKIPPED]
        attempts = works.read(lambda snapshot: snapshot.item(item.id)).attempts
        assert [each.number for each in attempts] == [2, 1]


@BOTH
async def test_what_a_time_limit_stopped_goes_on_after_a_retry(works: Works, where: str, tmp_path: Path) -> None:
    marker = tmp_path / "began"
    async with works.running():
        hang = step(where, "hang", settings={"marker": str(marker)})
        manager_id = await works.start(hang, step(where, "a", name="two", depends=("one",)), timeout=3600.0)
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        for _ in range(2):  # the handler that was told to stop may still be there when its item begins again
            await works.write(time_out, manager_id, 3600.0)
            await works.write(retry, Again(manager_id), "retried by a person")
            await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        await works.write(cancel, manager_id, "enough")
        after = await works.ended(await works.start(step(where, "a"), definition="next"))
        assert after.status is Status.COMPLETED


async def test_an_attempt_that_does_not_stop_does_not_take_the_next_one_along(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind = asyncio.Event()
    leave_behind = LoopWork._leave_behind

    def leave(self: LoopWork, running: _Running) -> None:
        leave_behind(self, running)
        left_behind.set()

    monkeypatch.setattr(LoopWork, "_leave_behind", leave)
    async with works.running() as runner:
        manager_id = await works.start(step("on_loop", "stubborn"), timeout=3600.0)
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        await works.write(time_out, manager_id, 3600.0)
        await works.write(retry, Again(manager_id), "retried by a person")
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        await asyncio.wait_for(left_behind.wait(), PATIENCE)
        assert runner._loop_work.running == 1
        monkeypatch.setattr(patience, "STOP_GRACE", 0.05)


async def test_a_deleted_run_is_swept_away_in_batches(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete_run, "__defaults__", (2,))
    async with works.running():
        run = await works.ended(await works.start(step("on_loop", "a", "b", "log c", "log d")))
        assert await works.write(delete_run, run.id)
        await works.write(deletions_begun)
        while await works.write(deletions_begun):
            pass
        assert _rows(works, "worker_job") == 0


async def test_a_deletion_that_the_last_owner_began_is_ended_at_the_next_start(works: Works) -> None:
    run = await works.run_to_end(step("on_loop", "a", "b", "c"))
    assert await works.write(delete_run, run.id, 1)
    assert _rows(works, "worker_job") > 0
    async with works.running():
        while await works.write(deletions_begun):
            pass
    assert _rows(works, "worker_job") == _rows(works, "manager_job") == 0


async def test_a_runner_without_slots_runs_nothing(works: Works) -> None:
    async with works.running(slots=0):
        manager_id = await works.start(step("on_loop", "a"))
        assert works.run(manager_id).status is Status.PENDING
    run = await works.run_to_end(step("on_loop", "b"), definition="second")
    assert run.status is Status.COMPLETED
    async with works.running():
        assert (await works.ended(manager_id)).status is Status.COMPLETED


def _items_of(manager_id: int, step_name: str) -> JobFilter:
    return JobFilter(kind=Kind.WORKER, manager_id=manager_id, step_name=step_name)


async def test_a_worker_process_ends_with_its_parent_whatever_it_is_at(tmp_path: Path) -> None:
    worker = await WorkerProcess.start()
    items = [frames.Item(1, "log", None, 1), frames.Item(2, "hang", None, 1)]
    place = "tests.work.trial_steps:InProcess"
    worker.send(frames.Task(place, 1, 1, {"marker": str(tmp_path / "began")}, {}, "path:unused", False, items))
    assert isinstance((await worker.frames())[-1], frames.Ended)  # and now it hangs
    worker._writer.close()  # as the end of this process would
    assert await asyncio.wait_for(worker._process.wait(), PATIENCE) == -signal.SIGKILL


async def test_a_worker_process_given_up_while_it_starts_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def created(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await create(*command, **options)
        started.append(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", created)
    for steps in range(16):  # of the event loop, until it is given up
        start = asyncio.create_task(WorkerProcess.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
    assert started, "the last ones were given up after the process was there"
    assert all(process.returncode is not None for process in started)
