"""A worker process: carries out the plain `def` plans and runs of step types, one task at a time.

It is started as `python -m app.work.worker_process FD` with one end of a socket, and ends when the other end is
closed, with the programs that handlers started in it. On SIGTERM it ends when the handler that it is at does, and the
programs have. Killing it at any moment harms nothing but the work item it is at.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from app.queue.levels import Level
from app.queue.text import storable, storable_value
from app.queue.totals import amounts as storable_amounts
from app.work import frames
from app.work.failures import failed, storable_document, storable_result
from app.work.step_type import Cancelled, Document, StepType, StoredDocument, WorkItem
from app.work.stop_signal import StopSignal

FLUSH_AFTER = 0.05
"""Seconds that a line may wait in a process for others to join it."""
BATCH = 200

_prepared: dict[int, tuple[StepType[Any], Any]] = {}


class Channel:
    """The process's end of the socket. Frames gather and leave together; a thread sees to it that none waits long."""

    def __init__(self, connection: socket.socket, stop: StopSignal) -> None:
        self.stop = stop
        self._connection = connection
        self._waiting: list[frames.Frame] = []
        self._lock = threading.Lock()
        self._something = threading.Event()
        threading.Thread(target=self._flush_in_time, daemon=True).start()

    def say(self, frame: frames.Frame) -> None:
        held = self.stop.hold()
        try:
            with self._lock:
                self._waiting.append(frame)
                if len(self._waiting) >= BATCH:
                    self._send()
            self._something.set()
        finally:
            self.stop.let_go(held)

    def flush(self) -> None:
        with self._lock:
            self._send()

    def next_task(self) -> frames.Task | None:
        """Waits for a task; None when the parent is gone."""
        head = self._receive(frames.LENGTH.size)
        body = self._receive(frames.LENGTH.unpack(head)[0]) if head else None
        return frames.decode_task(body) if body else None

    def _receive(self, size: int) -> bytes | None:
        received = bytearray()
        while len(received) < size:
            part = self._connection.recv(min(size - len(received), 1 << 20))
            if not part:
                return None
            received += part
        return bytes(received)

    def _send(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._connection.sendall(frames.encode(waiting))

    def _flush_in_time(self) -> None:
        while True:
            self._something.wait()
            time.sleep(FLUSH_AFTER)
            self._something.clear()
            try:
                self.flush()
            except OSError:
                return  # the parent is gone, and the main thread is about to see it


class ProcessContext:
    """The `Context` of work in this process."""

    def __init__(self, channel: Channel, task: frames.Task, settings: Any, index: int, attempt: int) -> None:
        self.settings = settings
        self.parameters = task.parameters
        self.manager_id = task.manager_id
        self.step_id = task.step_id
        self.attempt = attempt
        self._channel = channel
        self._database_address = task.database_address
        self._index = index

    @property
    def cancelled(self) -> bool:
        self._channel.stop.looked_for = True
        return self._channel.stop.told

    def log(self, message: str, level: str = "info") -> None:
        self._channel.say(frames.Said(self._index, time.time(), Level(level), storable(str(message))))

    def save_document(self, document: Document) -> None:
        self._channel.say(frames.Saved(self._index, *astuple(storable_document(document))))

    def delete_document(self, address: str) -> None:
        self._channel.say(frames.Removed(storable(address)))

    def add_to_totals(self, amounts: Mapping[str, float]) -> None:
        self._channel.say(frames.Added(storable_amounts(amounts)))

    def documents(
        self,
        *,
        tags: Iterable[str] = (),
        source_type: str | None = None,
        under: str | None = None,
        bodies: bool = True,
    ) -> Iterator[StoredDocument]:
        from app.queue.document_reading import read_documents

        return read_documents(self._database_address, tags=tags, source_type=source_type, under=under, bodies=bodies)

    def document(self, address: str) -> StoredDocument | None:
        from app.queue.document_reading import read_document

        return read_document(self._database_address, address)

    def spawn(self, item: WorkItem, *, at_most: int | None = None) -> None:
        self._channel.say(frames.Found(self._index, storable(item.name), storable_value(item.input), at_most))


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what ends
    # What a handler forks is told as any program is, and ends.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    connection = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    channel = Channel(connection, StopSignal())
    channel.stop.listen()
    channel.say(frames.Done())
    channel.flush()
    try:
        while (task := channel.next_task()) and not _told_while_at(channel, task):
            channel.say(frames.Done())
            channel.flush()
    finally:
        channel.flush()  # the last words of a handler that exits
    if channel.stop.told:
        _wait_for_programs()
    _end()


def _told_while_at(channel: Channel, task: frames.Task) -> bool:
    """Carries out the task, unless the process is told to end before it is done."""
    channel.stop.listen()
    with suppress(Cancelled):  # raised just as a handler had ended by itself
        if task.plan:
            _plan(channel, task)
        for index, item in enumerate(task.items):
            _run(channel, task, index, item)
            if channel.stop.told:
                break
    return channel.stop.told


def _wait_for_programs() -> None:
    """Those that handlers started were told as well. Whoever told us does not wait forever."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _end_with_parent(connection: socket.socket) -> None:
    """Ends the process when the parent's end of the socket is gone, whatever a handler is at just then."""
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll()
    _end()


def _end() -> None:
    """Ends the process at once, and the programs that handlers started in it."""
    if os.getpgrp() == os.getpid():  # else the group is that of whoever started this one
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _plan(channel: Channel, task: frames.Task) -> None:
    try:
        channel.stop.begin()
        step_type, settings = _step_type(task)
        context = ProcessContext(channel, task, settings, -1, 1)
        planned: Any = step_type.plan(context)
        for item in planned:
            context.spawn(item)
        channel.stop.end()
        channel.say(frames.Ended(-1))
    except (Exception, Cancelled) as error:
        channel.stop.end()
        channel.say(failed(-1, error))


def _run(channel: Channel, task: frames.Task, index: int, item: frames.Item) -> None:
    try:
        channel.stop.begin()
        step_type, settings = _step_type(task)
        context = ProcessContext(channel, task, settings, index, item.attempt)
        result = step_type.run(context, WorkItem(item.name, item.input))
        channel.stop.end()
        if channel.stop.told:
            raise Cancelled  # what it returns may be of a part
        ended = frames.Ended(index, storable_result(result))
    except (Exception, Cancelled) as error:
        channel.stop.end()
        ended = failed(index, error)
        ended.told = channel.stop.told
    channel.say(ended)
    channel.flush()


def _step_type(task: frames.Task) -> tuple[StepType[Any], Any]:
    """The code and the settings of the task's step, the same ones for all its items: a step never changes."""
    if task.step_id not in _prepared:
        _prepared.clear()
        module, _, name = task.type.partition(":")
        step_class: type[StepType[Any]] = getattr(importlib.import_module(module), name)
        _prepared[task.step_id] = step_class(), step_class.settings_type.model_validate(task.settings)
    return _prepared[task.step_id]


if __name__ == "__main__":
    main(int(sys.argv[1]))
