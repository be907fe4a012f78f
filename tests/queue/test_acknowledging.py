"""Open failures, and what closes them, on SQLite and on PostgreSQL alike. Every test ends with a sound audit."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.models import Kind
from app.queue.run_plan import StepPlan
from app.queue.snapshot import JobFilter
from app.queue.store.acknowledge import Failures, acknowledge_as, reopen_as
from app.queue.store.delete import delete_run
from app.queue.store.plan import claim_plans, fail_planning
from app.queue.store.retry import Again, retry
from tests.queue.conftest import Queue

ONE, TWO = StepPlan("one", "trial"), StepPlan("two", "trial")
ANN = Actor(Place.PAGE, "ann")


async def acknowledged(queue: Queue, meant: Failures, note: str = "") -> int:
    job_id = (meant.worker_ids or (meant.step_id,))[0] or meant.manager_id
    done = await queue.write(acknowledge_as, meant, job_id, note, ANN)
    assert audit.check(queue.database) == []
    return done


def open_numbers(queue: Queue, manager_id: int) -> tuple[int, int, int, list[str]]:
    """All there are, those of the run, those in the list behind them, and their names."""

    def reading(snapshot: Any) -> tuple[int, int, int, list[str]]:
        page = snapshot.jobs(JobFilter(manager_id=manager_id, open=True), 100)
        assert [job.open_failures for job in page.jobs] == [1] * len(page.jobs)
        number = snapshot.run(manager_id).open_failures
        return snapshot.statistics().open_failures, number, page.total, [job.name for job in page.jobs]

    found: tuple[int, int, int, list[str]] = queue.read(reading)
    return found


async def failed_run(queue: Queue) -> tuple[int, int, list[Any]]:
    """Of a run that is over, work items of which two failed alike and one otherwise; one did not."""
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b", "c", "d")
    items = await queue.claim(step_id)
    await queue.fail(items[0], error="no file 1")
    await queue.fail(items[1], error="no file 2")
    await queue.fail(items[2], error="refused")
    await queue.complete(items[3])
    return manager_id, step_id, items


async def test_open_failures_can_reach_zero(queue: Queue) -> None:
    manager_id, step_id, items = await failed_run(queue)
    assert open_numbers(queue, manager_id) == (3, 3, 3, ["a", "b", "c"])
    assert await acknowledged(queue, Failures(manager_id, step_id, (items[1].id,)), "known \0") == 1
    assert open_numbers(queue, manager_id) == (2, 2, 2, ["a", "c"])
    assert await acknowledged(queue, Failures(manager_id, step_id, pattern="refused")) == 1
    assert await acknowledged(queue, Failures(manager_id)) == 1
    assert open_numbers(queue, manager_id) == (0, 0, 0, [])
    assert await acknowledged(queue, Failures(manager_id)) == 0  # asked for twice, it is done once
    assert queue.run(manager_id).counts.failed == 3  # they stay failed
    said = queue.read(lambda snapshot: snapshot.job(items[1].id).acknowledgement)
    assert (said.who, said.note) == ("ann", "known ␀")
    done = [(each.who, each.verb) for each in queue.read(lambda snapshot: snapshot.actions(manager_id, 9))]
    assert done == [("ann", "acknowledge")] * 3


async def test_a_failure_that_nobody_has_seen_stays_open(queue: Queue) -> None:
    manager_id, _, items = await failed_run(queue)
    seen = queue.read(lambda snapshot: snapshot.job(items[1].id).finished_at)
    assert await acknowledged(queue, Failures(manager_id, until=seen)) == 2
    assert open_numbers(queue, manager_id)[3] == ["c"]


async def test_a_group_says_how_many_of_it_are_open_and_who_closed_the_others(queue: Queue) -> None:
    manager_id, step_id, items = await failed_run(queue)
    await acknowledged(queue, Failures(manager_id, step_id, (items[0].id,)), "known")
    groups = queue.read(lambda snapshot: snapshot.failures(manager_id, 9))
    assert [(group.pattern, group.open, group.acknowledged) for group in groups] == [
        ("refused", 1, 0),
        ("no file <n>", 1, 1),
    ]
    assert (groups[0].acknowledgement, groups[1].acknowledgement.note) == (None, "known")
    of_group = JobFilter(Kind.WORKER, manager_id=manager_id, failure="no file <n>", open=True)
    page = queue.read(lambda snapshot: snapshot.jobs(of_group, 9))
    assert (page.total, [job.name for job in page.jobs]) == (1, ["b"])


@pytest.mark.parametrize("whole", [True, False])
async def test_a_retry_closes_a_failure_and_another_failure_opens_it(queue: Queue, whole: bool) -> None:
    manager_id, step_id, items = await failed_run(queue)
    await acknowledged(queue, Failures(manager_id, step_id, (items[0].id,)))
    again = Again(manager_id) if whole else Again(manager_id, step_id, worker_ids=(items[0].id, items[2].id))
    await queue.write(retry, again, "retried by a person")
    assert audit.check(queue.database) == []
    left = [] if whole else ["b"]
    assert open_numbers(queue, manager_id)[3] == left
    first, *others = await queue.claim(step_id)
    await queue.fail(first, error="no file 3")
    assert open_numbers(queue, manager_id)[3] == [first.name, *left]
    assert queue.read(lambda snapshot: snapshot.job(first.id).acknowledgement) is None
    await queue.complete(*others)
    assert open_numbers(queue, manager_id)[1] == 1 + len(left)


async def test_an_acknowledgement_is_taken_back(queue: Queue) -> None:
    manager_id, step_id, _ = await failed_run(queue)
    await acknowledged(queue, Failures(manager_id))
    assert await queue.write(reopen_as, Failures(manager_id, step_id, pattern="no file <n>"), step_id, ANN) == 2
    assert open_numbers(queue, manager_id)[3] == ["a", "b"]
    assert await queue.write(reopen_as, Failures(manager_id), manager_id, ANN) == 1
    assert await queue.write(reopen_as, Failures(manager_id), manager_id, ANN) == 0
    assert open_numbers(queue, manager_id)[:3] == (3, 3, 3)


async def test_a_planning_that_failed_is_an_open_failure_of_its_step(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (claimed,) = await queue.write(claim_plans, 1)
    await queue.write(fail_planning, claimed.step.step_id, claimed.attempt, "no such folder")
    assert open_numbers(queue, manager_id) == (1, 1, 1, ["one"])
    await acknowledged(queue, Failures(manager_id, claimed.step.step_id), "moved")
    assert open_numbers(queue, manager_id) == (0, 0, 0, [])
    assert queue.step(manager_id, "one").acknowledgement.note == "moved"  # type: ignore[union-attr]
    await queue.write(reopen_as, Failures(manager_id), manager_id, ANN)
    assert open_numbers(queue, manager_id)[2] == 1
    await queue.write(retry, Again(manager_id), "retried by a person")
    assert open_numbers(queue, manager_id) == (0, 0, 0, [])


async def test_what_is_being_deleted_has_no_open_failures(queue: Queue) -> None:
    manager_id, *_ = await failed_run(queue)
    assert await queue.write(delete_run, manager_id, 1)
    assert queue.read(lambda snapshot: snapshot.statistics().open_failures) == 0
    assert await queue.write(acknowledge_as, Failures(manager_id), manager_id, "", ANN) == 0
