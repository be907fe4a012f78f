"""The programs that a plain `def` handler starts end with the process that it runs in."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.queue.store.cancel import cancel
from app.work import frames
from app.work.processes import ProcessPool, WorkerProcess
from tests.work.conftest import PATIENCE, Works
from tests.work.test_runner import step


class Pipe:
    """What a program writes to. It ends when every process that could write to it is gone."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.settings = {"marker": str(path)}
        self._path = path

    async def started(self) -> None:
        pipe = os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb")
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), pipe)
        assert await asyncio.wait_for(self._reader.readline(), PATIENCE) == b"\n"

    async def gone(self) -> None:
        assert await self.rest() == b""

    async def rest(self) -> bytes:
        """What else was written to it, once nobody can any more."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE)


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


async def test_a_cancelled_handler_takes_its_program_along(works: Works, pipe: Pipe) -> None:
    async with works.running():
        manager_id = await works.start(step("in_process", "program", settings=pipe.settings))
        await pipe.started()
        assert await works.write(cancel, manager_id, "cancelled by a person")
        await pipe.gone()


async def test_a_worker_process_without_a_parent_takes_a_program_along(pipe: Pipe) -> None:
    worker = await WorkerProcess.start()
    place, items = "tests.work.trial_steps:InProcess", [frames.Item(1, "program", None, 1)]
    worker.send(frames.Task(place, 1, 1, pipe.settings, {}, "path:unused", False, items))
    await pipe.started()
    worker._writer.close()  # as the end of this process would
    await pipe.gone()
    await worker.end()


async def test_a_worker_process_that_dies_takes_a_program_along(works: Works, pipe: Pipe) -> None:
    async with works.running() as runner:
        await works.start(step("in_process", "program", settings=pipe.settings))
        await pipe.started()
        ((pid, _),) = runner.processes.pids
        os.kill(pid, signal.SIGKILL)
        await pipe.gone()


async def test_a_process_that_is_ended_just_as_it_has_done_its_task_gets_no_other() -> None:
    """Or what came next would fail, being at no fault."""
    processes = ProcessPool(1)
    async with processes.process() as first:
        first.kill()
    async with processes.process() as second:
        assert second.pid != first.pid
        second.tell("what is over")
    async with processes.process() as third:
        assert third.pid != second.pid
    await processes.close()


def test_a_worker_process_starts_without_what_only_few_handlers_need() -> None:
    """It is started anew after each that was killed: SQLAlchemy alone would take most of its start."""
    look = "import sys, app.work.worker_process; print({'sqlalchemy', 'sqlmodel', 'asyncio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
