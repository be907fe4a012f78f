"""What is handed in to a runner that has nothing to do is claimed in the transaction that adds it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app.queue.actor import Actor, Place
from app.queue.changes import Change, ItemsStopped, WorkAdded, WorkStopped
from app.queue.database import Database
from app.queue.limits import limits_by_type
from app.queue.pauses import Scope
from app.queue.run_plan import RunPlan
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import Status
from app.queue.store.claim import claim
from app.queue.store.eager import ClaimedEagerly
from app.queue.store.finish import Ending, finish
from app.queue.store.owners import NewOwner, open_owner, take_over
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, plan
from app.queue.store.retry import Again, retry
from app.queue.store.start import start
from app.queue.writer import Commit, Transaction, WriteFailed, Writer
from app.work.eager_claims import EagerClaims
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.storing import until_stored
from app.work.tickets_in_hand import Room
from tests.work import trial_steps
from tests.work.conftest import PATIENCE, FaultyWriter, Works
from tests.work.runners import prepared
from tests.work.test_runner import BOTH, step

OWNER, OTHER = "host:1:one", "host:2:two"
TYPES = StepTypes([trial_steps.OnLoop, trial_steps.InProcess])


async def idle(runner: Runner) -> None:
    """Waits until it has looked for work, found none, and offers its room."""
    offered, offer = asyncio.Event(), runner._eager.offer

    def offers(room: Room) -> None:
        offer(room)
        offered.set()

    runner._eager.offer = offers  # type: ignore[method-assign]
    runner._wake.set()
    async with asyncio.timeout(PATIENCE):
        await offered.wait()
    runner._eager.offer = offer  # type: ignore[method-assign]


@BOTH
async def test_a_run_is_claimed_as_it_is_started_and_a_retry_as_it_is_asked_for(works: Works, where: str) -> None:
    async with works.running() as runner:
        await idle(runner)
        works.write.called.clear()
        run = await works.ended(await works.start(step(where, "permanent a")))
        assert "claim_plans" not in works.write.called
        await idle(runner)
        works.write.called.clear()
        assert await works.write(retry, Again(run.id), "retried by ann")
        run = await works.ended(run.id)
        assert "claim" not in works.write.called
    assert (run.status, run.counts.failed) == (Status.FAILED, 1)


async def test_what_there_is_no_room_for_is_claimed_as_ever(works: Works) -> None:
    async with works.running(slots=2) as runner:
        run = await works.ended(await works.start(step("on_loop", *(f"permanent {n}" for n in range(9)))))
        await idle(runner)
        works.write.called.clear()
        assert await works.write(retry, Again(run.id), "retried by ann")
        run = await works.ended(run.id)
        assert "claim" in works.write.called
    assert run.counts.failed == 9


@BOTH
async def test_what_a_failed_commit_had_claimed_is_not_begun(works: Works, where: str) -> None:
    make_tickets = prepared(works.database)
    refused: list[list[Change]] = []

    def announce(connection: Any, changes: list[Change]) -> Any:
        if refuses:
            refused.append(changes)
            raise OSError("no more for now")
        return make_tickets and make_tickets(connection, changes)

    refuses = False
    await works.write.close()
    works.write = FaultyWriter(Writer(works.database, works.monitor.hear, announce))
    a_run = RunPlan("trial", "Trial", (step(where, "log a"),))
    async with works.running() as runner:
        await idle(runner)
        refuses = True
        with pytest.raises(WriteFailed):
            await works.write(start, a_run)
        refuses = False
        run = await works.ended(await until_stored(works.write, start, a_run))  # type: ignore[arg-type]
        assert run.counts.completed == 1
        await idle(runner)
    assert [type(change).__name__ for change in refused[0]].count("StepReleased") == 0, "it was claimed"


class Claiming:
    """A database, and somebody who claims eagerly of it without beginning anything."""

    def __init__(self, database: Database, name: str = OWNER) -> None:
        self.said: list[str] = []
        self.meanwhile: list[Commit] = []
        """What is heard between the next commit and its answer, `revision` being the distance from that one's."""
        self.claimed: list[ClaimedEagerly] = []
        self.writer = Writer(database, self._committed)
        self.lease: Any = SimpleNamespace(name=name)
        self.eager = EagerClaims(self.writer, self.lease, TYPES, self._begin, self._hear, lambda: None)

    async def step(self) -> tuple[int, int]:
        """One that is being planned, and the attempt."""
        await self.writer(open_owner, NewOwner(OWNER, 20.0, 8, "1", offers=list(TYPES)), False)
        await self.writer(start, RunPlan("trial", "Trial", (step("on_loop"),)))
        (claimed,) = await self.writer(claim_plans, 1)
        return claimed.step.step_id, claimed.attempt

    async def planned(self, priority: int, *items: str) -> int:
        """The id of the step of a run of that priority, which is being planned and has these work items so far."""
        steps = (step("on_loop"),)
        await self.writer(start, RunPlan(f"trial {priority}", "Trial", steps, priority=priority))
        (claimed,) = await self.writer(claim_plans, 1)
        if items:
            await self.writer(plan, claimed.step.step_id, claimed.attempt, list(map(NewItem, items)))
        return claimed.step.step_id

    def _begin(self, claimed: ClaimedEagerly) -> None:
        self.claimed.append(claimed)
        self.said.append(f"begin {len(claimed.items)}")

    def _hear(self, commit: Commit) -> None:
        self.said.append(f"hear {', '.join(type(change).__name__ for change in commit.changes)}")

    def _committed(self, commit: Commit) -> None:
        for other in self.meanwhile:
            self.eager.heard(Commit(commit.revision + other.revision, other.changes, other.by))


async def test_what_others_stop_before_it_is_answered_is_stopped_when_it_is(database: Database) -> None:
    claiming = Claiming(database)
    step_id, attempt = await claiming.step()
    claiming.meanwhile = [
        Commit(-1, [ItemsStopped(step_id, frozenset([1]))], OTHER),
        Commit(1, [WorkStopped(step_id, frozenset([1]))], OTHER),
        Commit(2, [ItemsStopped(step_id, frozenset([1]))]),  # our own, of which we hear in their order
        Commit(3, [WorkAdded(step_id, 0.0, 1)], OTHER),
    ]
    claiming.eager.offer(Room(8, 2))
    await claiming.writer(plan, step_id, attempt, [NewItem("a"), NewItem("b")])
    assert claiming.said == ["begin 2", "hear WorkStopped", "hear WorkAdded"]
    await claiming.writer.close()


async def test_who_was_taken_for_dead_claims_nothing(database: Database) -> None:
    claiming = Claiming(database)
    step_id, attempt = await claiming.step()
    claiming.eager.offer(Room(8, 2))
    assert await claiming.writer(take_over, OWNER, 0, 20.0) == 0
    assert not claiming.said
    await claiming.writer(plan, step_id, attempt, [NewItem("a")])
    assert (claiming.said, claiming.eager.withdraw()) == ([], True)

    claiming.eager.offer(Room(8, 2))
    claiming.lease.name = OTHER  # what was claimed under the old name is somebody else's by now
    await claiming.writer(plan, step_id, attempt, [NewItem("b")])
    assert claiming.said == []
    await claiming.writer.close()


async def test_an_offer_is_good_for_one_transaction_and_can_be_taken_back(database: Database) -> None:
    claiming = Claiming(database)
    step_id, attempt = await claiming.step()
    claiming.eager.offer(Room(1, 1))
    for name in "ab":
        await claiming.writer(plan, step_id, attempt, [NewItem(name)])
    assert claiming.said == ["begin 1"]
    claiming.eager.offer(Room(8, 1))
    assert claiming.eager.withdraw()
    await claiming.writer(plan, step_id, attempt, [NewItem("c")])
    assert claiming.said == ["begin 1"]
    await claiming.eager.close()
    await claiming.writer.close()


async def test_a_claim_that_fails_fails_nothing_else_and_lets_the_offer_be_made_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(transaction: Transaction, *_: Any) -> None:
        transaction.changes.clear()
        raise ZeroDivisionError

    claiming = Claiming(database)
    step_id, attempt = await claiming.step()
    claiming.eager.offer(Room(8, 2))
    with monkeypatch.context() as patched:
        patched.setattr("app.work.eager_claims.claim_eagerly", fails)
        assert await claiming.writer(plan, step_id, attempt, [NewItem("a")])
        assert (claiming.writer.trouble, claiming.said) == (None, [])
    assert claiming.eager.withdraw()
    claiming.eager.offer(Room(8, 2))
    assert await claiming.writer(plan, step_id, attempt, [NewItem("b"), NewItem("c")])
    assert claiming.said == ["begin 2"]
    with Snapshot.of(database) as snapshot:
        counts = snapshot.jobs(JobFilter(kind="worker"), 10)
    assert sorted(job.status for job in counts.jobs) == ["pending", "running", "running"]
    await claiming.writer.close()


async def test_who_waits_for_a_limit_goes_before_what_is_handed_in_as_it_is_freed(database: Database) -> None:
    claiming = Claiming(database)
    limits = limits_by_type([("on_loop", "1")])
    await claiming.writer(open_owner, NewOwner(OWNER, 20.0, 8, "1", offers=list(TYPES), limits=limits), False)
    high = await claiming.planned(5, "x1", "x2")
    (first,) = (await claiming.writer(claim, {high: 2}, OWNER)).items
    low = await claiming.planned(0)
    claiming.eager.offer(Room(7, 2))
    await claiming.writer(plan, low, 1, [NewItem("y1")])
    claiming.eager.withdraw()
    claiming.eager.offer(Room(7, 2))
    ending = claiming.writer(finish, high, [Ending(first.id, first.attempt)])
    await asyncio.gather(ending, claiming.writer(plan, low, 1, [NewItem("y2")]))
    assert claiming.said == ["begin 0"]
    await claiming.writer.close()


async def test_who_waits_for_a_pause_to_end_goes_before_what_is_handed_in_then(database: Database) -> None:
    claiming = Claiming(database)
    await claiming.writer(open_owner, NewOwner(OWNER, 20.0, 8, "1", offers=list(TYPES)), False)
    await claiming.planned(5, "x1")
    await claiming.writer(pause_as, Scope("trial 5"), Actor(Place.API))
    low = await claiming.planned(0)
    claiming.eager.offer(Room(1, 1))
    resumed = claiming.writer(resume_as, Scope("trial 5"), Actor(Place.API))
    await asyncio.gather(resumed, claiming.writer(plan, low, 1, [NewItem("y1")]))
    assert claiming.said == []
    assert claiming.eager.withdraw(), "the runner looks at all that waits"
    await claiming.writer.close()


async def test_what_others_ended_is_not_looked_for_before_the_answer_is_there(works: Works) -> None:
    async with works.running() as runner:
        await idle(runner)
        (offer,) = runner._eager._offers
        runner._eager._offers.clear()  # as if a transaction had taken it
        runner._behind = True
        await runner._catch_up()
        assert runner._behind
        runner._eager._answer(offer.owner, None, None)
        await idle(runner)
        assert not runner._behind


async def test_a_step_type_that_cannot_say_its_variant_fails_its_work_items_alone(works: Works) -> None:
    class Odd(trial_steps.OnLoop):
        name = "odd"

        @classmethod
        def variant(cls, settings: Any) -> Any:
            raise KeyError("no such model")

    async with works.running(also=[Odd]) as runner:
        await idle(runner)
        await works.ended(await works.start(step("odd", "log a")))
        after = await works.ended(await works.start(step("on_loop", "log b"), definition="next"))
    assert after.counts.completed == 1
