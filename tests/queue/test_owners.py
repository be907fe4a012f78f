"""Who holds work: that it says so, what is said of it while it is silent, and what becomes of what it held."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text, update

from app.queue import audit
from app.queue.changes import OwnersChanged, StepChanged, StepReleased, WorkAdded
from app.queue.limits import Limits, limits_by_type
from app.queue.models import Kind
from app.queue.owner_reading import OwnerRecord, limits_that_hold
from app.queue.run_plan import StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.claim import claim, release, rescue
from app.queue.store.finish import Ending, finish
from app.queue.store.owners import (
    NewOwner,
    OwnerLost,
    as_owner,
    beat,
    end_owner,
    note_silence,
    open_owner,
    take_over,
    withdraw,
)
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.workforce import note_not_offered
from app.queue.tables import owner
from app.queue.writer import Transaction
from tests.queue.conftest import Queue

pytestmark = pytest.mark.postgresql

ONE = StepPlan("one", "trial")
A, B = "web-1:12:aaaa", "web-2:34:bbbb"


async def enter(queue: Queue, *names: str, alone: bool = False) -> None:
    for name in names:
        await queue.write(open_owner, NewOwner(name, 20.0, 4, "1.0"), alone)


def owners(queue: Queue, most_ended: int = 0) -> dict[str, OwnerRecord]:
    return {owner.name: owner for owner in queue.read(lambda snapshot: snapshot.owners(most_ended))}


def reasons(queue: Queue) -> dict[str, str]:
    page = queue.read(lambda snapshot: snapshot.jobs(JobFilter(kind=Kind.WORKER), 100))
    return {job.name: job.reason for job in page.jobs}


async def test_an_owner_has_what_it_claimed_and_what_it_plans(queue: Queue) -> None:
    await enter(queue, A, B)
    await queue.start(ONE, StepPlan("two", "trial", depends=()))
    first, second = await queue.write(claim_plans, 1, A) + await queue.write(claim_plans, 1, B)
    await queue.write(plan, first.step.step_id, first.attempt, [NewItem("a"), NewItem("b")])
    await queue.write(claim, {first.step.step_id: 1}, A)
    await queue.write(claim, {first.step.step_id: 1}, B)
    held = {name: [each.name for each in owner.held] for name, owner in owners(queue).items()}
    assert held == {A: ["one", "a"], B: ["two", "b"]}
    assert second.step.name == "two"


async def test_a_missed_heartbeat_is_said_wherever_it_matters_and_unsaid_with_the_next(queue: Queue) -> None:
    await enter(queue, A, B)
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    await queue.write(claim, {step_id: 1}, A)
    await queue.write(claim, {step_id: 1}, B)
    assert await queue.write(beat, A)
    await queue.write(note_silence, A, 0, 10.0, 10.0)
    assert owners(queue)[A].silence == "", "it has given another sign since"
    await queue.write(note_silence, A, 1, 10.0, 10.0)
    owner = owners(queue)[A]
    assert owner.silence.startswith("no heartbeat from web-1, process 12 since ")
    assert owner.takeover_at and owner.silent_since and owner.takeover_at - owner.silent_since == 20.0
    assert reasons(queue) == {"a": owner.silence, "b": ""}
    assert queue.step(manager_id, "one").reason == owner.silence
    assert queue.changes[-2:] == [OwnersChanged(), StepChanged(manager_id, step_id, "one", Status.RUNNING)]
    assert await queue.write(beat, A)
    assert owners(queue)[A].silence == ""
    assert reasons(queue) == {"a": "", "b": ""}
    assert queue.step(manager_id, "one").reason == ""
    assert queue.changes[-2:] == [OwnersChanged(), StepChanged(manager_id, step_id, "one", Status.RUNNING)]


async def test_a_beat_tells_nobody(queue: Queue) -> None:
    await enter(queue, A)
    before = len(queue.commits)
    assert await queue.write(beat, A)
    assert len(queue.commits) == before


async def test_what_a_dead_owner_held_is_taken_over_once_and_nothing_else(queue: Queue) -> None:
    await enter(queue, A, B)
    manager_id = await queue.start(ONE, StepPlan("two", "trial", depends=()))
    (planned,) = await queue.write(claim_plans, 1, B)
    await queue.write(plan, planned.step.step_id, planned.attempt, [NewItem("a"), NewItem("b")])
    step_id = planned.step.step_id
    (planning,) = await queue.write(claim_plans, 1, A)
    (lost,) = (await queue.write(claim, {step_id: 1}, A)).items
    (kept,) = (await queue.write(claim, {step_id: 1}, B)).items
    await queue.write(note_silence, A, 0, 10.0, 10.0)
    assert await queue.write(take_over, A, 7, 20.0) is None, "its beat has moved"
    assert await queue.write(take_over, A, 0, 20.0) == 1
    assert await queue.write(take_over, A, 0, 20.0) is None, "somebody was first"
    assert {type(change) for change in queue.changes[-6:]} >= {WorkAdded, StepReleased, OwnersChanged}
    assert reasons(queue) == {"a": "attempt 1 was lost with web-1, process 12", "b": ""}
    assert queue.step(manager_id, "one").reason == "planning work items", "that of the other goes on"
    assert list(owners(queue)) == [B]
    assert owners(queue, 5)[A].end == "taken over after 20 s without a heartbeat"
    log = queue.read(lambda snapshot: snapshot.log_lines(step_id, 1, 9))
    assert [line.message for line in log][-1] == (
        "1 work item taken over from web-1, process 12, which gave no heartbeat"
    )
    (again,) = (await queue.write(claim, {step_id: 5}, B)).items
    assert (again.id, again.attempt) == (lost.id, 2)
    (replanned,) = await queue.write(claim_plans, 5, B)
    assert replanned.step.step_id == planning.step.step_id and replanned.attempt > planning.attempt
    await queue.complete(kept, again)
    assert queue.step(manager_id, "one").counts.completed == 2


async def test_an_owner_that_was_taken_for_dead_changes_nothing_any_more(queue: Queue) -> None:
    await enter(queue, A, B)
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    (item,) = (await queue.write(as_owner, A, claim, {step_id: 1}, A)).items
    await queue.write(take_over, A, 0, 20.0)
    assert not await queue.write(beat, A)
    for verb, arguments in ((claim, ({step_id: 5}, A)), (finish, (step_id, [Ending(item.id, 1)]))):
        with pytest.raises(OwnerLost):
            await queue.write(as_owner, A, verb, *arguments)
    await queue.complete(item)  # nor without that fence: there is another attempt, or there will be
    assert queue.step(manager_id, "one").counts.pending == 2


async def test_who_is_alone_takes_everything_back_at_once(queue: Queue) -> None:
    await enter(queue, A)
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    await queue.write(claim, {step_id: 5}, A)
    assert await queue.write(open_owner, NewOwner(B, 20.0, 4, "1.0"), True) == 2
    assert queue.step(manager_id, "one").counts.pending == 2
    assert list(owners(queue)) == [B]
    await queue.write(end_owner, B)
    assert {name: owner.end for name, owner in owners(queue, 5).items()} == {B: "stopped", A: "ended without a word"}


async def test_who_still_has_something_does_not_end_but_falls_silent(queue: Queue) -> None:
    await enter(queue, A)
    await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = (await queue.write(claim, {step_id: 1}, A)).items
    await queue.write(end_owner, A)
    assert list(owners(queue)) == [A]
    await queue.write(release, step_id, [(item.id, item.attempt)])
    await queue.write(end_owner, A)
    assert list(owners(queue)) == []


async def test_work_in_the_hands_of_who_has_ended_is_found(queue: Queue) -> None:
    await enter(queue, A)
    await queue.start(ONE, StepPlan("two", "trial", depends=()))
    (planned,) = await queue.write(claim_plans, 1, "nobody")
    await queue.write(plan, planned.step.step_id, planned.attempt, [NewItem("a")])
    (planning,) = await queue.write(claim_plans, 1, A)
    (item,) = (await queue.write(claim, {planned.step.step_id: 1}, A)).items
    await queue.write(_end, A)
    assert audit.check(queue.database) == [
        f"work item {item.id}: running, but web-1, process 12 has ended",
        f"step {planning.step.step_id}: in planning, but web-1, process 12 has ended",
    ]
    await queue.write(rescue)


def _end(transaction: Transaction, name: str) -> None:
    transaction.connection.execute(update(owner).where(owner.c.name == name).values(ended_at=1.0))


async def test_an_item_that_is_taken_over_again_and_again_fails_by_itself(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("poison")
    for number in range(3):
        name = f"web:{number}:x"
        await enter(queue, name)
        await queue.write(claim, {step_id: 1}, name)
        assert await queue.write(take_over, name, 0, 20.0) == 1
    assert queue.step(manager_id, "one").counts.failed == 1


async def come(queue: Queue, name: str, *offers: str, **told: Any) -> None:
    limits = limits_by_type(told.items())
    new = NewOwner(name, 20.0, 4, "1.0", "worker", offers=offers, limits=limits)
    await queue.write(open_owner, new, False)


@pytest.mark.parametrize("how", ["is about to end", "ends", "is taken over"])
async def test_what_nobody_who_lives_offers_says_so_until_somebody_does(queue: Queue, how: str) -> None:
    """Of a step that waits to be planned, and of one that has been planned by somebody who is gone."""
    said = "no worker offers the step type rare"
    manager_id = await queue.start(StepPlan("one", "rare"), StepPlan("two", "rare", depends=()))
    await come(queue, A, "trial")
    assert queue.step(manager_id, "one").reason == queue.step(manager_id, "two").reason == said
    queue.commits.clear()
    await come(queue, B, "rare")
    assert {change.step_name for change in queue.changes if isinstance(change, StepChanged)} == {"one", "two"}
    assert queue.step(manager_id, "one").reason == "waiting for a free slot"
    assert await queue.write(claim_plans, 5, A, ["trial"]) == []
    assert queue.step(manager_id, "one").reason == "waiting for a free slot", "somebody else offers it"
    (planned,) = await queue.write(claim_plans, 1, B, ["rare"])
    await queue.write(plan, planned.step.step_id, planned.attempt, [NewItem("a"), NewItem("b")])
    await queue.write(end_planning, planned.step.step_id, planned.attempt)
    if how == "is about to end":
        await queue.write(withdraw, B)
    elif how == "ends":
        await queue.write(end_owner, B)
    else:
        await queue.write(take_over, B, 0, 20.0)
        assert owners(queue, 5)[B].end == "given up after 20 s without a heartbeat", "it held nothing"
    assert queue.step(manager_id, "one").reason == queue.step(manager_id, "two").reason == said
    await come(queue, "web-3:5:cccc", "rare")
    assert (await queue.write(claim, {planned.step.step_id: 1}, "web-3:5:cccc")).items
    assert said not in (queue.step(manager_id, "one").reason, queue.step(manager_id, "two").reason)


async def test_who_runs_nothing_notes_what_nobody_offers_and_who_does_not_say_may_offer_anything(queue: Queue) -> None:
    await come(queue, A)
    manager_id = await queue.start(ONE)
    await queue.write(note_not_offered)
    assert queue.step(manager_id, "one").reason == "no worker offers the step type trial"
    await enter(queue, B)  # as a process of the version before does
    assert queue.step(manager_id, "one").reason == "waiting for a free slot"
    await queue.write(_was_last_heard_of, B, 7200.0)
    await queue.write(note_not_offered)
    assert queue.step(manager_id, "one").reason == "no worker offers the step type trial", "it may be gone"


def _was_last_heard_of(transaction: Transaction, name: str, ago: float) -> None:
    transaction.connection.execute(update(owner).where(owner.c.name == name).values(renewed_at=transaction.now - ago))


async def test_of_the_limits_that_those_who_live_were_told_the_strictest_holds(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all(*"abcdefgh")
    await come(queue, A, "trial", trial="3")
    await come(queue, B, "trial", trial="2", other="60/minute")
    await come(queue, "web-3:5:cccc", "trial")
    holding = {each.type: each for each in limits_that_hold(owners(queue).values())}
    assert {type: each.limits for type, each in holding.items()} == {
        "trial": Limits(2),
        "other": Limits(None, "60/minute"),
    }
    assert [owner.name for owner in holding["trial"].of] == [B]
    assert len((await queue.write(claim, {step_id: 9}, A)).items) == 2
    assert queue.step(manager_id, "one").reason == "limit 2 of 2 held by this run (step type trial)"
    queue.commits.clear()
    await queue.write(take_over, B, 0, 20.0)
    assert WorkAdded(step_id, 0.0) in queue.changes
    assert len((await queue.write(claim, {step_id: 9}, A)).items) == 1, "three, as the other was told"
    await queue.write(end_owner, "web-3:5:cccc")
    assert (await queue.write(claim, {step_id: 9}, A)).items == []


async def test_a_row_of_the_version_before_is_one_of_an_owner_like_others(queue: Queue) -> None:
    """It goes on to write what it knows of."""
    await queue.write(_enter_as_before, A)
    (found,) = owners(queue).values()
    assert (found.place, found.offers, found.type_limits, found.beats_always) == (("web-1", "12"), None, {}, False)
    assert await queue.write(beat, A)
    await come(queue, B, "trial", trial="2")
    await queue.write(end_owner, A)
    assert list(owners(queue)) == [B]


def _enter_as_before(transaction: Transaction, name: str) -> None:
    statement = (
        'INSERT INTO owner (name, started_at, beat, renewed_at, lease, slots, version, silence, "end")'
        " VALUES (:name, 0, 0, 0, 20, 4, '0.0', '', '')"
    )
    transaction.connection.execute(text(statement), {"name": name})
