"""Step types that do nothing, so that a benchmark measures the queue alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from time import perf_counter
from typing import Any

from app.work.step_type import Context, Settings, StepType, WorkItem

began_at = 0.0
"""When the last work item on the event loop began."""


class Many(Settings):
    items: int


class NoOp(StepType[Many]):
    """Two log lines per item, on the event loop."""

    name = "no_op"
    summary = "Does nothing, on the event loop."
    settings_type = Many

    async def plan(self, context: Context[Many]) -> AsyncIterator[WorkItem]:
        for number in range(context.settings.items):
            yield WorkItem(f"item {number}", {"number": number})

    async def run(self, context: Context[Many], item: WorkItem) -> Any:
        global began_at
        began_at = perf_counter()
        context.log(f"{item.name} begins")
        context.log(f"{item.name} is done")
        return None


class NoOpInProcess(StepType[Many]):
    """Two log lines per item, in a worker process."""

    name = "no_op_in_process"
    summary = "Does nothing, in a worker process."
    settings_type = Many

    def plan(self, context: Context[Many]) -> Iterator[WorkItem]:
        for number in range(context.settings.items):
            yield WorkItem(f"item {number}", {"number": number})

    def run(self, context: Context[Many], item: WorkItem) -> Any:
        context.log(f"{item.name} begins")
        context.log(f"{item.name} is done")
        return None
