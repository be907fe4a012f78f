"""What the embedded runner makes of priorities and limits: who goes first, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from app.queue.actor import Actor, Place
from app.queue.limits import Limits
from app.queue.run_plan import StepPlan
from app.queue.status import Status
from app.queue.store.priority import prioritise_as
from app.queue.tables import worker_job
from app.queue.writer import touch
from tests.work import trial_steps
from tests.work.conftest import Works


class Gate(trial_steps.OnLoop):
    """Its work items begin, are noted, and go on when they are let."""

    name = "gate"
    begun: ClassVar[list[str]] = []
    most = 0
    now = 0
    opened: asyncio.Semaphore

    async def run(self, context: Any, item: Any) -> Any:
        Gate.begun.append(item.name[0])
        Gate.now += 1
        Gate.most = max(Gate.most, Gate.now)
        await Gate.opened.acquire()
        Gate.now -= 1


@pytest.fixture
def gate() -> type[Gate]:
    """Closed."""
    Gate.begun, Gate.most, Gate.now = [], 0, 0
    Gate.opened = asyncio.Semaphore(0)
    return Gate


def step(name: str, number: int, type: str = "gate", **limits: Any) -> StepPlan:
    items = [f"{name} {number}" for number in range(number)]
    return StepPlan(name, type, settings={"items": items}, limits=Limits(**limits))


async def start(works: Works, name: str, number: int, **run: Any) -> int:
    """Waits until it has its work items."""
    limits = run.pop("of_step", {})
    manager_id = await works.start(step(name, number, **limits), definition=name, **run)
    await works.until(lambda snapshot: snapshot.run(manager_id).steps[0].planned)
    return manager_id


async def let_all_go(gate: type[Gate], number: int) -> None:
    for _ in range(number):
        gate.opened.release()


async def test_never_more_than_the_limit_run_and_both_runs_advance(works: Works, gate: type[Gate]) -> None:
    async with works.running(slots=8, limits=[("gate", "2")], also=[gate]):
        first = await start(works, "a", 8)
        second = await start(works, "b", 8)
        await works.until(lambda snapshot: snapshot.run(second).held_by == first)
        assert gate.begun == ["a", "a"]
        assert works.run(second).reason == f"step b: limit 2 of 2 held by job {first} (step type gate)"
        await let_all_go(gate, 16)
        for manager_id in (first, second):
            assert (await works.ended(manager_id)).status is Status.COMPLETED
    assert gate.most == 2
    assert min(Counter(gate.begun[2:12]).values()) >= 4, "they take turns"


async def test_a_higher_priority_goes_first_and_may_be_given_later(works: Works, gate: type[Gate]) -> None:
    async with works.running(slots=1, also=[gate]):
        low = await start(works, "a", 4)
        high = await start(works, "b", 3, priority=5)
        await works.until(lambda snapshot: snapshot.run(low).counts.running == 1)
        await let_all_go(gate, 2)
        await works.until(lambda snapshot: snapshot.run(high).counts[:3] == (1, 1, 1))
        await works.write(prioritise_as, low, 6, Actor(Place.API))
        await let_all_go(gate, 5)
        await works.ended(low)
        await works.ended(high)
    assert gate.begun == list("abb" + "aaa" + "b")


async def test_what_is_kept_waiting_does_not_ask_until_it_is_told(works: Works, gate: type[Gate]) -> None:
    async with works.running(slots=4, also=[gate]):
        manager_id = await start(works, "a", 3, of_step={"work_items": 1})
        await works.until(lambda snapshot: "limit 1 of 1" in snapshot.run(manager_id).steps[0].reason)
        for _ in range(20):  # for what was on its way
            await works.write(touch)
        claims = works.write.called.count("claim")
        for _ in range(20):
            await works.write(touch)
        assert works.write.called.count("claim") == claims
        await let_all_go(gate, 3)
        await works.ended(manager_id)


async def test_who_waits_for_a_limit_while_no_slot_is_free_says_so(works: Works, gate: type[Gate]) -> None:
    async with works.running(slots=2, limits=[("gate", "1")], also=[gate, Other]):
        first = await start(works, "a", 1)
        second = await start(works, "b", 1)
        await works.until(lambda snapshot: snapshot.run(second).held_by == first)
        other = await works.start(step("c", 4, "other"), definition="other", priority=9)
        await works.until(lambda snapshot: snapshot.run(other).counts.running == 1)
        gate.opened.release()
        await works.until(lambda snapshot: snapshot.run(second).reason == "waiting for a free slot")
        assert works.run(other).counts.running == 2
        await let_all_go(gate, 5)
        for manager_id in (second, other):
            await works.ended(manager_id)


class Other(Gate):
    name = "other"


async def test_a_rate_is_kept_to_and_asks_for_nobody(works: Works) -> None:
    names = [f"log {number}" for number in range(6)]
    plan = StepPlan("one", "on_loop", settings={"items": names}, limits=Limits(rate="20/second"))
    run = await works.run_to_end(plan)
    assert run.counts.completed == 6
    with works.database.read() as connection:
        began: Sequence[float] = (
            connection.execute(select(worker_job.c.started_at).order_by(worker_job.c.started_at)).scalars().all()
        )
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert min(gaps) >= 0.0499, "by the times of their transactions"
