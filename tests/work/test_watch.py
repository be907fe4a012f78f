"""Who is dead, by the watch of another process: whatever the clocks of the machines say."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from app.queue.changes import OwnersChanged
from app.queue.owner_reading import OwnerRecord
from app.queue.run_plan import StepPlan
from app.queue.store.claim import claim
from app.queue.store.owners import NewOwner, beat, open_owner
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.writer import Commit
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.watch import Watch
from tests.work import trial_steps
from tests.work.conftest import PATIENCE, Works

LEASE = 20.0
INTERVAL = LEASE / 4
OTHER = "far:1:other"


class Watching:
    """A watch whose steady clock the test moves; `works.write` is both owners' way to the database."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.now = 1000.0
        self.watch = Watch(works.database, works.write, lambda: "here:2:ours", INTERVAL, lambda: self.now)  # type: ignore[arg-type]

    async def look(self, after: float = INTERVAL) -> None:
        self.now += after
        await self.watch.look()

    async def beat(self) -> None:
        assert await self.works.write(beat, OTHER)

    @property
    def other(self) -> OwnerRecord:
        found = self.works.read(lambda snapshot: snapshot.owners(9))
        return next(owner for owner in found if owner.name == OTHER)

    @property
    def is_dead(self) -> bool:
        return self.other.ended_at is not None


@pytest.fixture
async def watching(works: Works) -> Watching:
    """Another owner holds a work item."""
    await works.write(open_owner, NewOwner(OTHER, LEASE, 4, "1"), False)
    await works.start(StepPlan("one", "on_loop"))
    (claimed,) = await works.write(claim_plans, 1, "nobody")
    step_id = claimed.step.step_id
    await works.write(plan, step_id, claimed.attempt, [NewItem("a")])
    await works.write(end_planning, step_id, claimed.attempt)
    await works.write(claim, {step_id: 1}, OTHER)
    return Watching(works)


async def test_a_silent_owner_is_said_to_be_and_then_taken_over_in_time(watching: Watching) -> None:
    """Right after a beat, and a look: what comes latest. It is dead from now on."""
    await watching.look()
    await watching.beat()
    for _ in range(3):
        await watching.look()
    assert watching.other.silence, "after half a lease that was watched"
    await watching.look()
    assert not watching.is_dead
    await watching.look()
    assert watching.is_dead, "after 5 looks, 1.25 leases; with the beat that was missed first, 1.5 of 2"


async def test_a_beat_in_time_keeps_an_owner_alive_for_ever(watching: Watching) -> None:
    for _ in range(20):
        await watching.look()
        await watching.look()
        await watching.look()
        await watching.beat()
    assert not watching.is_dead
    await watching.look()
    assert not watching.other.silence


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_set_by_an_hour_makes_nobody_dead_and_spares_nobody(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    real = time.time
    await watching.look()
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    for _ in range(3):
        await watching.beat()
        await watching.look()
        await watching.look()
    assert not watching.is_dead
    assert not watching.other.silence
    for _ in range(4):
        await watching.look()
    assert watching.is_dead


async def test_time_that_nobody_watched_is_held_against_nobody(watching: Watching) -> None:
    await watching.look()
    await watching.look(after=3600)  # this process was asleep, and so may the other have been
    await watching.look(after=1)
    assert not watching.is_dead
    await watching.beat()
    await watching.look()
    assert not watching.is_dead


async def test_an_owner_that_has_nothing_and_has_died_is_given_up(works: Works) -> None:
    await works.write(open_owner, NewOwner(OTHER, LEASE, 4, "1", offers=("on_loop",)), False)
    watching = Watching(works)
    for _ in range(4):
        await watching.look()
        await watching.beat()
    for _ in range(4):
        await watching.look()
    assert watching.other.silence and not watching.is_dead
    await watching.look()
    assert watching.other.end == "given up after 20 s without a heartbeat"


async def test_an_owner_of_a_version_that_is_silent_while_it_has_nothing_need_not_beat(works: Works) -> None:
    await works.write(open_owner, NewOwner(OTHER, LEASE, 4, "1"), False)
    watching = Watching(works)
    for _ in range(9):
        await watching.look()
    assert not watching.is_dead


async def test_trouble_with_the_database_makes_nobody_dead(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        await watching.look()
    looked: list[float] = []

    async def sleep(seconds: float) -> None:
        looked.append(seconds)
        if len(looked) > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("app.work.watch.asyncio.sleep", sleep)
    monkeypatch.setattr(watching.watch, "_others", _trouble)
    with pytest.raises(KeyboardInterrupt):
        await watching.watch.run()
    monkeypatch.undo()
    await watching.look()
    await watching.look()
    assert not watching.is_dead


def _trouble() -> Any:
    raise OSError("cannot be reached")


async def test_who_may_not_be_alone_beats_also_with_nothing_in_hand_and_the_page_hears_of_it(works: Works) -> None:
    beats, looks = asyncio.Event(), asyncio.Event()

    async def beaten() -> None:
        beats.set()

    def hear(commit: Commit) -> None:
        if commit.by == "others" and commit.changes == [OwnersChanged()]:
            looks.set()

    works.write.before_answer["beat"] = beaten
    step_types = StepTypes([trial_steps.OnLoop])
    runner = Runner(works.database, works.write, works.monitor, step_types, 1, lease=0.2, alone=False)  # type: ignore[arg-type]
    await runner.start()
    revision = works.monitor.revision
    async with asyncio.timeout(PATIENCE):
        with works.monitor.listening(hear):
            await asyncio.gather(beats.wait(), looks.wait())
    assert works.monitor.revision == revision, "nobody else is told"
    await runner.stop(0)
