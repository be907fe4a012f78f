"""Work through Procrastinate, beside plain Procrastinate with one job for each work item; both durable."""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import procrastinate
import pytest
import uvloop

from app.queue import audit
from app.queue.announcing import hearing_others
from app.queue.database import Database
from app.queue.engine import settle_engine
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.step_monitor import StepMonitor
from app.queue.store.plan import NewItem, claim_plans, plan
from app.queue.store.start import start
from app.queue.writer import Writer
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.step_type import Context, WorkItem
from app.work.tickets_in_hand import TicketsInHand, drawing_tickets
from tests.bench import no_op
from tests.bench.rig import read_pages, run_to_end, show
from tests.postgres import new_database, throwaway_cluster

ITEMS = 20_000
JOBS = 3_000
SLOTS = 200
LOOKS = 300
BEGAN: asyncio.Queue[float] = asyncio.Queue()
"""When each work item began."""


class Noting(no_op.NoOp):
    name = "noting"
    summary = "Notes when it begins."

    async def run(self, context: Context[no_op.Many], item: WorkItem) -> Any:
        BEGAN.put_nowait(perf_counter())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with throwaway_cluster(durable=True) as url:
        yield url


@asynccontextmanager
async def working(url: str, engine: str) -> AsyncIterator[tuple[Writer, StepMonitor]]:
    database, monitor = Database(url), StepMonitor()
    bring_up_to_date(database)
    settle_engine(database, engine)
    step_types = StepTypes([no_op.NoOp, Noting])
    async with hearing_others(database, monitor) as announce:
        writer = Writer(database, monitor.hear, announce)
        tickets = TicketsInHand() if engine == "procrastinate" else None
        runner = Runner(database, writer, monitor, step_types, SLOTS, alone=False, tickets=tickets)
        await runner.start()
        pages = asyncio.create_task(read_pages(database))
        async with drawing_tickets(tickets, database, monitor, writer, step_types, 20.0):
            yield writer, monitor
        pages.cancel()
        await runner.stop()
        await writer.close()
    assert audit.check(database) == []
    database.close()


async def ours(url: str, engine: str) -> float:
    """One wide step from its start to the last commit, while a page is read; items/s."""
    async with working(url, engine) as (writer, monitor):
        await run_to_end(writer, monitor, "no_op", 50)
        began = perf_counter()
        await run_to_end(writer, monitor, "no_op", ITEMS)
        return ITEMS / (perf_counter() - began)


async def plain(url: str) -> float:
    """Procrastinate alone: a job for each item, deferred 1,000 at a time, and a worker until all are done; jobs/s."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=Database(url).libpq_url))

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        began = perf_counter()
        for block in range(0, JOBS, 1000):
            await nothing.batch_defer_async(*({"number": number} for number in range(block, block + 1000)))
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")
        await app.run_worker_async(concurrency=50, wait=False, install_signal_handlers=False)
        return JOBS / (perf_counter() - began)


async def delays(url: str) -> list[float]:
    """Milliseconds from handing in a work item to the beginning of its work, one after the other."""
    async with working(url, "procrastinate") as (writer, _):
        # The step is this function's to plan, not a ticket's: it is of a type that is offered, but claimed at once.
        async with asyncio.TaskGroup() as group:
            group.create_task(_begin(writer))
            step = await group.create_task(_claimed(writer))
        found = []
        for number in range(LOOKS):
            handed_in = perf_counter()
            await writer(plan, step.step.step_id, step.attempt, [NewItem(f"item {number}")])
            found.append(1000 * (await BEGAN.get() - handed_in))
        return found


async def _begin(writer: Writer) -> None:
    await writer(start, RunPlan("looks", "Looks", (StepPlan("one", "noting", settings={"items": 0}),)))


async def _claimed(writer: Writer) -> Any:
    """Claimed in the transaction that begins the run, so that nobody is quicker."""
    while not (plans := await writer(claim_plans, 1)):
        pass
    return plans[0]


def test_items_through_procrastinate(server: str) -> None:
    """Targets: 2,000/s, and three times plain Procrastinate with one job for each; 4,000/s by the embedded runner."""
    with new_database(server) as url, new_database(server) as beside, new_database(server) as embedded:
        peer = uvloop.run(plain(beside))
        figure = uvloop.run(ours(url, "procrastinate"))
        alone = uvloop.run(ours(embedded, "embedded"))
    beside = f"target 2,000; {figure / peer:.1f} times plain, target 3"
    show("no-op items through Procrastinate", figure, "items/s", (), beside)
    show("plain Procrastinate, one job for each", peer, "jobs/s")
    beside = f"target 4,000; through Procrastinate {figure / alone:.2f} of it"
    show("the embedded runner on PostgreSQL", alone, "items/s", (), beside)


def test_from_handing_in_to_the_beginning(server: str) -> None:
    """Targets: 10 ms median, 50 ms for 99 of 100."""
    with new_database(server) as url:
        found = sorted(uvloop.run(delays(url)))
    show("from handing in to beginning, median", statistics.median(found), "ms", found, "target 10")
    show("from handing in to beginning, 99th percentile", found[int(0.99 * len(found))], "ms", (), "target 50")
