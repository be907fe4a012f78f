"""The worker processes: a few, started when first needed, replaced when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import structlog

from app.work import frames, patience
from app.work.failures import told_exit

T = TypeVar("T")

log = structlog.get_logger(__name__)

EXIT_GRACE = 5.0
"""Seconds that a process has to end after it closed its socket."""


class ProcessDied(Exception):
    """The process ended before its task was over; the message says how."""


class NoProcess(Exception):
    """No worker process could be started; the message says why."""


class WorkerProcess:
    """One worker process and the socket to it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._process = process
        self._reader = reader
        self._writer = writer
        self.is_ending = False
        """Whether it was told to end, or killed."""
        self._timers: list[asyncio.TimerHandle] = []
        self._head: bytes | None = None
        """Of frames of which the rest is still to be read."""

    @classmethod
    async def start(cls) -> WorkerProcess:
        """Starts one and waits until it is ready for a task. Raises NoProcess."""
        ours, theirs = socket.socketpair()
        with theirs:
            # The socket is ready before there is a process: whoever is given up from here on has what ends it.
            reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "app.work.worker_process",
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=2,  # what a handler prints is for the server's log, not for who reads its answers
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    # Its own session: Ctrl-C on the terminal is for the server, which then decides what ends. And its
                    # own group: what a handler starts is ended with it.
                    start_new_session=True,
                )
            except OSError as error:
                writer.close()
                raise NoProcess(f"no worker process could be started: {error}") from error
            except BaseException:
                writer.close()
                raise
        worker = cls(process, reader, writer)
        try:
            await worker.frames()
        except ProcessDied as error:
            raise NoProcess(f"a worker process did not come up: {error}") from None
        except BaseException:  # given up while it came up: nobody else would end it
            await worker.end()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, task: frames.Task) -> None:
        self._writer.write(frames.encode(task))

    async def frames(self) -> list[frames.Frame]:
        """The next frames it says. Raises ProcessDied, once all that it had said before has been returned. Whoever is
        cancelled in here may ask again."""
        try:
            if self._head is None:
                self._head = await self._reader.readexactly(frames.LENGTH.size)
            body = await self._reader.readexactly(frames.LENGTH.unpack(self._head)[0])
            self._head = None
        except (asyncio.IncompleteReadError, ConnectionError):
            was_seen_alive = self._process.returncode is None
            with suppress(TimeoutError):  # it is ending by itself; its own exit status says more than our SIGKILL
                await asyncio.wait_for(self._process.wait(), EXIT_GRACE)
            if was_seen_alive:  # and no later: its number is somebody else's one day
                self._signal_group(signal.SIGKILL)
            raise ProcessDied(await self.end()) from None
        return frames.decode_frames(body)

    def tell(self, at: str) -> None:
        """Tells the process to end with what it is at, and the programs that handlers started in it to end. It has
        `patience.STOP_GRACE` seconds for that."""
        self.is_ending = True
        if self._process.returncode is None and not self._timers:
            self._signal_group(signal.SIGTERM)
            loop, grace = asyncio.get_running_loop(), patience.STOP_GRACE
            self._timers = [
                loop.call_later(grace / 2, self._tell_again),
                loop.call_later(grace, self._kill_at, at),
            ]

    def _tell_again(self) -> None:
        """What it is at is interrupted now, if it was not yet. Not its programs: it may be cleaning up by some."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def _kill_at(self, at: str) -> None:
        if self._process.returncode is None:
            log.warning("a handler did not end when it was told to, and its process is killed", at=at)
            self.kill()

    def kill(self) -> None:
        """Ends the process, and the programs that handlers started in it."""
        self.is_ending = True
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        # Not Process.kill: that is for one process, and may reap it, so that its exit status would be lost to `wait`.
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of which only a zombie is left
            os.killpg(self._process.pid, number)

    async def end(self) -> str:
        """Ends the process, if it has not ended, and says how it did."""
        for timer in self._timers:
            timer.cancel()
        self._writer.close()
        self.kill()
        return told_exit(await self._process.wait())


class ProcessPool:
    """Lends out up to `size` worker processes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[WorkerProcess] = []
        self._lent: list[WorkerProcess] = []
        self._own: set[asyncio.Task[Any]] = set()
        """What is seen to its end whatever becomes of those who asked for it: they may be cancelled more than once."""

    @property
    def pids(self) -> list[tuple[int, bool]]:
        """The processes there are, and whether each is busy."""
        return [*((each.pid, True) for each in tuple(self._lent)), *((each.pid, False) for each in tuple(self._idle))]

    @asynccontextmanager
    async def process(self) -> AsyncIterator[WorkerProcess]:
        """Lends a process that is ready for a task; one that died, or is still busy at the end, is not used again.
        Raises NoProcess."""
        async with self._free:
            worker = self._idle.pop() if self._idle else await self._started()
            self._lent.append(worker)
            try:
                yield worker
            except BaseException:
                await self._ended(worker)
                raise
            finally:
                self._lent.remove(worker)
            if worker.is_ending:  # just as it had done its task
                await self._ended(worker)
            else:
                self._idle.append(worker)

    async def _started(self) -> WorkerProcess:
        starting = self._to_its_end(WorkerProcess.start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if not starting.cancel() and not starting.exception():  # just as it had come up
                await self._ended(starting.result())
            raise

    async def _ended(self, worker: WorkerProcess) -> None:
        await asyncio.shield(self._to_its_end(worker.end()))

    def _to_its_end(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._own.add(task)
        task.add_done_callback(self._is_over)
        return task

    def _is_over(self, task: asyncio.Task[Any]) -> None:
        self._own.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has heard of it, or is gone

    async def close(self) -> None:
        await asyncio.gather(*(worker.end() for worker in self._idle))
        self._idle.clear()
        await asyncio.gather(*self._own, return_exceptions=True)


def default_size(slots: int) -> int:
    """As many processes as there are processors, and no more than work items may run at once."""
    return max(1, min(slots, os.cpu_count() or 1))
