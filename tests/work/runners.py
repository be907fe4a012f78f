"""The runners that the suite of this folder is done by, made in one place. `TEST_RUNNER` names one of them:

- embedded, or unset: it claims whatever there is
- engine: Procrastinate hands out the work, on PostgreSQL (`TEST_ON=postgresql`)
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from app.queue.announcing import Announce
from app.queue.changes import Change
from app.queue.database import Database
from app.queue.engine import settle_engine
from app.queue.step_monitor import StepMonitor
from app.queue.tickets import enqueue
from app.work.runner import LEASE, Runner
from app.work.step_type import StepType
from app.work.tickets_in_hand import TicketsInHand, drawing_tickets

Running = Callable[..., AbstractAsyncContextManager[Runner]]


@asynccontextmanager
async def embedded(*given: Any, grace: float = 0.0, **named: Any) -> AsyncIterator[Runner]:
    """What is `given` is what Runner takes; `grace` goes to its stop()."""
    runner = Runner(*given, **named)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop(grace)


@asynccontextmanager
async def engine(
    database: Database,
    writer: Any,
    monitor: StepMonitor,
    step_types: Mapping[str, type[StepType[Any]]],
    slots: int,
    lease: float = LEASE,
    **named: Any,
) -> AsyncIterator[Runner]:
    """The same, with tickets; without slots nobody draws them, and on SQLite there are none."""
    tickets = TicketsInHand() if slots and not database.is_sqlite else None
    async with (
        embedded(database, writer, monitor, step_types, slots, lease, tickets=tickets, **named) as runner,
        drawing_tickets(tickets, database, monitor, writer, step_types, lease),
    ):
        yield runner


RUNNERS: dict[str, Running] = {"embedded": embedded, "engine": engine}


def running() -> Running:
    return RUNNERS[_chosen()]


def engine_option() -> tuple[str, ...]:
    """With which a server on PostgreSQL works as the chosen runner does; none if none was chosen."""
    engines = {"embedded": "embedded", "engine": "procrastinate"}
    return ("--engine", engines[_chosen()]) if "TEST_RUNNER" in os.environ else ()


def prepared(database: Database) -> Announce | None:
    """What a writer of that database has to do in each of its transactions, so that the chosen runner finds work."""
    if _chosen() == "embedded" or database.is_sqlite:
        return None
    settle_engine(database, "procrastinate")

    def make_tickets(connection: Connection, changes: list[Change]) -> None:
        enqueue(connection, changes, database.clock.now())

    return make_tickets


def _chosen() -> str:
    """Raises pytest.UsageError."""
    name = os.environ.get("TEST_RUNNER", "embedded")
    if name not in RUNNERS:
        raise pytest.UsageError(f"TEST_RUNNER={name}: it can be {', '.join(RUNNERS)}, or unset")
    return name
