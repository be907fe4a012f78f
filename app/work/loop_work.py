"""Work items with `async def` handlers, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.queue.store.claim import ClaimedItem, ClaimedStep, release
from app.queue.store.finish import Ending
from app.queue.writer import Writer
from app.work import patience
from app.work.failures import failed, storable_result
from app.work.lanes import Lane
from app.work.outbox import Outbox
from app.work.patience import ended_within
from app.work.step_context import LoopContext
from app.work.step_type import WorkItem
from app.work.storing import give_back

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Running:
    lane: Lane
    item: ClaimedItem
    context: LoopContext | None = None
    task: asyncio.Task[None] | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    told_to_stop: str | None = None
    """Why, if it was; empty when its end needs no telling."""
    over: bool = False


class LoopWork:
    """The running items. Each ends once, by its handler or without it."""

    def __init__(self, outbox: Outbox, writer: Writer, database_address: str, on_end: Callable[[], None]) -> None:
        self._outbox = outbox
        self._writer = writer
        self._database_address = database_address
        self._on_end = on_end
        self._running: dict[int, _Running] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    def items(self) -> list[tuple[ClaimedStep, ClaimedItem]]:
        """Which they are."""
        return [(each.lane.step, each.item) for each in tuple(self._running.values())]

    def start(self, lane: Lane, items: Iterable[ClaimedItem]) -> None:
        loop = asyncio.get_running_loop()
        for item in items:
            running = self._running[item.id] = _Running(lane, item)
            running.task = loop.create_task(self._run(running))
            if lane.timeout is not None:
                told = f"took longer than its timeout of {lane.timeout:g} s"
                running.timers.append(loop.call_later(lane.timeout, self._tell_to_stop, running, told))

    def cancel(self, worker_ids: Iterable[int]) -> None:
        """The items were ended by somebody else: their handlers are to stop, and nothing is told of them."""
        for worker_id in worker_ids:
            if running := self._running.get(worker_id):
                self._tell_to_stop(running, "")

    async def let_go(self) -> None:
        """Ends what runs: it is somebody else's to run."""
        tasks = [running.task for running in self._running.values() if running.task]
        self.cancel(tuple(self._running))
        if tasks:
            await asyncio.wait(tasks, timeout=patience.STOP_GRACE)

    async def stop(self, grace: float, hurry: asyncio.Event) -> int:
        """Waits up to `grace` seconds, or until `hurry` is set, then ends what still runs and gives it back. Returns
        how many items that were."""
        await ended_within([each.task for each in self._running.values() if each.task], grace, hurry)
        left = list(self._running.values())
        for running in left:
            self._tell_to_stop(running, "")
        if left:
            await asyncio.wait([running.task for running in left if running.task], timeout=patience.STOP_GRACE)
        by_step: dict[int, list[tuple[int, int]]] = {}
        for running in left:
            by_step.setdefault(running.item.step_id, []).append((running.item.id, running.item.attempt))
        given_back = 0
        for step_id, items in by_step.items():
            given_back += await give_back(self._writer, release, step_id, items) and len(items)
        return given_back

    async def _run(self, running: _Running) -> None:
        item, lane = running.item, running.lane
        ending: Ending | None = None
        try:
            settings = lane.settings
            assert lane.type is not None
            running.context = LoopContext(
                lane.step, settings, self._outbox, self._database_address, item.id, item.attempt
            )
            result = await lane.type().run(running.context, WorkItem(item.name, item.input))
            if running.told_to_stop is None:  # else it may be of a part
                ending = Ending(item.id, item.attempt, storable_result(result))
        except BaseException as error:
            # BaseException: a handler that calls sys.exit, or cancels itself, fails; it does not take the server along.
            if running.told_to_stop is None:
                ending = _failure(item, error)
        self._end(running, ending)

    def _tell_to_stop(self, running: _Running, why: str) -> None:
        if running.over or running.told_to_stop is not None or running.task is None:
            return
        running.told_to_stop = why
        if running.context:
            running.context.cancelled = True
        running.task.cancel()
        running.timers.append(asyncio.get_running_loop().call_later(patience.STOP_GRACE, self._leave_behind, running))

    def _leave_behind(self, running: _Running) -> None:
        """The handler goes on though it was told to stop: its item ends without it, and it is taken off the loop."""
        if running.over or running.task is None:
            return
        log.warning("a handler did not stop when told to", item=running.item.name, step=running.lane.step.name)
        self._end(running, None)
        try:
            running.task.get_coro().close()  # raises GeneratorExit where it waits
        except RuntimeError:
            log.error("a handler cannot be ended, and goes on without anybody listening", item=running.item.name)
        running.task.add_done_callback(asyncio.Task.exception)  # that of a task whose coroutine is gone: expected
        running.task.cancel()

    def _end(self, running: _Running, ending: Ending | None) -> None:
        if running.over:
            return
        running.over = True
        for timer in running.timers:
            timer.cancel()
        if self._running.get(running.item.id) is running:  # it may have been retried, and begun anew, meanwhile
            del self._running[running.item.id]
        if running.told_to_stop:  # timed out, whatever the handler made of that
            ending = Ending(running.item.id, running.item.attempt, error=running.told_to_stop)
        if ending is not None:
            self._outbox.end(running.item.step_id, ending)
        self._on_end()


def _failure(item: ClaimedItem, error: BaseException) -> Ending:
    end: Any = failed(0, error)
    return Ending(item.id, item.attempt, None, end.error, end.traceback, end.permanent, end.retry_after)
