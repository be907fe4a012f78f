"""A queue and a runner for a benchmark, and how figures are printed."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import uvloop

from app.queue import audit
from app.queue.announcing import hearing_others
from app.queue.changes import RunChanged
from app.queue.database import Database, Synchronous
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import RunFilter, Snapshot
from app.queue.status import FINAL
from app.queue.step_monitor import StepMonitor
from app.queue.store.start import start
from app.queue.writer import Commit, Writer
from app.work.registry import StepTypes
from app.work.runner import Runner
from tests.bench import no_op

WARM = 20
"""Runs before those that are measured."""
PAGE_EVERY = 0.1
"""Seconds between two page snapshots while a benchmark runs."""
PACE = 0.1
"""Seconds between two messages of a stream at its busiest, the hub's and the floor's alike."""


def items_per_second(folder: Path, step_type: str, items: int, synchronous: Synchronous, slots: int) -> float:
    """Runs one step of that many items from its start to the last commit, while a page is read; items/s."""
    return items_per_second_on(Database.in_directory(folder, synchronous), step_type, items, slots)


def items_per_second_on(database: Database, step_type: str, items: int, slots: int) -> float:
    """The same on a database that is given, which may be PostgreSQL: then every commit is announced to others too."""
    return uvloop.run(_measure(database, step_type, items, slots))


async def _measure(database: Database, step_type: str, items: int, slots: int) -> float:
    bring_up_to_date(database)
    async with _working(database, slots) as (writer, monitor):
        for _ in range(WARM):  # as in a server that was at work before: what was prepared met small tables
            await run_to_end(writer, monitor, step_type, 5)
        pages = asyncio.create_task(read_pages(database))
        began = perf_counter()
        await run_to_end(writer, monitor, step_type, items)
        seconds = perf_counter() - began
        pages.cancel()
    assert audit.check(database) == []
    database.close()
    return items / seconds


@asynccontextmanager
async def _working(database: Database, slots: int) -> AsyncIterator[tuple[Writer, StepMonitor]]:
    """A runner at work, with what it needs, as a server has it."""
    monitor = StepMonitor()
    step_types = StepTypes([no_op.NoOp, no_op.NoOpInProcess])
    async with hearing_others(database, monitor) as announce:
        writer = Writer(database, monitor.hear, announce)
        runner = Runner(database, writer, monitor, step_types, slots, alone=database.is_sqlite)
        await runner.start()
        yield writer, monitor
        await runner.stop()
        await writer.close()


async def run_to_end(writer: Writer, monitor: StepMonitor, step_type: str, items: int) -> None:
    ended = asyncio.Event()

    def hear(commit: Commit) -> None:
        if any(isinstance(change, RunChanged) and change.status in FINAL for change in commit.changes):
            ended.set()

    with monitor.listening(hear):
        await writer(start, RunPlan("bench", "Bench", (StepPlan("one", step_type, settings={"items": items}),)))
        await ended.wait()


async def read_pages(database: Database) -> None:
    def read() -> None:
        with Snapshot.of(database) as snapshot:
            snapshot.statistics()
            snapshot.runs(RunFilter(), 20)

    while True:
        await asyncio.sleep(PAGE_EVERY)
        await asyncio.to_thread(read)


def starts(database: Database, number: int) -> list[float]:
    """Seconds, sorted, that one work item takes from when its run is asked for to its handler, that many times."""
    return uvloop.run(_measure_starts(database, number))


async def _measure_starts(database: Database, number: int) -> list[float]:
    bring_up_to_date(database)
    seconds = []
    async with _working(database, 10) as (writer, monitor):
        for _ in range(WARM + number):
            asked_at = perf_counter()
            await run_to_end(writer, monitor, "no_op", 1)
            seconds.append(no_op.began_at - asked_at)
    database.close()
    return sorted(seconds[WARM:])


def median_of(runs: int, measure: Callable[[int], float]) -> tuple[float, list[float]]:
    """The median of that many measurements, and all of them."""
    figures = [measure(number) for number in range(runs)]
    return statistics.median(figures), figures


def show(what: str, figure: float, unit: str, all_of_them: Sequence[float] = (), beside: str = "") -> None:
    """Prints one figure, with its spread and what it is held against."""
    spread = f" ({min(all_of_them):,.4g} to {max(all_of_them):,.4g}, n={len(all_of_them)})" if all_of_them else ""
    print(f"\n{what}: {figure:,.4g} {unit}{spread}{'; ' + beside if beside else ''}", flush=True)
