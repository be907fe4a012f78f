"""Attempts: when work is tried again, what is kept of each try, and time limits that do not go on during a pause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from app.queue.actor import Actor, Place
from app.queue.database import Database
from app.queue.pauses import QUEUE, Scope
from app.queue.records import AttemptRecord
from app.queue.rerun_reading import plan_of
from app.queue.run_plan import OnError, Retry, StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.cancel import cancel_item
from app.queue.store.claim import ClaimedItem, Deadline, rescue
from app.queue.store.deadlines import end_overdue
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.retry import Again, retry
from app.queue.tables import step_job
from app.queue.writer import Transaction
from tests.queue.conftest import Queue

ANN = Actor(Place.PAGE, "ann")
AT_ONCE = Retry(attempts=3, first_delay=0.0)
DIED = "its process was killed by signal 9 (SIGKILL)"


class Clock:
    """What the store takes for the time."""

    def __init__(self) -> None:
        self.now = 1_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(Database, "begun_at", lambda *_: clock.now)
    return clock


async def planned(queue: Queue, *names: str, limit: float | None = None, **step: Any) -> tuple[int, int]:
    manager_id = await queue.start(StepPlan("one", "trial", **step), timeout=limit)
    (step_id,) = await queue.plan_all(*names)
    return manager_id, step_id


async def say(queue: Queue, item: ClaimedItem, *messages: str, level: str = "info") -> None:
    await queue.write(log, [Line(item.step_id, item.id, 0.0, level, message) for message in messages])


def attempts(queue: Queue, worker_id: int) -> tuple[AttemptRecord, ...]:
    found: tuple[AttemptRecord, ...] = queue.read(lambda snapshot: snapshot.item(worker_id)).attempts
    return found


def said(attempt: AttemptRecord) -> list[str]:
    return [line.message for line in attempt.lines]


async def test_an_item_waits_longer_each_time_until_its_attempts_are_spent(
    queue: Queue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.store.finish.chance", lambda: 0.5)
    rule = Retry(attempts=4, first_delay=10.0, factor=3.0, longest_delay=50.0, jitter=0.4)
    _, step_id = await planned(queue, "a", retry=rule)
    for number, delay in enumerate((8.0, 24.0, 40.0), start=2):
        (item,) = await queue.claim(step_id)
        await queue.fail(item)
        job = queue.read(lambda snapshot, item=item: snapshot.job(item.id))
        assert (job.reason, job.due_at) == (f"retries after {delay:g} s, attempt {number} of 4", clock.now + delay)
        clock.now += delay - 0.5
        assert await queue.claim(step_id) == []
        clock.now += 0.5
    await queue.fail(*await queue.claim(step_id))
    assert queue.read(lambda snapshot: snapshot.job(item.id)).status is Status.FAILED


async def test_what_asks_for_more_patience_gets_it(queue: Queue, clock: Clock) -> None:
    _, step_id = await planned(queue, "a", retry=AT_ONCE)
    (item,) = await queue.claim(step_id)
    await queue.write(finish, step_id, [Ending(item.id, item.attempt, error="503", retry_after=90.0)])
    job = queue.read(lambda snapshot: snapshot.job(item.id))
    assert (job.reason, job.due_at) == ("retries after 90 s as it was asked to, attempt 2 of 3", clock.now + 90.0)


async def test_a_run_keeps_what_it_was_started_with(queue: Queue) -> None:
    rule = Retry(attempts=7, first_delay=0.5, factor=1.5, longest_delay=3.0, jitter=1.0)
    plan = StepPlan("one", "trial", retry=rule, timeout=5.0, step_timeout=60.0)
    manager_id = await queue.start(plan)
    with queue.database.read() as connection:
        again = plan_of(connection, manager_id)
    assert again is not None
    assert again.steps == (plan,)


@pytest.mark.parametrize(("on_error", "pending"), [(OnError.RETRY, 1), (OnError.FAIL, 0)])
async def test_a_step_from_before_there_was_a_rule_goes_by_on_error(
    queue: Queue, on_error: OnError, pending: int
) -> None:
    def forget_the_rule(transaction: Transaction) -> None:
        transaction.connection.execute(update(step_job).values(retry=None))

    manager_id, step_id = await planned(queue, "a", on_error=on_error)
    await queue.write(forget_the_rule)
    await queue.fail(*await queue.claim(step_id))
    assert queue.step(manager_id, "one").counts.pending == pending


async def test_each_attempt_is_kept_with_the_last_lines_that_it_said(queue: Queue) -> None:
    manager_id, step_id = await planned(queue, "a", "b", retry=Retry(attempts=2, first_delay=0.0))
    first, other = await queue.claim(step_id)
    await say(queue, first, *(f"first {number}" for number in range(20)))
    await say(queue, first, "between ourselves", level="debug")
    await say(queue, other, "something else")
    await queue.fail(first, error="no luck")
    (second,) = await queue.claim(step_id)
    await say(queue, second, "second")
    await queue.fail(second, error="no luck either")
    await queue.write(retry, Again(manager_id), "retried by ann")
    (third,) = await queue.claim(step_id)
    await say(queue, third, "third")
    await queue.write(cancel_item, third.id, "cancelled by ann")
    await queue.write(retry, Again(manager_id, cancelled=True), "retried by ann")
    (fourth,) = await queue.claim(step_id)
    await say(queue, fourth, "fourth")
    kept = attempts(queue, first.id)
    assert [(each.number, each.status, each.error) for each in kept] == [
        (4, Status.RUNNING, None),
        (3, Status.CANCELLED, None),
        (2, Status.FAILED, "no luck either"),
        (1, Status.FAILED, "no luck"),
    ]
    assert said(kept[0]) == ["fourth"]
    assert said(kept[1]) == ["third", "a cancelled by ann"]
    assert said(kept[2]) == ["second", "a failed: no luck either"]
    assert said(kept[3]) == [
        *(f"first {number}" for number in range(11, 20)),
        "a failed: no luck (retries after 0 s, attempt 2 of 2)",
    ]


async def test_an_attempt_that_is_lost_with_its_server_is_kept_and_the_third_is_the_last(queue: Queue) -> None:
    manager_id, step_id = await planned(queue, "poison", "neighbour")
    for number in (1, 2, 3):
        (item,) = await queue.claim(step_id, 1)
        await say(queue, item, f"try {number}")
        await queue.write(rescue)
    job = queue.read(lambda snapshot: snapshot.job(item.id))
    assert (job.name, job.status) == ("poison", Status.FAILED)
    assert job.error == "lost 3 times: each time the server ended while it ran"
    kept = attempts(queue, item.id)
    assert [(each.number, each.error) for each in kept[1:]] == [
        (2, "lost: the server ended while it ran"),
        (1, "lost: the server ended while it ran"),
    ]
    assert [said(each)[0] for each in kept] == ["try 3", "try 2", "try 1"]
    (neighbour,) = await queue.claim(step_id)
    assert neighbour.attempt == 1
    await queue.complete(neighbour)
    assert queue.run(manager_id).status is Status.COMPLETED


async def test_an_item_that_ends_its_process_says_how_often(queue: Queue) -> None:
    _, step_id = await planned(queue, "a", retry=Retry(attempts=4, first_delay=0.0))
    for died in (True, False, True, True):
        (item,) = await queue.claim(step_id)
        ending = Ending(item.id, item.attempt, error=DIED if died else "something else", died=died)
        await queue.write(finish, step_id, [ending])
    assert queue.read(lambda snapshot: snapshot.job(item.id)).error == f"{DIED} 3 times, in 4 attempts"


# --- Time limits ------------------------------------------------------------------------------------------------------


async def test_a_step_beyond_its_time_fails_with_what_waits_and_runs_and_gets_it_anew_by_a_retry(
    queue: Queue, clock: Clock
) -> None:
    steps = (
        StepPlan("one", "trial", step_timeout=60.0, on_error=OnError.CONTINUE),
        StepPlan("two", "trial", depends=("one",)),
    )
    manager_id = await queue.start(*steps)
    (step_id,) = await queue.plan_all("a", "b", "c")
    first, _ = await queue.claim(step_id, 2)
    await queue.complete(first)
    clock.now += 59.0
    assert await queue.write(end_overdue, manager_id) == Deadline(clock.now + 1.0, 60.0)
    clock.now += 1.0
    assert await queue.write(end_overdue, manager_id) is None
    step = queue.step(manager_id, "one")
    assert (step.status, step.reason) == (Status.FAILED, "the step took longer than its step_timeout of 60 s")
    assert (step.counts.completed, step.counts.cancelled) == (1, 2)
    assert queue.step(manager_id, "two").status is Status.PENDING, "on_error says that the run goes on"
    await queue.write(retry, Again(manager_id), "retried by ann")
    assert queue.step(manager_id, "one").counts.pending == 2
    assert await queue.write(end_overdue, manager_id) == Deadline(clock.now + 60.0, 60.0)


async def test_a_run_is_ended_when_its_time_is_over(queue: Queue, clock: Clock) -> None:
    manager_id, _ = await planned(queue, "a", limit=60.0, step_timeout=3600.0)
    assert await queue.write(end_overdue, manager_id) == Deadline(clock.now + 60.0, 60.0)
    clock.now += 60.0
    await queue.write(end_overdue, manager_id)
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.FAILED, "the run took longer than its timeout of 60 s")
    assert await queue.write(end_overdue, manager_id) is None


RUN, DEFINITION = Scope(manager_id=1), Scope("trial")


@pytest.mark.parametrize(
    ("moves", "paused"),
    [
        ([(10, "pause", RUN), (1000, "resume", RUN)], 1000),
        ([(10, "pause", RUN), (100, "pause", QUEUE), (20, "resume", RUN), (300, "resume", QUEUE)], 420),
        ([(10, "pause", QUEUE), (100, "pause", RUN), (20, "resume", RUN), (300, "resume", QUEUE)], 420),
        ([(10, "pause", RUN), (50, "resume", RUN), (5, "pause", DEFINITION), (70, "resume", DEFINITION)], 120),
        ([(0, "pause", RUN), (7, "pause", DEFINITION), (7, "pause", QUEUE), (7, "resume", DEFINITION),
          (7, "resume", RUN), (7, "resume", QUEUE)], 35),
    ],
)  # fmt: skip
async def test_what_a_run_is_paused_for_does_not_count(
    queue: Queue, clock: Clock, moves: list[tuple[float, str, Scope]], paused: float
) -> None:
    manager_id, _ = await planned(queue, "a", limit=100.0, step_timeout=90.0)
    began = clock.now
    for seconds, verb, scope in moves:
        clock.now += seconds
        scope = replace(scope, manager_id=manager_id) if scope.manager_id else scope
        await queue.write(pause_as if verb == "pause" else resume_as, scope, ANN)
        if verb == "pause":
            clock.now += 1e6
            assert await queue.write(end_overdue, manager_id) is None, "nothing ends while it is paused"
            clock.now -= 1e6
    assert await queue.write(end_overdue, manager_id) == Deadline(began + 90.0 + paused, 90.0)
    clock.now = began + 100.0 + paused
    await queue.write(end_overdue, manager_id)
    assert queue.run(manager_id).status is Status.FAILED


async def test_a_run_that_has_not_begun_has_its_whole_time_when_it_is_resumed(queue: Queue, clock: Clock) -> None:
    await queue.write(pause_as, QUEUE, ANN)
    manager_id = await queue.start(StepPlan("one", "trial"), timeout=100.0)
    clock.now += 1000.0
    await queue.write(resume_as, QUEUE, ANN)
    await queue.plan_all("a")
    assert await queue.write(end_overdue, manager_id) == Deadline(clock.now + 100.0, 100.0)


async def test_waiting_items_are_listed_with_the_time_at_which_they_are_due(queue: Queue, clock: Clock) -> None:
    _, step_id = await planned(queue, "a", "b", retry=Retry(attempts=2, first_delay=30.0))
    first, _ = await queue.claim(step_id)
    await queue.fail(first)
    listed = queue.read(lambda snapshot: snapshot.jobs(JobFilter(kind="worker"), 10)).jobs
    assert {job.name: job.due_at for job in listed} == {"a": clock.now + 30.0, "b": None}
