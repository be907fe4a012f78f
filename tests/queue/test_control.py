"""What people do to runs, recorded with who did it, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import pytest

from app.queue.actor import Actor, Place
from app.queue.changes import StepReleased, WorkAdded
from app.queue.pauses import QUEUE, Scope
from app.queue.rerun_reading import repeating
from app.queue.run_plan import StepPlan
from app.queue.status import Status
from app.queue.store.control import Target, cancel_as, delete_as, retry_as
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.plan import claim_plans
from app.queue.store.rerun import NotRepeatable, rerun_as
from app.queue.store.retry import Again
from tests.queue.conftest import Queue

ANN = Actor.named(Place.API, "ann\n")
ONE, TWO = StepPlan("one", "trial"), StepPlan("two", "trial", depends=("one",))


@pytest.mark.parametrize("of", ["run", "definition", "queue"])
async def test_of_what_is_paused_nothing_is_planned_or_claimed_until_it_is_resumed(queue: Queue, of: str) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    scope = {"run": Scope(manager_id=manager_id), "definition": Scope("trial"), "queue": QUEUE}[of]
    assert await queue.write(pause_as, scope, ANN)
    assert not await queue.write(pause_as, scope, ANN)
    assert await queue.claim(step_id) == []
    paused = queue.run(manager_id).paused
    assert paused is not None
    assert (paused.what, paused.who) == (scope.words, "ann")
    if of == "queue":  # what is started meanwhile waits, too
        await queue.start(ONE, definition="other")
        assert await queue.write(claim_plans, 9) == []
    assert await queue.write(resume_as, scope, ANN)
    assert WorkAdded(step_id, 0.0) in queue.commits[-1].changes
    assert any(isinstance(change, StepReleased) for change in queue.commits[-1].changes) == (of == "queue")
    assert len(await queue.claim(step_id)) == 1
    assert not await queue.write(resume_as, scope, ANN)


@pytest.mark.parametrize("named", ["a", "a: 7 work items run again; evaluated again: two"])
async def test_a_retry_that_is_sent_again_after_the_next_failure_does_nothing(queue: Queue, named: str) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all(named)
    (a,) = await queue.claim(step_id)
    await queue.fail(a)
    again = Again(manager_id, step_id, a.id)
    first = await queue.write(retry_as, again, ANN, None, 5, "key")
    assert (first.items, first.steps) == (1, ["one", "two"])
    (a,) = await queue.claim(step_id)
    await queue.fail(a)
    assert await queue.write(retry_as, again, ANN, None, 5, "key") == first
    assert [each.verb for each in queue.read(lambda snapshot: snapshot.actions(manager_id, 9))] == ["retry"]
    assert queue.run(manager_id).status is Status.FAILED
    assert (await queue.write(retry_as, again, ANN, None, None, "another")).items == 1


async def test_everything_that_is_done_is_recorded_and_goes_with_its_run(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b")
    a, b = await queue.claim(step_id)
    assert await queue.write(cancel_as, Target(manager_id, step_id, a.id), ANN)
    assert await queue.write(cancel_as, Target(manager_id, step_id, a.id), ANN) is None
    await queue.fail(b)
    await queue.write(retry_as, Again(manager_id, step_id), ANN, None, 5)
    await queue.write(cancel_as, Target(manager_id), ANN)
    plan = queue.read(lambda snapshot: snapshot.plan_of(manager_id))
    made = await queue.write(rerun_as, repeating(plan, manager_id, "two"), ANN, "key")
    assert await queue.write(rerun_as, repeating(plan, manager_id, "two"), ANN, "key") == made
    done = queue.read(lambda snapshot: snapshot.actions(manager_id, 9))
    assert [(each.who, each.verb, each.made_id) for each in reversed(done)] == [
        ("ann", "cancel", None),
        ("ann", "retry", None),
        ("ann", "cancel", None),
        ("ann", "rerun", made),
    ]
    assert [step.status for step in queue.run(made).steps] == ["skipped", "pending"]
    assert queue.read(lambda snapshot: snapshot.kin(manager_id)).reruns == (made,)
    while await queue.write(delete_as, manager_id, ANN):
        pass
    assert queue.read(lambda snapshot: snapshot.kin(made)).rerun_of is None
    assert queue.read(lambda snapshot: snapshot.actions(manager_id, 9)) == ()
    (last, *_) = queue.read(lambda snapshot: snapshot.actions(None, 9))
    assert last.said.startswith(f"deleted run {manager_id} (Trial) with 2 work items")
    with pytest.raises(NotRepeatable):
        await queue.write(rerun_as, repeating(plan, manager_id, None), ANN)
