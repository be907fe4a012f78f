"""A plain `def` handler that is cancelled is told so, has a grace to end in, and is ended for real after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.queue.run_plan import StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.cancel import cancel, cancel_item
from app.queue.store.claim import ClaimedItem
from app.work import frames, patience
from app.work.process_work import ProcessWork
from app.work.processes import ProcessDied, WorkerProcess
from app.work.runner import Runner
from app.work.step_type import Cancelled
from app.work.stop_signal import StopSignal
from tests.work.conftest import PATIENCE, Works
from tests.work.test_programs import Pipe
from tests.work.told_steps import Told


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here is ended because the machine is slow."""
    monkeypatch.setattr(patience, "STOP_GRACE", PATIENCE)


class Telling:
    """A runner with one slot, and what it is given to do."""

    def __init__(self, works: Works, runner: Runner, folder: Path) -> None:
        self._works = works
        self._runner = runner
        self._folder = folder

    async def start(self, *items: str) -> int:
        settings = {"items": list(items), "folder": str(self._folder)}
        manager_id = await self._works.start(StepPlan("one", "told", settings=settings))
        assert isinstance(manager_id, int)
        return manager_id

    async def said(self, manager_id: int, message: str) -> None:
        """Waits until it is in the log."""
        await self._works.until(lambda _: message in messages(self._works, manager_id))

    async def idle(self) -> None:
        """Waits until nothing has a slot."""
        async with asyncio.timeout(PATIENCE):
            while self._runner.running() or self._runner._planning.running:
                self._runner._wake.clear()
                await self._runner._wake.wait()
        await self._runner._outbox.flushed()

    @property
    def pids(self) -> list[int]:
        return [pid for pid, _ in self._runner.processes.pids]


@asynccontextmanager
async def telling(works: Works, tmp_path: Path) -> AsyncIterator[Telling]:
    async with works.running(slots=1, also=[Told]) as runner:
        yield Telling(works, runner, tmp_path)


def messages(works: Works, manager_id: int) -> list[str]:
    return [line.message for line in works.log(works.run(manager_id))]


def item_of(works: Works, manager_id: int) -> Any:
    (item,) = works.read(lambda snapshot: snapshot.jobs(JobFilter(manager_id=manager_id, kind="worker"), 5)).jobs
    return item


async def test_a_handler_that_is_told_ends_by_itself_and_its_last_words_are_kept(works: Works, tmp_path: Path) -> None:
    async with telling(works, tmp_path) as told:
        first = await told.start("tidy")
        await told.said(first, "is busy")
        assert (tmp_path / "busy").exists()
        (process,) = told.pids
        assert await works.write(cancel_item, item_of(works, first).id, "cancelled by ann")
        cancelled = works.run(first)  # at once, whatever the handler makes of it
        assert (cancelled.status, cancelled.counts.cancelled) == (Status.CANCELLED, 1)
        await told.idle()
        assert not (tmp_path / "busy").exists()
        assert messages(works, first)[-1] == "has tidied up"
        assert item_of(works, first).status is Status.CANCELLED

        second = await told.start("look")  # a process that was told gets nothing else
        await told.said(second, "looks")
        assert process not in told.pids
    # The end of the server, which counts no part of a result for the whole.
    assert messages(works, second)[-1] == "has seen it"
    item = item_of(works, second)
    assert (item.status, item.attempt, item.reason) == (Status.PENDING, 0, "given back")


async def test_a_program_is_told_as_well_and_has_time_to_end(works: Works, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "said")
    async with telling(works, tmp_path) as told:
        manager_id = await told.start("program")
        await pipe.started()
        assert await works.write(cancel, manager_id, "cancelled by ann")
        assert await asyncio.wait_for(pipe.rest(), PATIENCE) == b"told\n"


async def test_a_handler_that_does_not_listen_is_killed_with_its_programs(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STOP_GRACE", 0.1)
    pipe = Pipe(tmp_path / "said")
    async with telling(works, tmp_path) as told:
        manager_id = await told.start("deaf")
        await pipe.started()
        assert await works.write(cancel, manager_id, "cancelled by ann")
        await pipe.gone()


async def test_a_planning_that_is_cancelled_tidies_up(works: Works, tmp_path: Path) -> None:
    async with telling(works, tmp_path) as told:
        manager_id = await told.start("plan")
        await told.said(manager_id, "is busy")
        assert await works.write(cancel, manager_id, "cancelled by ann")
        await told.idle()
        assert not (tmp_path / "busy").exists()
        assert messages(works, manager_id)[-1] == "has tidied up"


async def test_one_that_has_looked_and_goes_on_is_interrupted_in_the_end(tmp_path: Path) -> None:
    worker = await WorkerProcess.start()
    settings = {"items": [], "folder": str(tmp_path)}
    items = [frames.Item(1, "look on", None, 1), frames.Item(2, "tidy", None, 1)]
    worker.send(frames.Task("tests.work.told_steps:Told", 1, 1, settings, {}, "path:unused", False, items))
    said: list[Any] = []
    with suppress(ProcessDied):
        while True:
            said += [frame.message if isinstance(frame, frames.Said) else frame for frame in await worker.frames()]
            if said[-1] == "looks":
                worker.tell("look on")
            if said[-1] == "is busy":
                worker._tell_again()  # as it would be done when half of the grace is over
    *said, ended = said  # nothing was begun afterwards
    assert said == ["looks", "has seen it", "is busy", "has tidied up"]
    assert ended.told and ended.error == "Cancelled: its process was told to end"
    await worker.end()


def test_a_handler_is_interrupted_once_and_never_while_it_speaks() -> None:
    stop = StopSignal()
    stop.begin()
    held = stop.hold()
    stop._hear(15, None)
    with pytest.raises(Cancelled):
        stop.let_go(held)
    stop._hear(15, None)
    assert stop.told


def test_a_handler_that_looks_for_itself_is_interrupted_by_the_second_signal_only() -> None:
    stop = StopSignal()
    stop.begin()
    stop.looked_for = True
    stop._hear(15, None)
    with pytest.raises(Cancelled):
        stop._hear(15, None)


class Script:
    """A worker process, and the pool of it, that says what it is to say. `None`: now somebody cancels the first."""

    size = 1
    pid = 1

    def __init__(self, *lives: list[list[Any] | None]) -> None:
        self._lives = list(lives)
        self.tasks: list[list[str]] = []
        self.told = 0
        self.cancel: Callable[[], None]

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Script]:
        self._life = self._lives.pop(0)
        yield self

    def send(self, task: frames.Task) -> None:
        self.tasks.append([item.name for item in task.items])

    def tell(self, at: str) -> None:
        self.told += 1

    async def frames(self) -> list[Any]:
        if not self._life:
            raise ProcessDied("its process exited with status 1")
        says = self._life.pop(0)
        if says is None:
            self.cancel()
            return []
        return says


class Said:
    """An outbox that keeps what it is told."""

    crowded = False

    def __init__(self) -> None:
        self.endings: list[tuple[str, Any]] = []

    def end(self, _step_id: int, ending: Any) -> None:
        self.endings.append((str(ending.worker_id), ending.error or ending.result))


async def carried_out(script: Script) -> list[tuple[str, Any]]:
    """How two work items of one chunk ended, 1 of which somebody cancels."""
    step: Any = SimpleNamespace(step_id=1, manager_id=1, name="one", settings={}, parameters={})
    lane: Any = SimpleNamespace(step=step, type=Told, settings=None, timeout=None, chunk=2, took=lambda *_: None)
    outbox, nothing = Said(), SimpleNamespace()
    work = ProcessWork(outbox, nothing, "", script, 8, lambda: None)  # type: ignore[arg-type]
    script.cancel = lambda: work.cancel([1])
    work.start(lane, [ClaimedItem(n, 1, f"item {n}", None, 1) for n in (1, 2)])
    await asyncio.gather(*work._chunks)
    return outbox.endings


async def test_the_item_after_the_one_that_is_meant_is_not_blamed_and_runs_again() -> None:
    was_over = frames.Ended(0, "done")
    script = Script(
        [None, [was_over, frames.Ended(1, error="Cancelled: its process was told to end", told=True)]],
        [[frames.Ended(0, "done again"), frames.Done()]],
    )
    assert await carried_out(script) == [("1", "done"), ("2", "done again")]
    assert script.tasks == [["item 1", "item 2"], ["item 2"]]


async def test_the_item_after_the_one_that_is_meant_runs_again_if_it_does_not_listen() -> None:
    script = Script([None, [frames.Ended(0, "done")]], [[frames.Ended(0, "done again"), frames.Done()]])
    assert await carried_out(script) == [("1", "done"), ("2", "done again")]


async def test_what_is_cancelled_ends_once() -> None:
    script = Script(
        [None, [frames.Ended(0, error="OSError: its program is gone", told=True)]],
        [[frames.Ended(0, "done"), frames.Done()]],
    )
    assert await carried_out(script) == [("2", "done")]
    assert script.told == 1
