"""A queue without anybody who works: the tests move it along by the store verbs, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.queue import audit
from app.queue.changes import Change
from app.queue.database import Database
from app.queue.records import RunRecord, StepRecord
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import StepMonitor
from app.queue.store.claim import ClaimedItem, claim
from app.queue.store.finish import Ending, finish
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.queue.writer import Commit, Writer


class Queue:
    """A queue in the hands of a test."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.monitor = StepMonitor()
        self.write = Writer(database, self._commit)
        self.commits: list[Commit] = []

    def _commit(self, commit: Commit) -> None:
        self.commits.append(commit)
        self.monitor.hear(commit)

    @property
    def changes(self) -> list[Change]:
        return [change for commit in self.commits for change in commit.changes]

    async def start(self, *steps: StepPlan, **run: Any) -> int:
        return await self.write(start, RunPlan(run.pop("definition", "trial"), "Trial", steps, **run))

    async def plan_all(self, *names: str) -> list[int]:
        """Plans every released step with one item per name; returns their step ids."""
        plans = await self.write(claim_plans, 100)
        for claimed in plans:
            items = [NewItem(name, {"name": name}) for name in names]
            assert await self.write(plan, claimed.step.step_id, claimed.attempt, items)
            await self.write(end_planning, claimed.step.step_id, claimed.attempt)
        return [claimed.step.step_id for claimed in plans]

    async def claim(self, step_id: int, most: int = 100) -> list[ClaimedItem]:
        return (await self.write(claim, {step_id: most})).items

    async def complete(self, *items: ClaimedItem, result: Any = None) -> None:
        for item in items:
            await self.write(finish, item.step_id, [Ending(item.id, item.attempt, result)])

    async def fail(self, *items: ClaimedItem, error: str = "boom", permanent: bool = False) -> None:
        for item in items:
            end = Ending(item.id, item.attempt, error=error, permanent=permanent)
            await self.write(finish, item.step_id, [end])

    def run(self, manager_id: int) -> RunRecord:
        with Snapshot.of(self.database) as snapshot:
            return snapshot.run(manager_id)

    def step(self, manager_id: int, name: str) -> StepRecord:
        with Snapshot.of(self.database) as snapshot:
            return snapshot.step(manager_id, name)

    def read(self, reading: Callable[[Snapshot], Any]) -> Any:
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    """A queue that is found sound at the end of the test, whatever the test did."""
    queue = Queue(database)
    yield queue
    await queue.write.close()
    assert audit.check(database) == []
