"""A queue with a runner that works: what a server is, without its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.queue import audit
from app.queue.database import Database
from app.queue.records import LogLine, RunRecord
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import FINAL
from app.queue.step_monitor import StepMonitor
from app.queue.storage import Storage
from app.queue.store.start import start
from app.queue.writer import Commit, Followed, Transaction, WriteFailed, Writer
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.step_type import StepType
from tests.work import trial_steps
from tests.work.runners import prepared, running

PATIENCE = 90
"""Seconds after which a test that waits for something has failed; nothing here takes nearly as long."""


class FaultyWriter:
    """A writer that can be made to fail, or to let something else happen before a verb is answered. A claim by tickets
    is one as any other."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._trouble = asyncio.Event()
        self.failing: set[str] = set()
        """Verbs of which the next call cannot be committed."""
        self.failed: list[str] = []
        self.called: list[str] = []
        """Verbs, in the order of their calls."""
        self.before_answer: dict[str, Callable[[], Awaitable[Any]]] = {}
        """By verb: what happens between the commit of its next call and its answer."""

    @property
    def storage(self) -> Storage:
        return self._writer.storage

    def __call__(self, verb: Callable[..., Any], *arguments: Any, **named: Any) -> Awaitable[Any]:
        return self._call(verb, *arguments, **named)

    async def _call(self, verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        name = verb.__name__.removesuffix("_by_tickets")
        self.called.append(name)
        if name in self.failing:
            self.failing.discard(name)
            self.failed.append(name)
            raise WriteFailed("cannot be written: database or disk is full")
        try:
            answer = await self._writer(verb, *arguments, **named)
        except WriteFailed:
            self._trouble.set()
            raise
        happening = self.before_answer.get(name)
        if happening and answer:
            del self.before_answer[name]
            await happening()
        return answer

    @property
    def follow_up(self) -> Callable[[Transaction], Followed | None] | None:
        return self._writer.follow_up

    @follow_up.setter
    def follow_up(self, follow_up: Callable[[Transaction], Followed | None]) -> None:
        """While something is to happen at a verb nothing is claimed eagerly: the verb may be the claim."""
        self._writer.follow_up = lambda transaction: (
            None if self.failing or self.before_answer else follow_up(transaction)
        )

    async def in_trouble(self) -> None:
        """Waits until a commit has failed."""
        async with asyncio.timeout(PATIENCE):
            await self._trouble.wait()

    async def close(self) -> None:
        await self._writer.close()


class Works:
    """A database, its writer and a runner that may come and go."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.monitor = StepMonitor()
        self.write = FaultyWriter(Writer(database, self.monitor.hear, prepared(database)))

    @asynccontextmanager
    async def running(
        self,
        slots: int = 8,
        grace: float = 0.0,
        limits: Sequence[tuple[str, str]] = (),
        also: Sequence[type[StepType[Any]]] = (),
    ) -> AsyncIterator[Runner]:
        step_types = StepTypes([trial_steps.OnLoop, trial_steps.InProcess, *also])
        made = running()(self.database, self.write, self.monitor, step_types, slots, limits=limits, grace=grace)
        async with made as runner:
            yield runner

    async def start(self, *steps: StepPlan, **run: Any) -> int:
        return await self.write(start, RunPlan(run.pop("definition", "trial"), "Trial", steps, **run))

    async def until(self, true: Callable[[Snapshot], bool]) -> None:
        """Waits, from commit to commit, until it is so."""
        changed = asyncio.Event()

        def hear(_: Commit) -> None:
            changed.set()

        async with asyncio.timeout(PATIENCE):
            with self.monitor.listening(hear):
                while not self.read(true):
                    await changed.wait()
                    changed.clear()

    async def ended(self, manager_id: int) -> RunRecord:
        """Waits for the end of a run."""
        await self.until(lambda snapshot: snapshot.run(manager_id).status in FINAL)
        return self.run(manager_id)

    async def run_to_end(self, *steps: StepPlan, slots: int = 8, **run: Any) -> RunRecord:
        async with self.running(slots):
            return await self.ended(await self.start(*steps, **run))

    def read(self, reading: Callable[[Snapshot], Any]) -> Any:
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)

    def run(self, manager_id: int) -> RunRecord:
        return self.read(lambda snapshot: snapshot.run(manager_id))

    def errors(self, manager_id: int) -> dict[str, str | None]:
        """The work items of a run by name, with their errors."""
        page = self.read(lambda snapshot: snapshot.jobs(JobFilter(manager_id=manager_id, kind="worker"), 1000))
        return {job.name: job.error for job in page.jobs}

    def log(self, run: RunRecord) -> list[LogLine]:
        step = run.steps[0]
        return list(self.read(lambda snapshot: snapshot.log_lines(step.id, 1, step.log_count)))


@pytest.fixture
async def works(database: Database) -> AsyncIterator[Works]:
    """Found sound at the end of the test, whatever the test did."""
    works = Works(database)
    yield works
    await works.write.close()
    assert audit.check(database) == []
