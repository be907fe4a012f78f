"""Planning: a step type says what its work items are, and they are added as it says them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from typing import Any

from app.queue.store.claim import release_plan
from app.queue.store.plan import ClaimedPlan, NewItem, end_planning, fail_planning, plan
from app.queue.text import storable, storable_value
from app.queue.writer import Writer
from app.work import frames
from app.work.failures import told
from app.work.outbox import Outbox
from app.work.process_work import pass_on_facts, place_of
from app.work.processes import NoProcess, ProcessDied, ProcessPool, WorkerProcess
from app.work.step_context import LoopContext
from app.work.step_type import PermanentError, StepType
from app.work.storing import give_back, until_stored

BATCH = 500
"""Work items that are added in one operation."""


class NotOurs(Exception):
    """The step was ended, or is planned by somebody else by now."""


class Planning:
    """The steps that are being planned."""

    def __init__(
        self,
        outbox: Outbox,
        writer: Writer,
        database_address: str,
        processes: ProcessPool,
        on_end: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._writer = writer
        self._database_address = database_address
        self._processes = processes
        self._on_end = on_end
        self._running: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, int] = {}
        self._contexts: dict[int, LoopContext] = {}

    @property
    def running(self) -> int:
        """How many they are."""
        return len(self._running)

    def start(self, claimed: ClaimedPlan, step_type: type[StepType[Any]]) -> None:
        task = asyncio.create_task(self._plan(claimed, step_type))
        self._running[claimed.step.step_id] = task
        self._attempts[claimed.step.step_id] = claimed.attempt
        task.add_done_callback(lambda _: self._forget(claimed.step.step_id, task))

    def cancel(self, step_id: int) -> None:
        """The step was ended by somebody else: its planning is to stop."""
        if context := self._contexts.get(step_id):
            context.cancelled = True
        if task := self._running.get(step_id):
            task.cancel()

    async def let_go(self) -> None:
        """Ends what is being planned: it is somebody else's to plan."""
        tasks = list(self._running.values())
        for step_id in self._running:
            self.cancel(step_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Ends what is being planned, and gives it back: planning begins again from the start, and adds nothing
        twice."""
        running = dict(self._running)
        for step_id in running:
            self.cancel(step_id)
        await asyncio.gather(*running.values(), return_exceptions=True)
        for step_id in running:
            await give_back(self._writer, release_plan, step_id, self._attempts[step_id])

    def _forget(self, step_id: int, task: asyncio.Task[None]) -> None:
        if self._running.get(step_id) is task:
            del self._running[step_id]
            self._contexts.pop(step_id, None)
        self._on_end()

    async def _plan(self, claimed: ClaimedPlan, step_type: type[StepType[Any]]) -> None:
        step_id, attempt = claimed.step.step_id, claimed.attempt
        intake = _Intake(self._writer, step_id, attempt)
        try:
            if inspect.isasyncgenfunction(step_type.plan):
                await self._plan_on_loop(claimed, step_type, intake)
            else:
                await self._plan_in_process(claimed, step_type, intake)
            if self._outbox.holds(step_id):  # what was said while it was planned comes before its end
                await intake.flush()
                await self._outbox.flushed()
            await intake.end()
        except NotOurs:
            return
        except Exception as error:
            await self._outbox.flushed()
            reason = str(error) if _speaks(error) else told(error)
            await until_stored(self._writer, fail_planning, step_id, attempt, reason)

    async def _plan_on_loop(self, claimed: ClaimedPlan, step_type: type[StepType[Any]], intake: _Intake) -> None:
        settings = step_type.settings_type.model_validate(claimed.step.settings)
        context = LoopContext(claimed.step, settings, self._outbox, self._database_address, None, claimed.attempt)
        self._contexts[claimed.step.step_id] = context
        planned = step_type().plan(context)
        assert isinstance(planned, AsyncIterable)
        async for item in planned:
            await intake.add(NewItem(storable(item.name), storable_value(item.input)))

    async def _plan_in_process(self, claimed: ClaimedPlan, step_type: type[StepType[Any]], intake: _Intake) -> None:
        step = claimed.step
        task = frames.Task(
            place_of(step_type),
            step.step_id,
            step.manager_id,
            step.settings,
            step.parameters,
            self._database_address,
            True,
            [],
        )
        async with self._processes.process() as process:
            process.send(task)
            try:
                await self._follow(process, step.step_id, intake)
            except asyncio.CancelledError:
                process.tell(f"the planning of step {step.name}")
                await self._follow_to_its_end(process, step.step_id)
                raise

    async def _follow(self, process: WorkerProcess, step_id: int, intake: _Intake) -> None:
        failure: str | None = None
        while True:
            for frame in await process.frames():
                match frame:
                    case frames.Found(_, name, value, _):
                        await intake.add(NewItem(name, value))
                    case frames.Ended(error=error):
                        failure = error
                    case frames.Done():
                        if failure is not None:
                            raise PermanentError(failure)
                        return
                    case _:
                        self._pass_on(step_id, frame)
            await intake.flush()
            if self._outbox.crowded:
                await self._outbox.room()

    async def _follow_to_its_end(self, process: WorkerProcess, step_id: int) -> None:
        """Keeps what it says until it has ended."""
        with suppress(ProcessDied):
            while True:
                for frame in await process.frames():
                    if isinstance(frame, frames.Done):
                        return
                    self._pass_on(step_id, frame)

    def _pass_on(self, step_id: int, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Said):
            self._outbox.log(step_id, None, frame.level, frame.message, frame.at)
        else:
            pass_on_facts(self._outbox, step_id, [], frame)


class _Intake:
    """Adds planned items in batches."""

    def __init__(self, writer: Writer, step_id: int, attempt: int) -> None:
        self._writer = writer
        self._step_id = step_id
        self._attempt = attempt
        self._items: list[NewItem] = []
        self.total = 0

    async def add(self, item: NewItem) -> None:
        self._items.append(item)
        self.total += 1
        if len(self._items) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Raises NotOurs."""
        if not self._items:
            return
        items, self._items = self._items, []
        if not await until_stored(self._writer, plan, self._step_id, self._attempt, items):
            raise NotOurs

    async def end(self) -> None:
        """Adds what is left; there is no more."""
        last, self._items = self._items, []
        await until_stored(self._writer, end_planning, self._step_id, self._attempt, last, self.total)


def _speaks(error: Exception) -> bool:
    """Whether an error's own words are enough for the page."""
    return isinstance(error, PermanentError | ProcessDied | NoProcess)
