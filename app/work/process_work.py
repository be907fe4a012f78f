"""Work items with plain `def` handlers, in worker processes.

What is to end is told, and given a grace. That reaches the process when it is at the item that is meant, or already at
one of the next: those are not blamed for it, and run again in another process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from app.queue.documents import Document
from app.queue.store.claim import ClaimedItem, ClaimedStep, release
from app.queue.store.finish import Ending
from app.queue.store.plan import NewItem
from app.queue.writer import Writer
from app.work import frames, patience
from app.work.lanes import Lane
from app.work.outbox import Outbox
from app.work.patience import ended_within
from app.work.processes import NoProcess, ProcessDied, ProcessPool, WorkerProcess
from app.work.step_type import PermanentError, StepType
from app.work.storing import give_back

GONE_WITHIN = 1.0
"""Seconds that killed processes have to be gone."""
STOPPED = ""
"""Why an item is to end when nothing is to be told of it."""


@dataclass(slots=True, eq=False)
class _Chunk:
    """Items of one step on their way through a process, in order; the first one left is the one it is at."""

    lane: Lane
    left: list[ClaimedItem]
    process: WorkerProcess | None = None
    told: ClaimedItem | None = None
    """Because of which item the process was told to end."""
    told_because: str = STOPPED
    timer: asyncio.TimerHandle | None = None
    cancelled: set[int] = field(default_factory=set)


class ProcessWork:
    """The chunks that are being worked on."""

    def __init__(
        self,
        outbox: Outbox,
        writer: Writer,
        database_address: str,
        processes: ProcessPool,
        slots: int,
        on_end: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._writer = writer
        self._database_address = database_address
        self._processes = processes
        self._slots = slots
        self._on_end = on_end
        self._chunks: dict[asyncio.Task[None], _Chunk] = {}
        self._stopping = False

    @property
    def running(self) -> int:
        """How many items are on their way."""
        return sum(len(chunk.left) for chunk in self._chunks.values())

    def items(self) -> list[tuple[ClaimedStep, ClaimedItem, int | None, bool]]:
        """Which they are, each with the process that it is handed to, and whether it waits there."""
        return [
            (chunk.lane.step, item, chunk.process.pid if chunk.process else None, place > 0 or chunk.process is None)
            for chunk in tuple(self._chunks.values())
            for place, item in enumerate(tuple(chunk.left))
        ]

    @property
    def most_in_chunk(self) -> int:
        """The largest chunk that leaves enough slots for all processes, and for one chunk each in waiting."""
        return max(1, self._slots // (2 * self._processes.size))

    @property
    def free(self) -> int:
        """How many chunks may be claimed: one per process, and one more in waiting while the chunks are quick."""
        quick = all(chunk.lane.chunk > 1 for chunk in self._chunks.values())
        most = self._processes.size * 2 if quick and self._chunks else self._processes.size
        return max(0, most - len(self._chunks))

    def start(self, lane: Lane, items: list[ClaimedItem]) -> None:
        """Runs the items, in chunks of the lane's size."""
        size = min(lane.chunk, self.most_in_chunk)
        for first in range(0, len(items), size):
            chunk = _Chunk(lane, items[first : first + size])
            task = asyncio.create_task(self._run(chunk))
            self._chunks[task] = chunk
            task.add_done_callback(self._forget)

    def cancel(self, worker_ids: Iterable[int]) -> None:
        """The items were ended by somebody else: a process that is at one of them is told to end."""
        stopped = set(worker_ids)
        for chunk in self._chunks.values():
            chunk.cancelled |= stopped.intersection(item.id for item in chunk.left)
            if chunk.left and chunk.left[0].id in chunk.cancelled:
                _tell(chunk, STOPPED)

    async def let_go(self) -> None:
        """Ends what runs: it is somebody else's to run."""
        tasks = list(self._chunks)
        self.cancel([item.id for chunk in self._chunks.values() for item in chunk.left])
        if tasks:
            await asyncio.wait(tasks, timeout=patience.STOP_GRACE + GONE_WITHIN)

    async def stop(self, grace: float, hurry: asyncio.Event) -> int:
        """Waits up to `grace` seconds, then tells what still runs to end, ends it, and gives it back; at once when
        `hurry` is set. Returns how many items that were."""
        await ended_within(self._chunks, grace, hurry)
        self._stopping = True
        left = dict(self._chunks)
        for task, chunk in left.items():
            _tell(chunk, STOPPED)
            if chunk.process is None:
                task.cancel()
        await ended_within(left, patience.STOP_GRACE, hurry)
        for task in left:
            task.cancel()  # which kills its process
        await asyncio.gather(*left, return_exceptions=True)
        given_back = 0
        for chunk in left.values():
            if chunk.left:
                items = [(item.id, item.attempt) for item in chunk.left]
                step_id = chunk.lane.step.step_id
                given_back += await give_back(self._writer, release, step_id, items) and len(items)
        return given_back

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._chunks[task]
        self._on_end()

    async def _run(self, chunk: _Chunk) -> None:
        try:
            chunk.lane.settings  # noqa: B018  raises if the step cannot be run here
        except Exception as error:
            self._fail_all(chunk, str(error))
            return
        while chunk.left and not self._stopping:
            await self._run_in_one_process(chunk)
            chunk.left = [item for item in chunk.left if item.id not in chunk.cancelled]

    async def _run_in_one_process(self, chunk: _Chunk) -> None:
        """Runs what is left until the end, or until the process dies; then the item it was at has ended too."""
        try:
            async with self._processes.process() as process:
                # Whatever was cancelled while the chunk waited for a process never starts.
                chunk.left = [item for item in chunk.left if item.id not in chunk.cancelled]
                if not chunk.left:
                    return
                chunk.process = process
                process.send(self._task(chunk))
                await self._follow(chunk, process)
        except ProcessDied as death:
            self._blame(chunk, str(death))
        except NoProcess as trouble:
            self._fail_all(chunk, str(trouble))
        finally:
            _disarm(chunk)
            chunk.process = chunk.told = None

    def _blame(self, chunk: _Chunk, death: str) -> None:
        """Ends the item because of which the process was to end, or else the one that it was at when it died; the
        others of the chunk do not suffer."""
        if self._stopping or not chunk.left or (chunk.told and chunk.told not in chunk.left):
            return
        culprit = chunk.told or chunk.left[0]
        chunk.left.remove(culprit)
        why = chunk.told_because if chunk.told else death
        if why and culprit.id not in chunk.cancelled:
            died = chunk.told is None
            self._outbox.end(culprit.step_id, Ending(culprit.id, culprit.attempt, error=why, died=died))

    async def _follow(self, chunk: _Chunk, process: WorkerProcess) -> None:
        items = list(chunk.left)
        began = time.monotonic()
        _arm(chunk)
        while True:
            for frame in await process.frames():
                if isinstance(frame, frames.Done):
                    chunk.lane.took(time.monotonic() - began, len(items))
                    return
                self._pass_on(chunk, items, frame)
            if self._outbox.crowded:
                await self._outbox.room()

    def _pass_on(self, chunk: _Chunk, items: list[ClaimedItem], frame: frames.Frame) -> None:
        step_id = chunk.lane.step.step_id
        match frame:
            case frames.Said(index, at, level, message):
                self._outbox.log(step_id, items[index].id, level, message, at)
            case frames.Found(index, name, value, at_most):
                item = items[index]
                self._outbox.spawn(step_id, item.id, item.attempt, NewItem(name, value, at_most))
            case frames.Ended(told=True) if chunk.told:
                pass  # of no account: the item is still to be ended, or to run again
            case frames.Ended(index, result, error, traceback, permanent, retry_after):
                item = items[index]
                chunk.left.remove(item)
                _arm(chunk)
                ending = Ending(item.id, item.attempt, result, error, traceback, permanent, retry_after)
                self._outbox.end(step_id, ending)
                if chunk.left and chunk.left[0].id in chunk.cancelled:
                    _tell(chunk, STOPPED)
            case _:
                pass_on_facts(self._outbox, step_id, items, frame)

    def _task(self, chunk: _Chunk) -> frames.Task:
        step = chunk.lane.step
        assert chunk.lane.type is not None
        items = [frames.Item(item.id, item.name, item.input, item.attempt) for item in chunk.left]
        return frames.Task(
            place_of(chunk.lane.type),
            step.step_id,
            step.manager_id,
            step.settings,
            step.parameters,
            self._database_address,
            False,
            items,
        )

    def _fail_all(self, chunk: _Chunk, why: str) -> None:
        for item in chunk.left:
            self._outbox.end(item.step_id, Ending(item.id, item.attempt, error=why, permanent=True))
        chunk.left = []


def pass_on_facts(outbox: Outbox, step_id: int, items: list[ClaimedItem], frame: frames.Frame) -> None:
    """Hands on what a process saved, removed or used while it was at `items`, or at planning."""
    match frame:
        case frames.Saved(index, address, title, body, source_type, tags, metadata, content_hash):
            document = Document(address, title, body, source_type, tuple(tags), metadata, content_hash)
            outbox.save_document(step_id, items[index].id if index >= 0 else None, document)
        case frames.Removed(address):
            outbox.delete_document(step_id, address)
        case frames.Added(amounts):
            outbox.add_to_totals(step_id, amounts)


def place_of(step_type: type[StepType[Any]]) -> str:
    """Where a worker process finds the step type. Raises PermanentError for one that only this process has."""
    if "<locals>" in step_type.__qualname__ or step_type.__module__ == "__main__":
        raise PermanentError(f"the step type {step_type.name} must stand at the top of a module that can be imported")
    return f"{step_type.__module__}:{step_type.__qualname__}"


def _arm(chunk: _Chunk) -> None:
    """Starts the clock of the item that the process is at now."""
    _disarm(chunk)
    if chunk.left and not chunk.told and chunk.lane.timeout is not None:
        told = f"took longer than its timeout of {chunk.lane.timeout:g} s"
        chunk.timer = asyncio.get_running_loop().call_later(chunk.lane.timeout, _tell, chunk, told)


def _disarm(chunk: _Chunk) -> None:
    if chunk.timer:
        chunk.timer.cancel()
        chunk.timer = None


def _tell(chunk: _Chunk, why: str) -> None:
    """Tells the process to end because of the item that it is at."""
    if chunk.process is None or chunk.told is not None or not chunk.left:
        return
    _disarm(chunk)
    chunk.told, chunk.told_because = chunk.left[0], why
    chunk.process.tell(f"{chunk.told.name} of step {chunk.lane.step.name}")
