"""What a retry does, and what it leaves alone, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue import audit
from app.queue.changes import RunChanged, StepReleased, WorkAdded
from app.queue.run_plan import FailureAction, OnError, StepPlan, Tolerance
from app.queue.status import Status
from app.queue.store.cancel import cancel
from app.queue.store.claim import claim, release, rescue
from app.queue.store.deadlines import time_out
from app.queue.store.delete import delete_run
from app.queue.store.failure_groups import MOST_GROUPS, OTHER
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan
from app.queue.store.retry import Again, NothingToRetry, Retried, retry
from app.queue.store.start import AlreadyRunning
from tests.queue.conftest import Queue

ONE = StepPlan("one", "trial")
TWO = StepPlan("two", "trial", depends=("one",))
THREE = StepPlan("three", "trial", depends=("two",))


async def again(queue: Queue, manager_id: int, **what: Any) -> Retried:
    done = await queue.write(retry, Again(manager_id, **what), "retried by a person")
    assert audit.check(queue.database) == []
    return done


def statuses(queue: Queue, manager_id: int) -> list[Status]:
    run = queue.run(manager_id)
    return [run.status, *(step.status for step in run.steps)]


async def test_what_failed_runs_again_and_what_succeeded_does_not(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO, THREE)
    (step_id,) = await queue.plan_all("a", "b", "c")
    a, b, c = await queue.claim(step_id)
    await queue.complete(b, c, result="kept")
    await queue.fail(a)
    (two,) = await queue.plan_all("d")
    await queue.fail(*await queue.claim(two))
    assert statuses(queue, manager_id) == ["failed", "completed", "failed", "skipped"]
    assert await again(queue, manager_id) == Retried(2, ["one", "two", "three"])
    assert statuses(queue, manager_id) == ["running", "running", "running", "pending"]
    assert queue.step(manager_id, "three").reason == "waiting for step two"
    items = await queue.claim(step_id)
    assert [(item.name, item.attempt) for item in items] == [("a", 2)]
    await queue.complete(*items, *await queue.claim(two))
    (three,) = await queue.plan_all("e")
    await queue.complete(*await queue.claim(three))
    assert statuses(queue, manager_id) == ["completed"] * 4
    assert queue.run(manager_id).counts == (0, 0, 5, 0, 0, 0)
    assert queue.read(lambda snapshot: snapshot.item(b.id)).result == "kept"


async def test_attempts_are_kept_side_by_side(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    for error in ("first", "second"):
        (item,) = await queue.claim(step_id)
        await queue.fail(item, error=error)
        await again(queue, manager_id, step_id=step_id, worker_id=item.id)
    waiting = queue.read(lambda snapshot: snapshot.item(item.id))
    assert (waiting.job.status, waiting.job.reason, waiting.job.error) == ("pending", "retried by a person", None)
    (item,) = await queue.claim(step_id)
    await queue.complete(item)
    attempts = queue.read(lambda snapshot: snapshot.item(item.id)).attempts
    assert [(each.number, each.status, each.error) for each in attempts] == [
        (3, "completed", None),
        (2, "failed", "second"),
        (1, "failed", "first"),
    ]
    assert all(each.claimed_by and each.started_at and each.finished_at for each in attempts)


async def test_one_item_is_retried_alone(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b", "c")
    items = await queue.claim(step_id)
    await queue.fail(*items)
    assert (await again(queue, manager_id, step_id=step_id, worker_id=items[1].id)).items == 1
    assert queue.step(manager_id, "one").counts == (1, 0, 0, 2, 0, 0)
    (group,) = queue.read(lambda snapshot: snapshot.failures(manager_id, 5))
    assert (group.count, group.first.name, group.last.name) == (2, "a", "c")
    last = queue.read(lambda snapshot: snapshot.log_lines(step_id, 1, 99))[-1]
    assert (last.message, last.worker_name) == ("retried by a person: 1 work item runs again", "b")


async def test_the_examples_of_a_group_are_those_that_are_left(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b", "c", "d")
    items = await queue.claim(step_id)
    await queue.fail(*items)
    for gone in (items[0], items[3]):
        await again(queue, manager_id, step_id=step_id, worker_id=gone.id)
    (group,) = queue.read(lambda snapshot: snapshot.failures(manager_id, 5))
    assert (group.count, group.first.name, group.last.name) == (2, "b", "c")


async def test_one_failure_group_is_retried(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b", "c")
    a, b, c = await queue.claim(step_id)
    await queue.fail(a, error="no file 1")
    await queue.fail(b, error="refused")
    await queue.fail(c, error="no file 2")
    pattern = "no file <n>"
    assert await again(queue, manager_id, step_id=step_id, pattern=pattern) == Retried(2, ["one", "two"])
    assert [item.name for item in await queue.claim(step_id)] == ["a", "c"]
    (group,) = queue.read(lambda snapshot: snapshot.failures(manager_id, 5))
    assert (group.pattern, group.count) == ("refused", 1)


async def test_failures_that_are_grouped_as_others_are_retried_together(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    words = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(MOST_GROUPS + 3)]
    (step_id,) = await queue.plan_all(*words)
    for item in await queue.claim(step_id, 1000):
        await queue.fail(item, error=f"no {item.name}")
    assert (await again(queue, manager_id, step_id=step_id, pattern=OTHER)).items == 3
    items = await queue.claim(step_id)
    assert [item.name for item in items] == words[-3:]
    await queue.fail(*items, error=f"no {words[0]}")
    assert (await again(queue, manager_id, step_id=step_id, pattern=f"no {words[0]}")).items == 4


async def test_a_retry_goes_on_with_what_too_many_failures_had_stopped(queue: Queue) -> None:
    tolerance = Tolerance(0, FailureAction.STOP_ALL)
    other = StepPlan("other", "trial", depends=())
    manager_id = await queue.start(ONE, TWO, other, tolerance=tolerance)
    one, other_id = await queue.plan_all("a", "b")
    (a,) = await queue.claim(one, 1)
    (running,) = await queue.claim(other_id, 1)
    await queue.fail(a)
    assert statuses(queue, manager_id) == ["failed", "failed", "skipped", "cancelled"]
    assert await again(queue, manager_id, step_id=one) == Retried(4, ["one", "two", "other"])
    assert statuses(queue, manager_id) == ["running", "running", "pending", "running"]
    await queue.complete(running)  # the attempt that was stopped comes too late
    assert queue.run(manager_id).counts == (4, 0, 0, 0, 0, 0)
    await queue.complete(*await queue.claim(one), *await queue.claim(other_id))
    attempts = queue.read(lambda snapshot: snapshot.item(running.id)).attempts
    assert [(each.number, each.status, each.error) for each in attempts] == [
        (2, "completed", None),
        (1, "cancelled", None),
    ]
    await queue.plan_all()
    assert statuses(queue, manager_id) == ["completed"] * 4


async def test_what_a_person_cancelled_stays_cancelled_unless_asked_for(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b")
    (a,) = await queue.claim(step_id, 1)
    await queue.fail(a)
    await queue.write(cancel, manager_id, "cancelled by a person")
    assert await again(queue, manager_id) == Retried(1, ["one"])
    await queue.complete(*await queue.claim(step_id))
    assert statuses(queue, manager_id) == ["completed", "completed", "cancelled"]
    assert await again(queue, manager_id, cancelled=True) == Retried(1, ["one", "two"])
    assert [item.name for item in await queue.claim(step_id)] == ["b"]
    assert statuses(queue, manager_id) == ["running", "running", "pending"]


async def test_a_run_cancelled_before_it_began_waits_again(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    await queue.write(cancel, manager_id, "cancelled by a person")
    with pytest.raises(NothingToRetry):
        await again(queue, manager_id)
    assert await again(queue, manager_id, cancelled=True) == Retried(0, ["one"])
    run = queue.run(manager_id)
    assert (run.status, run.reason, run.steps[0].reason) == (
        "pending",
        "waiting for a free slot",
        "waiting for a free slot",
    )
    assert await queue.plan_all("a")


async def test_planning_that_failed_is_done_again(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (claimed,) = await queue.write(claim_plans, 5)
    step_id = claimed.step.step_id
    await queue.write(plan, step_id, claimed.attempt, [NewItem("a")])
    await queue.write(fail_planning, step_id, claimed.attempt, "no such folder")
    assert await again(queue, manager_id) == Retried(1, ["one", "two"])
    assert StepReleased(step_id) in queue.commits[-1].changes
    assert not await queue.write(plan, step_id, claimed.attempt, [NewItem("late")])
    await queue.write(end_planning, step_id, claimed.attempt)
    await queue.plan_all("a", "b")
    assert queue.step(manager_id, "one").counts == (2, 0, 0, 0, 0, 0)


async def test_a_planner_that_was_stopped_ends_nothing_after_a_retry(queue: Queue) -> None:
    manager_id = await queue.start(ONE, timeout=5.0)
    (claimed,) = await queue.write(claim_plans, 5)
    await queue.write(time_out, manager_id, 5.0)
    await again(queue, manager_id)
    await queue.write(end_planning, claimed.step.step_id, claimed.attempt)
    assert statuses(queue, manager_id) == ["running", "running"]


async def test_a_run_that_took_too_long_gets_its_whole_time_again(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO, timeout=60.0)
    (step_id,) = await queue.plan_all("a")
    await queue.claim(step_id)
    began = queue.run(manager_id).started_at
    await queue.write(time_out, manager_id, 60.0)
    assert await again(queue, manager_id) == Retried(1, ["one", "two"])
    run = queue.run(manager_id)
    assert began is not None and run.started_at is not None and run.started_at > began
    assert run.finished_at is None


async def test_steps_that_another_failure_bars_stay_skipped(queue: Queue) -> None:
    other = StepPlan("other", "trial", depends=())
    after = StepPlan("after", "trial", depends=("other",))
    manager_id = await queue.start(ONE, TWO, other, after)
    for step_id in await queue.plan_all("a"):
        await queue.fail(*await queue.claim(step_id))
    lines = queue.step(manager_id, "after").log_count
    one = queue.step(manager_id, "one").id
    assert await again(queue, manager_id, step_id=one) == Retried(1, ["one", "two"])
    assert statuses(queue, manager_id) == ["running", "running", "pending", "failed", "skipped"]
    assert queue.step(manager_id, "after").log_count == lines


async def test_a_step_that_bore_its_failures_is_reopened(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b")
    a, b = await queue.claim(step_id)
    await queue.fail(a)
    await queue.complete(b)
    (two,) = await queue.plan_all("c")
    await queue.complete(*await queue.claim(two))
    assert await again(queue, manager_id) == Retried(1, ["one"])
    assert statuses(queue, manager_id) == ["running", "running", "completed"]
    await queue.complete(*await queue.claim(step_id))
    assert statuses(queue, manager_id) == ["completed"] * 3


async def test_a_failure_is_retried_while_its_step_goes_on(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    await queue.fail((await queue.claim(step_id))[0])
    assert await again(queue, manager_id) == Retried(1, [])
    assert queue.step(manager_id, "one").counts == (1, 1, 0, 0, 0, 0)
    assert WorkAdded(step_id, 0.0) in queue.commits[-1].changes


async def test_who_retried_is_told_in_the_log(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b")
    await queue.fail(*await queue.claim(step_id))
    await again(queue, manager_id)
    assert RunChanged(manager_id, Status.RUNNING) in queue.commits[-1].changes
    two = queue.step(manager_id, "two")
    for of, said in ((step_id, "2 work items run again"), (two.id, "the step is evaluated again")):
        last = queue.read(lambda snapshot: snapshot.log_lines(of, 1, 99))[-1]  # noqa: B023
        assert last.message == f"retried by a person: {said}"


async def test_there_is_nothing_to_retry_twice(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    with pytest.raises(NothingToRetry):
        await again(queue, manager_id)
    await queue.fail(item)
    await again(queue, manager_id)
    before = len(queue.commits)
    for what in ({}, {"step_id": step_id}, {"step_id": step_id, "worker_id": item.id}, {"pattern": "boom"}):
        with pytest.raises(NothingToRetry, match="left as it is"):
            await again(queue, manager_id, **what)
    assert len(queue.commits) == before


async def test_a_work_item_of_another_run_is_not_retried(queue: Queue) -> None:
    for definition in ("x", "y"):
        manager_id = await queue.start(ONE, definition=definition)
        (step_id,) = await queue.plan_all("a")
        (item,) = await queue.claim(step_id)
        await queue.fail(item)
    with pytest.raises(NothingToRetry):
        await again(queue, manager_id - 3, step_id=step_id, worker_id=item.id)


async def test_a_retried_item_counts_only_the_attempts_that_were_lost(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial", on_error=OnError.FAIL))
    (step_id,) = await queue.plan_all("a")
    for _ in range(3):
        await queue.fail(*await queue.claim(step_id))
        await again(queue, manager_id)
    for _ in range(2):
        await queue.claim(step_id)
        await queue.write(rescue)
        assert queue.step(manager_id, "one").counts.pending == 1
    (item,) = await queue.claim(step_id)
    await queue.write(release, step_id, [(item.id, item.attempt)])
    assert (await queue.write(claim, {step_id: 1})).items[0].attempt == 6
    await queue.write(rescue)
    assert queue.read(lambda snapshot: snapshot.job(item.id)).error.startswith("lost 3 times")


async def test_a_retry_waits_for_another_run_of_a_definition_that_runs_once_at_a_time(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*await queue.claim(step_id))
    other = await queue.start(ONE)
    with pytest.raises(AlreadyRunning) as refusal:
        await queue.write(retry, Again(manager_id), "retried by a person", 1)
    assert refusal.value.manager_id == other
    assert statuses(queue, manager_id) == ["failed", "failed"]
    assert await queue.write(retry, Again(manager_id), "retried by a person", 2)


async def test_a_run_that_is_being_deleted_is_not_retried(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    await queue.fail(*await queue.claim(step_id))
    assert await queue.write(delete_run, manager_id, 1)
    with pytest.raises(NothingToRetry):
        await again(queue, manager_id)
