"""Definitions that are run from beginning to end, as a server would, and what can be seen of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.main import Stepglass, open_stepglass
from app.queue.document_reading import read_documents
from app.queue.documents import StoredDocument
from app.queue.records import ItemRecord, LogLine, RunRecord
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.status import FINAL, Status
from app.queue.store.cancel import cancel
from app.queue.store.start import start
from app.settings import Settings
from app.web.access import Access

PATIENCE = 60
"""Seconds after which a run that does not end has failed; none here takes nearly as long."""


@dataclass
class Ended:
    """A run that is over."""

    run: RunRecord
    lines: list[LogLine]
    items: list[ItemRecord]
    documents: list[StoredDocument]

    @property
    def completed(self) -> bool:
        return self.run.status == Status.COMPLETED and not self.run.counts.failed

    @property
    def results(self) -> dict[str, Any]:
        return {item.job.name: item.result for item in self.items}

    @property
    def error(self) -> str | None:
        """The error of the only work item."""
        (item,) = self.items
        return item.job.error

    def said(self, level: str) -> list[str]:
        """What the work items logged at that level; the queue's own lines about failures are left out."""
        return [line.message for line in self.lines if line.level == level and line.worker_id is not None]


def sound(results: dict[str, Any]) -> dict[str, Any]:
    """The results, by work item. Raises the first error among them."""
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    return results


class Runs:
    """A queue that works, and starts definitions given as text."""

    def __init__(self, stepglass: Stepglass, access: Access, folder: Path) -> None:
        self._stepglass = stepglass
        self._access = access
        self._folder = folder

    async def run(self, text: str, **parameters: Any) -> Ended:
        """Runs the definition `text` to its end; without an id it is `trial`."""
        return await self.end(await self.start(text, **parameters))

    async def start(self, text: str, **parameters: Any) -> int:
        path = self._folder / "trial.toml"
        path.write_text(text if text.lstrip().startswith("id =") else f'id = "trial"\n{text}')
        plan = self._access.catalog.plan(str(path), parameters)
        return await self._access.writer(start, plan)

    async def cancel(self, manager_id: int) -> None:
        await self._access.writer(cancel, manager_id, "cancelled by a test")

    async def end(self, manager_id: int) -> Ended:
        await self.until(lambda snapshot: snapshot.run(manager_id).status in FINAL)
        return await self._access.read(lambda snapshot: self._seen(snapshot, manager_id))

    async def until(self, true: Callable[[Snapshot], bool]) -> None:
        """Waits, from commit to commit, until it is so."""
        changed = asyncio.Event()
        async with asyncio.timeout(PATIENCE):
            with self._access.monitor.listening(lambda _: changed.set()):
                while not await self._access.read(true):
                    await changed.wait()
                    changed.clear()

    async def until_said(self, manager_id: int, text: str) -> None:
        """Waits for a line with that text in the log of the run."""

        def said(snapshot: Snapshot) -> bool:
            run = snapshot.run(manager_id)
            return any(text in line.message for step in run.steps for line in snapshot.log_lines(step.id, 1, 1000))

        await self.until(said)

    def _seen(self, snapshot: Snapshot, manager_id: int) -> Ended:
        run = snapshot.run(manager_id)
        lines = [line for step in run.steps for line in snapshot.log_lines(step.id, 1, step.log_count)]
        jobs = snapshot.jobs(JobFilter(kind="worker", manager_id=manager_id), 1000).jobs
        documents = list(read_documents(self._access.database.address))
        return Ended(run, lines, [snapshot.item(job.id) for job in jobs], documents)


@asynccontextmanager
async def working(folder: Path) -> AsyncIterator[Runs]:
    settings = Settings(data=folder / "data", slots=8, grace=0)
    with open_stepglass(settings, "a test") as stepglass:
        async with stepglass.working() as access:
            yield Runs(stepglass, access, folder)
