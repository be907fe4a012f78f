"""Attempts of work that really runs: processes that are killed, delays that are asked for, steps that take too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from app.queue.actor import Actor, Place
from app.queue.pauses import Scope
from app.queue.run_plan import OnError, Retry
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.deadlines import end_overdue
from app.queue.store.pause import pause_as, resume_as
from app.queue.tables import manager_job
from app.queue.writer import Transaction
from tests.work.conftest import Works
from tests.work.test_runner import BOTH, step

AT_ONCE = Retry(attempts=3, first_delay=0.0)


async def test_an_item_that_kills_its_process_every_time_fails_by_itself(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.work.runner.default_size", lambda slots: 1)  # all share one process
    run = await works.run_to_end(step("in_process", "a", "kill", "b", "c", "log d", retry=AT_ONCE))
    jobs = works.read(lambda snapshot: snapshot.jobs(JobFilter(kind="worker"), 10)).jobs
    failed = {job.name: job.error for job in jobs if job.status is Status.FAILED}
    assert failed == {"kill": "its process was killed by signal 9 (SIGKILL) 3 times, in 3 attempts"}
    neighbours = {job.name: job.attempt for job in jobs if job.status is Status.COMPLETED}
    assert neighbours == {"a": 1, "b": 1, "c": 1, "log d": 1}, "none of them has spent an attempt"
    (poison,) = [job for job in jobs if job.name == "kill"]
    kept = works.read(lambda snapshot: snapshot.item(poison.id)).attempts
    assert [each.error for each in kept[1:]] == ["its process was killed by signal 9 (SIGKILL)"] * 2
    assert run.counts.completed == 4


@BOTH
async def test_an_item_that_was_asked_to_wait_is_not_tried_before(works: Works, where: str) -> None:
    async with works.running():
        manager_id = await works.start(step(where, "busy", "a", retry=AT_ONCE))
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.completed == 1)
        jobs = works.read(lambda snapshot: snapshot.jobs(JobFilter(kind="worker", status=Status.PENDING), 10)).jobs
        (job,) = jobs
        assert job.reason.startswith("retries after 3,600 s as it was asked to, attempt 2 of 3")
        page = works.read(lambda snapshot: snapshot.item(jobs[0].id))
        assert page.attempts[0].error == "PassingError: come back later"


@BOTH
async def test_a_step_that_takes_too_long_is_ended_and_the_run_goes_on(
    works: Works, where: str, tmp_path: Path
) -> None:
    hang = step(
        where, "hang", "a", step_timeout=0.5, on_error=OnError.CONTINUE, settings={"marker": str(tmp_path / "began")}
    )
    run = await works.run_to_end(hang, step(where, "b", name="two", depends=("one",)))
    assert run.steps[0].reason == "the step took longer than its step_timeout of 0.5 s"
    assert [each.status for each in run.steps] == [Status.FAILED, Status.COMPLETED]
    assert run.status is Status.COMPLETED


async def test_a_time_limit_that_a_pause_held_up_ends_the_run_after_it_is_resumed(works: Works, tmp_path: Path) -> None:
    def two_hours_pass(transaction: Transaction) -> None:
        transaction.connection.execute(update(manager_job).values(deadline=manager_job.c.deadline - 7200))

    async with works.running():
        hang = step("on_loop", "hang", settings={"marker": str(tmp_path / "began")})
        manager_id = await works.start(hang, timeout=3600.0)
        await works.until(lambda snapshot: snapshot.run(manager_id).counts.running == 1)
        run, ann = Scope(manager_id=manager_id), Actor(Place.API)
        await works.write(pause_as, run, ann)
        await works.write(two_hours_pass)
        assert await works.write(end_overdue, manager_id) is None
        assert works.run(manager_id).status is Status.RUNNING
        await works.write(resume_as, run, ann)
        assert (await works.ended(manager_id)).reason == "the run took longer than its timeout of 3600 s"
