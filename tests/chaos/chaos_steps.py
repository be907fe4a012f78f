"""Work for the chaos run. Each attempt that comes to its end writes so into a file that is only added to."""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.work.step_type import Context, Settings, StepType, WorkItem


class Load(Settings):
    """`failing`: how many of a hundred attempts fail. `slowest`: milliseconds."""

    journal: str
    items: int = 20
    failing: int = 15
    slowest: int = 40


def chance(context: Context[Load], item: WorkItem, of: int) -> int:
    """The same for the same attempt, whoever makes it."""
    return zlib.crc32(f"{context.step_id} {item.name} {context.attempt}".encode()) % of


def end(context: Context[Load], item: WorkItem) -> dict[str, Any]:
    """Writes down the end of the attempt, and then fails or not."""
    fails = chance(context, item, 100) < context.settings.failing
    line = f"{context.step_id} {item.name} {context.attempt} {'failed' if fails else 'completed'}\n"
    file = os.open(context.settings.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    if fails:
        raise ValueError(f"attempt {context.attempt} was to fail")
    return {"attempt": context.attempt}


class ChaosLoop(StepType[Load]):
    name = "chaos_loop"
    summary = "Work on the event loop, that finds more work."
    settings_type = Load

    async def plan(self, context: Context[Load]) -> AsyncIterator[WorkItem]:
        for number in range(context.settings.items):
            await asyncio.sleep(0)
            yield WorkItem(f"loop-{number}")

    async def run(self, context: Context[Load], item: WorkItem) -> Any:
        context.log(f"attempt {context.attempt} of {item.name}")
        await asyncio.sleep(chance(context, item, context.settings.slowest) / 1000)
        if item.name.count("-") == 1 and chance(context, item, 4) == 0:
            context.spawn(WorkItem(f"{item.name}-child"))
        context.log("is about to end")
        return end(context, item)


class ChaosProcess(StepType[Load]):
    name = "chaos_process"
    summary = "Work in processes."
    settings_type = Load

    def plan(self, context: Context[Load]) -> Iterator[WorkItem]:
        for number in range(context.settings.items):
            yield WorkItem(f"process-{number}")

    def run(self, context: Context[Load], item: WorkItem) -> Any:
        context.log(f"attempt {context.attempt} of {item.name}")
        time.sleep(chance(context, item, context.settings.slowest) / 1000)
        context.log("is about to end")
        return end(context, item)
