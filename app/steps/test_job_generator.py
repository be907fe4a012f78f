"""test_job_generator: work that does nothing but log, wait, fail and multiply, for demonstrations and tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from pydantic import Field

from app.work.step_type import Context, Level, Settings, StepType, WorkItem

LEVELS: tuple[Level, ...] = ("info", "warn", "error")
SHARES = (80, 15, 5)

_MESSAGES: dict[Level, tuple[str, ...]] = {
    "info": ("read a page of records", "wrote a page of records", "checked a checksum", "nothing new upstream"),
    "warn": ("the answer took long, going on", "a record has no date, taken as today", "retrying a slow request"),
    "error": ("a record could not be parsed", "an upstream request was refused", "a checksum does not match"),
}


_FAILURES = ("made to fail: the connection was lost", "made to fail: the disk is full", "made to fail: out of luck")


class TestJobGeneratorSettings(Settings):
    __test__ = False  # the name is no test's

    worker_count: int = Field(5, ge=0, le=100_000)
    log_count: int = Field(50, ge=0, le=1_000_000)
    """Lines per work item."""
    log_delay_ms: float = Field(10, ge=0)
    """Pause after each line."""
    failure_rate: float = Field(0.0, ge=0, le=1)
    """The share of work items that fail, 0 to 1."""
    child_count: int = Field(0, ge=0, le=1000)
    """Work items that each work item adds to its step."""
    recursion_depth: int = Field(0, ge=0, le=20)
    """How many generations of them there are."""
    seed: int = 1


class TestJobGenerator(StepType[TestJobGeneratorSettings]):
    """The same seed gives the same lines and the same failures; another attempt draws anew."""

    __test__ = False

    name = "test_job_generator"
    summary = "Makes work items that log, wait, fail and multiply as told, without any outside service."
    settings_type = TestJobGeneratorSettings

    def plan(self, context: Context[TestJobGeneratorSettings]) -> Iterator[WorkItem]:
        for number in range(1, context.settings.worker_count + 1):
            yield WorkItem(f"worker {number}", {"generation": 0})

    async def run(self, context: Context[TestJobGeneratorSettings], item: WorkItem) -> dict[str, int]:
        """The number of lines written. Raises RuntimeError after the last line for the share that is to fail."""
        settings = context.settings
        random = Random(f"{settings.seed}/{settings.worker_count}x{settings.log_count}/{item.name}/{context.attempt}")
        fails = random.random() < settings.failure_rate
        _spawn_children(context, item)
        for line in range(1, settings.log_count + 1):
            if context.cancelled:
                return {"lines": line - 1}
            level = random.choices(LEVELS, SHARES)[0]
            context.log(f"line {line} of {settings.log_count}: {random.choice(_MESSAGES[level])}", level)
            await asyncio.sleep(settings.log_delay_ms / 1000)
        if fails:
            raise RuntimeError(random.choice(_FAILURES))
        return {"lines": settings.log_count}


def _spawn_children(context: Context[TestJobGeneratorSettings], item: WorkItem) -> None:
    generation = item.input["generation"] + 1
    if generation <= context.settings.recursion_depth:
        for number in range(1, context.settings.child_count + 1):
            context.spawn(WorkItem(f"{item.name}.{number}", {"generation": generation}))
