"""How many work items may run at once or begin in a time, who goes first, and what the others say meanwhile."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.queue.actor import Actor, Place
from app.queue.changes import PriorityChanged, StepChanged, WorkAdded
from app.queue.limits import Limits, Rate, limits_by_type, rate_of
from app.queue.models import Kind
from app.queue.pauses import QUEUE, Scope
from app.queue.run_plan import OnError, Retry, StepPlan
from app.queue.snapshot import JobFilter
from app.queue.store.cancel import cancel, cancel_item
from app.queue.store.claim import Claimed, claim, release
from app.queue.store.limiting import set_type_limits
from app.queue.store.owners import NewOwner, open_owner
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.plan import claim_plans
from app.queue.store.priority import NothingToPrioritise, prioritise_as, priority_of
from app.queue.writer import Transaction
from tests.queue.conftest import Queue

ANN = Actor(Place.PAGE, "ann")
ITEMS = [f"item {number}" for number in range(6)]


def step(name: str = "one", *, type: str = "trial", depends: Sequence[str] = (), **limits: Any) -> StepPlan:
    return StepPlan(name, type, depends=tuple(depends), limits=Limits(**limits))


async def claimed(queue: Queue, **wanted: int) -> Claimed:
    return await queue.write(claim, {int(name[1:]): most for name, most in wanted.items()})


async def take(queue: Queue, *step_ids: int, most: int = 9) -> Claimed:
    return await queue.write(claim, dict.fromkeys(step_ids, most))


async def test_a_definition_is_limited_over_all_its_runs_and_steps(queue: Queue) -> None:
    for _ in range(2):
        await queue.start(step("one"), step("two"), limits=Limits(4), concurrency=2)
    one, two, three, four = await queue.plan_all(*ITEMS)
    taken = await take(queue, one, two, three, four, most=3)
    assert Counter(item.step_id for item in taken.items) == {one: 3, two: 1}
    assert taken.limited == {two, three, four}
    await queue.complete(*taken.items[:2])
    assert Counter(item.step_id for item in (await take(queue, four, three)).items) == {four: 2}, "in the order asked"


async def test_a_step_is_limited_alone_and_in_all_runs(queue: Queue) -> None:
    for _ in range(2):
        await queue.start(step("one", work_items=2), step("two"), concurrency=2)
    one, two, again, _ = await queue.plan_all(*ITEMS)
    taken = await take(queue, one, two, again)
    assert Counter(item.step_id for item in taken.items) == {one: 2, two: 6}


async def test_a_step_type_is_limited_in_all_definitions(queue: Queue) -> None:
    await queue.write(set_type_limits, limits_by_type([("slow", "3")]))
    await queue.start(step(type="slow"), definition="first")
    await queue.start(step(type="slow"), step("two"), definition="second")
    one, other, free = await queue.plan_all(*ITEMS)
    taken = await take(queue, other, one, free, most=2)
    assert Counter(item.step_id for item in taken.items) == {other: 2, one: 1, free: 2}
    await queue.write(set_type_limits, {})
    assert len((await take(queue, one)).items) == 5, "nothing is limited any more"


async def test_the_tightest_of_several_limits_holds(queue: Queue) -> None:
    await queue.write(set_type_limits, limits_by_type([("trial", "3")]))
    manager_id = await queue.start(step(work_items=5), limits=Limits(4))
    (step_id,) = await queue.plan_all(*ITEMS)
    assert len((await take(queue, step_id)).items) == 3
    assert queue.step(manager_id, "one").reason == "limit 3 of 3 held by this run (step type trial)"


async def test_who_waits_says_for_whom_and_is_told_when_that_is_over(queue: Queue) -> None:
    first = await queue.start(step(type="slow"), definition="first")
    second = await queue.start(step(type="slow"), definition="second")
    await queue.write(set_type_limits, limits_by_type([("slow", "2")]))
    one, other = await queue.plan_all("a", "b", "c")
    assert queue.step(second, "one").reason == "waiting for a free slot"
    running = (await take(queue, one)).items
    assert (await take(queue, other)).limited == {other}
    waiting = queue.step(second, "one")
    assert (waiting.reason, waiting.held_by) == (f"limit 2 of 2 held by job {first} (step type slow)", first)
    run = queue.run(second)
    assert (run.reason, run.held_by) == (f"step one: {waiting.reason}", first)
    items = queue.read(lambda snapshot: snapshot.jobs(JobFilter(Kind.WORKER, manager_id=second), 9)).jobs
    assert {(item.reason, item.held_by) for item in items} == {(waiting.reason, first)}

    queue.commits.clear()
    assert (await take(queue, other)).limited == {other}
    assert queue.changes == [], "what it waits for is told once"
    await queue.complete(running[0])
    assert WorkAdded(other, 0.0) in queue.changes
    (mine,) = (await take(queue, other)).items
    own = f"limit 2 of 2 held by this run and job {first} (step type slow)"
    assert queue.step(second, "one").reason == own
    await queue.complete(running[1], mine)
    await take(queue, other, most=1)
    assert queue.step(second, "one").reason == "", "it runs, and what is left will get its turn"


@pytest.mark.parametrize("how", ["completes", "fails", "is tried again", "is cancelled", "is given back", "run"])
async def test_whatever_ends_what_runs_frees_the_limit(queue: Queue, how: str) -> None:
    plan = StepPlan("one", "slow", on_error=OnError.RETRY if how == "is tried again" else OnError.FAIL)
    first = await queue.start(plan, definition="first")
    await queue.start(step(type="slow"), definition="second")
    await queue.write(set_type_limits, limits_by_type([("slow", "1")]))
    one, other = await queue.plan_all("a", "b")
    (item,) = (await take(queue, one, other)).items
    queue.commits.clear()
    if how == "completes":
        await queue.complete(item)
    elif how in ("fails", "is tried again"):
        await queue.fail(item)
    elif how == "is cancelled":
        await queue.write(cancel_item, item.id, "cancelled")
    elif how == "is given back":
        await queue.write(release, one, [(item.id, item.attempt)])
    else:
        await queue.write(cancel, first, "cancelled")
    assert WorkAdded(other, 0.0) in queue.changes
    assert len((await take(queue, other)).items) == 1


async def test_a_step_without_a_place_finds_out_that_only_a_slot_is_wanting(queue: Queue) -> None:
    first = await queue.start(step(type="slow"), definition="first")
    second = await queue.start(step(type="slow"), definition="second")
    await queue.write(set_type_limits, limits_by_type([("slow", "1")]))
    one, other = await queue.plan_all("a")
    (item,) = (await take(queue, one, other)).items
    assert queue.step(second, "one").held_by == first
    await queue.complete(item)
    assert (await take(queue, other, most=0)).limited == set()
    assert queue.step(second, "one").reason == "waiting for a free slot"


async def test_a_pause_is_the_nearest_reason_and_says_by_whom(queue: Queue) -> None:
    manager_id = await queue.start(step(work_items=1))
    (step_id,) = await queue.plan_all(*ITEMS)
    await take(queue, step_id)
    await queue.write(pause_as, QUEUE, ANN)
    assert queue.step(manager_id, "one").reason == "the queue was paused by ann"
    assert queue.run(manager_id).reason == "the queue was paused by ann"
    await queue.write(pause_as, Scope(manager_id=manager_id), ANN)
    items = queue.read(lambda snapshot: snapshot.jobs(JobFilter(Kind.WORKER, manager_id=manager_id), 9)).jobs
    assert [item.reason for item in items] == ["", *[f"run {manager_id} was paused by ann"] * 5]
    for scope in (QUEUE, Scope(manager_id=manager_id)):
        await queue.write(resume_as, scope, ANN)
    assert queue.step(manager_id, "one").reason == "limit 1 of 1 held by this run (step one of trial)"


async def test_what_is_tried_again_says_when(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial", retry=Retry(attempts=3, first_delay=600.0)))
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*(await take(queue, step_id)).items)
    assert (await take(queue, step_id)).items == []
    assert queue.step(manager_id, "one").reason.startswith("next attempt at ")
    assert queue.run(manager_id).reason.startswith("step one: next attempt at ")


async def test_a_rate_lets_so_many_begin_and_says_when_the_next_one_may(queue: Queue) -> None:
    manager_id = await queue.start(step(rate="2/hour"))
    (step_id,) = await queue.plan_all(*ITEMS)
    taken = await take(queue, step_id)
    assert len(taken.items) == 1
    due_at = taken.due_at[step_id]
    assert due_at is not None
    assert queue.step(manager_id, "one").reason.startswith("rate limit 2/hour, next at ")
    await queue.complete(*taken.items)
    assert (await take(queue, step_id)).items == [], "that it is done lets no other begin"

    def later(transaction: Transaction, seconds: float) -> Claimed:
        transaction.now = due_at + seconds
        return claim(transaction, {step_id: 9})

    assert (await queue.write(later, -1.0)).items == []
    assert len((await queue.write(later, 0.01)).items) == 1
    assert len((await queue.write(later, 24 * 3600.0)).items) == 1, "what was not used is not kept"
    assert (await queue.write(later, -24 * 3600.0)).due_at[step_id] == pytest.approx(due_at - 23.5 * 3600, abs=1)


async def test_a_rate_of_all_definitions_is_shared(queue: Queue) -> None:
    await queue.write(set_type_limits, limits_by_type([("web", "60/minute"), ("web", "5")]))
    first = await queue.start(step(type="web"), definition="first")
    second = await queue.start(step(type="web"), definition="second")
    one, other = await queue.plan_all(*ITEMS)
    taken = await take(queue, one, other)
    assert [item.step_id for item in taken.items] == [one]
    assert queue.step(first, "one").reason == queue.step(second, "one").reason
    assert queue.step(second, "one").held_by is None


@given(
    rate=st.tuples(st.integers(1, 3000), st.sampled_from([1, 60, 3600])),
    waits=st.lists(st.floats(0, 1), min_size=1, max_size=60),
    wants=st.integers(1, 200),
)
@settings(max_examples=60, deadline=None)
def test_no_window_of_a_rate_has_more_than_it_allows(rate: tuple[int, int], waits: list[float], wants: int) -> None:
    limit = Rate(*rate)
    now, full_at = 1_000_000.0, 0.0
    begun: deque[tuple[float, int]] = deque()
    for wait in waits:
        full_at = limit.full_at(full_at, now)
        number = min(wants, limit.room(full_at, now))
        full_at += number * limit.interval
        begun.append((now, number))
        while begun[0][0] <= now - limit.seconds:
            begun.popleft()
        assert sum(number for _, number in begun) <= limit.number
        due = limit.next_at(full_at)
        assert number == wants or due > now, "who is refused is told of a time to come"
        now = max(now, due) + 1e-3 if wait < 0.7 else now + wait * limit.seconds / limit.number
    assert limit.room(limit.full_at(full_at, now + limit.seconds), now + limit.seconds) == limit.bucket


def test_a_steady_flow_comes_near_to_its_rate() -> None:
    for text in ("1000/second", "10/second", "60/minute", "500/hour"):
        rate = rate_of(text)
        assert rate.seconds / rate.interval >= 0.94 * rate.number


@pytest.mark.parametrize("text", ["10", "0/second", "10/day", "-1/second", "ten/second", "1.5/second", "9999999/hour"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate such as"):
        rate_of(text)


async def test_the_plans_of_a_higher_priority_come_first(queue: Queue) -> None:
    await queue.start(step(), definition="first")
    high = await queue.start(step(), definition="second", priority=5)
    (claimed,) = await queue.write(claim_plans, 1)
    assert (claimed.step.manager_id, claimed.step.priority) == (high, 5)


async def test_a_priority_is_changed_once_recorded_and_told(queue: Queue) -> None:
    manager_id = await queue.start(step(), priority=1)
    assert await queue.write(prioritise_as, manager_id, 7, ANN)
    assert not await queue.write(prioritise_as, manager_id, 7, ANN)
    assert queue.run(manager_id).priority == 7
    assert [change for change in queue.changes if isinstance(change, PriorityChanged)] == [
        PriorityChanged(manager_id, 7)
    ]
    (action,) = queue.read(lambda snapshot: snapshot.actions(manager_id, 9))
    assert (action.who, action.said) == ("ann", "changed the priority of the run from 1 to 7")
    assert queue.read(lambda snapshot: snapshot.plan_of(manager_id)).priority == 7, "a rerun has it too"
    await queue.write(cancel, manager_id, "cancelled")
    with pytest.raises(NothingToPrioritise):
        await queue.write(prioritise_as, manager_id, 8, ANN)


@pytest.mark.parametrize("text", ["", "high", "1001", "-1001", "1e3", "99999999999999999999"])
def test_what_is_no_priority_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number from -1000 to 1000"):
        priority_of(text)


async def test_steps_that_nobody_offers_are_left_and_say_so_until_somebody_does(queue: Queue) -> None:
    manager_id = await queue.start(step(type="rare"), step("two"))
    (planned,) = await queue.write(claim_plans, 9, None, ["trial"])
    assert planned.step.name == "two"
    assert queue.step(manager_id, "one").reason == "no worker offers the step type rare"
    queue.commits.clear()
    await queue.write(claim_plans, 9, None, ["trial"])
    assert queue.changes == []
    await queue.write(open_owner, NewOwner("web-1:1:a", 20.0, 4, "1", offers=["trial", "rare"]), False)
    assert [change.step_name for change in queue.changes if isinstance(change, StepChanged)] == ["one"]
    assert queue.step(manager_id, "one").reason == "waiting for a free slot"


async def test_a_rerun_keeps_the_limits(queue: Queue) -> None:
    manager_id = await queue.start(step(work_items=2, rate="5/minute"), limits=Limits(4))
    plan = queue.read(lambda snapshot: snapshot.plan_of(manager_id))
    assert (plan.limits, plan.steps[0].limits) == (Limits(4), Limits(2, "5/minute"))
