"""Sweeping: the rows of deleted runs go in bounded batches, so that everybody else is let in between."""

from __future__ import annotations

import asyncio

from app.queue.store.delete import delete_run
from app.queue.writer import Writer
from app.work.storing import until_stored


class Sweeping:
    """The deletions that are going on, one after the other. What is left when the server stops is left for the next
    start."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: list[int] = []
        self._task: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Waits until no deletion is on its way."""
        if self._task:
            await asyncio.wait({self._task})

    def sweep(self, manager_id: int) -> None:
        """Deletes what is left of a run that is deleted."""
        self._waiting.append(manager_id)
        if self._task is None:
            self._task = asyncio.create_task(self._sweep(), name="sweeping")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        try:
            while self._waiting:
                while await until_stored(self._writer, delete_run, self._waiting[0]):
                    pass
                self._waiting.pop(0)
        finally:
            self._task = None
