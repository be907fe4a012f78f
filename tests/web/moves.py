"""Moves of a queue for random histories, each by a number that says of what, how many and the like."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from app.queue.actor import Actor, Place
from app.queue.documents import Document
from app.queue.limits import Limits
from app.queue.models import Level
from app.queue.pauses import QUEUE, Scope
from app.queue.rerun_reading import repeating
from app.queue.run_plan import FailureAction, OnError, RunPlan, StepPlan, Tolerance
from app.queue.store.cancel import cancel
from app.queue.store.claim import ClaimedItem, claim
from app.queue.store.control import Target, cancel_as
from app.queue.store.delete import NotOver, delete_run
from app.queue.store.documents import Saving, delete_documents, save_documents
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.pause import NothingToPause, pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.priority import NothingToPrioritise, prioritise_as
from app.queue.store.rerun import NotRepeatable, rerun_as
from app.queue.store.retry import Again, NothingToRetry, retry
from app.queue.store.start import start
from app.queue.store.totals import add_to_totals
from app.queue.writer import Writer

LEVELS = tuple(Level)
ACTORS = (Actor(Place.PAGE), Actor(Place.API, "ann <b>"))


class Moves:
    """Moves a queue along by the store verbs. `runs`: those that have not been deleted."""

    def __init__(self, writer: Writer) -> None:
        self.write = writer
        self.runs: list[int] = []
        self._steps: list[tuple[int, int]] = []
        """(run, step)"""
        self._claimed: list[ClaimedItem] = []
        self._ended: list[tuple[int, ClaimedItem]] = []

    async def start(self, number: int) -> None:
        limits = Limits((None, 1, 2)[number % 3], "1/hour" if number % 10 == 7 else None)
        first = StepPlan("first", "trial", on_error=(OnError.FAIL, OnError.CONTINUE)[number % 2], limits=limits)
        second = StepPlan("second", "trial", depends=("first",))
        third = StepPlan("third", "trial", depends=(), always_run=number % 3 == 0)
        tolerance = Tolerance(number % 5 - 1, list(FailureAction)[number % 3])
        run = RunPlan("trial", "Trial", (first, second, third), tolerance=tolerance, concurrency=100)
        run = replace(run, limits=Limits((None, 3)[number % 2]), priority=number % 3)
        self.runs.append(await self.write(start, run))

    async def plan(self, number: int) -> None:
        for claimed in await self.write(claim_plans, 1 + number % 3):
            step = claimed.step
            await self.write(plan, step.step_id, claimed.attempt, [NewItem(f"item {n}") for n in range(number % 6)])
            await self.write(end_planning, step.step_id, claimed.attempt)
            self._steps.append((step.manager_id, step.step_id))

    async def claim(self, number: int) -> None:
        if self._steps:
            _, step_id = self._steps[number % len(self._steps)]
            self._claimed += (await self.write(claim, {step_id: 1 + number % 4})).items

    async def complete(self, number: int, error: str | None = None) -> None:
        """Also by workers that come too late."""
        if self._claimed:
            item = self._claimed.pop(number % len(self._claimed))
            await self.write(finish, item.step_id, [Ending(item.id, item.attempt, {"n": number}, error)])

    async def fail(self, number: int) -> None:
        await self.complete(number, f"boom {number}" if number % 3 else "bang")

    async def retry(self, number: int) -> None:
        if not self._steps:
            return
        manager_id, step_id = self._steps[number % len(self._steps)]
        again = (Again(manager_id), Again(manager_id, step_id), Again(manager_id, step_id, pattern="boom <n>"))[
            number % 3
        ]
        with suppress(NothingToRetry):
            await self.write(retry, again if number % 7 else Again(manager_id, cancelled=True), "retried by a person")

    async def log(self, number: int) -> None:
        if self._steps:
            _, step_id = self._steps[number % len(self._steps)]
            said = [(LEVELS[n % 4], f"{'::group::' if n % 11 == 3 else ''}line {n}") for n in range(number % 30 + 1)]
            await self.write(log, [Line(step_id, None, 1.0, level, message) for level, message in said])

    async def save(self, number: int) -> None:
        if self._claimed:
            item = self._claimed[number % len(self._claimed)]
            documents = [Document(f"file:/{n % 40}", f"by {item.id}", "", "trial") for n in range(number, number + 15)]
            await self.write(save_documents, item.step_id, [Saving(document, item.id) for document in documents])

    async def use(self, number: int) -> None:
        if self._steps:
            _, step_id = self._steps[number % len(self._steps)]
            await self.write(add_to_totals, step_id, {"requests": 1, "cost": number / 7})

    async def remove(self, number: int) -> None:
        await self.write(delete_documents, [f"file:/{n % 40}" for n in range(number, number + 10)])

    async def flood(self, number: int) -> None:
        for _ in range(number % 30 + 1):
            await self.log(29 - number % 3)

    async def cancel(self, number: int) -> None:
        if self.runs:
            await self.write(cancel, self.runs[number % len(self.runs)], "cancelled by a person")

    async def cancel_part(self, number: int) -> None:
        """A step or a work item that was at work once."""
        if not self._steps:
            return
        manager_id, step_id = self._steps[number % len(self._steps)]
        item_id = None if number % 3 == 0 or not self._claimed else self._claimed[number % len(self._claimed)].id
        await self.write(cancel_as, Target(manager_id, step_id, item_id), ACTORS[number % 2])

    async def pause(self, number: int) -> None:
        """A run, the definition or the queue."""
        if self.runs:
            with suppress(NothingToPause):
                await self.write(pause_as, self._scope(number), ACTORS[number % 2])

    async def resume(self, number: int) -> None:
        if self.runs:
            await self.write(resume_as, self._scope(number), ACTORS[number % 2])

    async def prioritise(self, number: int) -> None:
        if self.runs:
            with suppress(NothingToPrioritise):
                await self.write(prioritise_as, self.runs[number % len(self.runs)], number % 4 - 1, ACTORS[0])

    def _scope(self, number: int) -> Scope:
        of_run = Scope(manager_id=self.runs[number % len(self.runs)])
        return (QUEUE, Scope("trial"), of_run, of_run)[number % 4]

    async def rerun(self, number: int) -> None:
        """Wholly, or from the second step on."""
        if not self.runs or len(self.runs) > 3:
            return
        manager_id = self.runs[number % len(self.runs)]
        first, second = StepPlan("first", "trial"), StepPlan("second", "trial", depends=("first",))
        run = RunPlan("trial", "Trial", (first, second), concurrency=100)
        with suppress(NotRepeatable):
            plan = repeating(run, manager_id, "second" if number % 2 else None)
            self.runs.append(await self.write(rerun_as, plan, ACTORS[0]))

    async def delete(self, number: int) -> None:
        """A batch of it; whoever works deletes the rest."""
        if self.runs:
            manager_id = self.runs[number % len(self.runs)]
            with suppress(NotOver):
                await self.write(delete_run, manager_id, 1 + number % 20)
                self.runs.remove(manager_id)
                self._steps = [each for each in self._steps if each[0] != manager_id]
