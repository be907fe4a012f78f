"""Bulk actions, as work of the queue itself: the jobs of a frozen set are acted on a few at a time, then summed up.

These step types are not for definitions: only a confirmed preview makes a run of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from app.queue.bulk_rules import CHUNK, DEFINITION, REPORT
from app.queue.store.bulk import Chunk, act, report
from app.queue.store.delete import delete_run
from app.queue.writer import Writer
from app.work.definitions import DefinitionEntry
from app.work.step_type import Context, Settings, StepType, WorkItem
from app.work.storing import until_stored


class _ActSettings(Settings):
    set: int
    jobs: int


class _ReportSettings(Settings):
    set: int


def bulk_step_types(
    writer: Writer, definitions: Callable[[], Iterable[DefinitionEntry]]
) -> dict[str, type[StepType[Any]]]:
    """By name. `definitions`: called in a thread."""

    def concurrency() -> dict[str, int]:
        """How many runs of each definition may be in progress at once."""
        return {each.id: each.definition.concurrency for each in definitions() if each.definition}

    class Act(StepType[_ActSettings]):
        name = DEFINITION
        summary = "Does one thing to each job of a frozen set."
        settings_type = _ActSettings

        async def plan(self, context: Context[_ActSettings]) -> AsyncIterator[WorkItem]:
            jobs = context.settings.jobs
            for first in range(1, jobs + 1, CHUNK):
                last = min(first + CHUNK - 1, jobs)
                yield WorkItem(f"{first}-{last}", {"first": first, "last": last})

        async def run(self, context: Context[_ActSettings], item: WorkItem) -> None:
            first, last = item.input["first"], item.input["last"]
            chunk = Chunk(context.settings.set, first, last, context.step_id, item.name, context.attempt)
            allowed = await asyncio.to_thread(concurrency)
            following: int | None = first
            while following is not None:
                acted = await until_stored(writer, act, chunk, following, allowed)
                while acted.deleting is not None and await until_stored(writer, delete_run, acted.deleting):
                    pass  # before the next one begins to go, so that there are never many half deleted runs
                following = acted.next

    class Report(StepType[_ReportSettings]):
        name = REPORT
        summary = "Sums up what was done to the jobs of a frozen set."
        settings_type = _ReportSettings

        async def plan(self, context: Context[_ReportSettings]) -> AsyncIterator[WorkItem]:
            yield WorkItem("report")

        async def run(self, context: Context[_ReportSettings], item: WorkItem) -> dict[str, Any]:
            told = await until_stored(writer, report, context.settings.set)
            for what, reasons in (("skipped", told.skipped), ("failed", told.failed)):
                for why, number in reasons:
                    context.log(f"{number:,} {what}: {why}", "info" if what == "skipped" else "error")
            left = f", {told.waiting:,} not reached" if told.waiting else ""
            context.log(
                f"in all: {told.done:,} done, {told.skipped_number:,} skipped, {told.failed_number:,} failed{left}"
            )
            return {
                "done": told.done,
                "skipped": dict(told.skipped),
                "failed": dict(told.failed),
                "not reached": told.waiting,
            }

    return {Act.name: Act, Report.name: Report}
