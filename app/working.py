"""What works, in a server as without one: the step types that are offered, the runner, its way to the database and to
those who work beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import structlog

from app import steps
from app.queue.announcing import hearing_others
from app.queue.database import Database, DatabaseTrouble
from app.queue.engine import ensure_settled, settle_engine
from app.queue.engine_fact import Engine
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import Listener, StepMonitor
from app.queue.writer import Writer
from app.resources import definitions_dir
from app.settings import Settings, SettingsError
from app.work.bulk_work import bulk_step_types
from app.work.definitions import Definitions
from app.work.own_step_types import LoadedStepTypes, load_step_types
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.step_type import StepType
from app.work.tickets_in_hand import TicketsInHand, drawing_tickets

log = structlog.get_logger(__name__)

LAST_WRITES = 10.0
"""Seconds that giving back what was running may take at the end."""

AnyStepTypes = Mapping[str, type[StepType[Any]]]


def loaded_step_types(settings: Settings) -> LoadedStepTypes:
    """Those that come along and those of one's own. What cannot be loaded is logged."""
    loaded = load_step_types(steps, settings.steps)
    for trouble in loaded.troubles:
        log.error("step types could not be loaded", place=trouble.place, reason=trouble.reason)
    return loaded


def offered(settings: Settings, known: StepTypes) -> AnyStepTypes:
    """The step types that this process works on, by name. Raises SettingsError for one that it does not know."""
    if unknown := sorted(set(settings.step_types) - set(known)):
        not_loaded = "".join(f"; could not be loaded: {trouble}" for trouble in known.not_loaded)
        raise SettingsError(
            f"--step-types {','.join(settings.step_types)}: there is no step type {', '.join(unknown)} here; there are "
            f"{', '.join(known)}{not_loaded}"
        )
    return {name: known[name] for name in settings.step_types or known}


@asynccontextmanager
async def connected(database: Database, *listeners: Listener) -> AsyncIterator[tuple[StepMonitor, Writer]]:
    """Hears what is committed, here and by others, and tells these what is committed here. The writer is to be closed
    by whoever works with it."""
    monitor = StepMonitor()
    with Snapshot.of(database) as snapshot:
        monitor.revision = snapshot.revision
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.enter_context(monitor.listening(listener))
        announce = await stack.enter_async_context(hearing_others(database, monitor))
        yield monitor, Writer(database, monitor.hear, announce)


@asynccontextmanager
async def at_work(
    settings: Settings,
    database: Database,
    writer: Writer,
    monitor: StepMonitor,
    step_types: AnyStepTypes,
    kind: str,
    engine: Engine,
) -> AsyncIterator[Runner]:
    """Runs what there is of these step types until the end of the block; then gives back what has not ended within its
    grace. `kind`: see `NewOwner`."""
    ensure_settled(database, engine)
    tickets = TicketsInHand() if engine == "procrastinate" and settings.slots else None
    runner = Runner(
        database,
        writer,
        monitor,
        step_types,
        settings.slots,
        settings.lease,
        alone=database.is_sqlite,
        limits=settings.limits,
        kind=kind,
        label=settings.name,
        tickets=tickets,
    )
    try:
        await runner.start()
        async with drawing_tickets(tickets, database, monitor, writer, step_types, settings.lease):
            yield runner
    finally:
        await _stopped(runner, settings.grace)


async def _stopped(runner: Runner, grace: float) -> None:
    """A database that cannot be written must not keep the process from ending: then what ran is taken back by the next
    start, or by others."""
    try:
        await asyncio.wait_for(runner.stop(grace), grace + LAST_WRITES)
    except TimeoutError:
        log.error("running work could not be given back; it will be taken back", waited=grace + LAST_WRITES)


class Worker:
    """A process that works on a PostgreSQL database, beside others. Made by `open_worker`."""

    def __init__(
        self, settings: Settings, database: Database, engine: Engine, known: StepTypes, step_types: AnyStepTypes
    ) -> None:
        self.database = database
        self._engine = engine
        self.step_types = step_types
        self._settings = settings
        self._known = known

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Runner]:
        """Until the end of the block; then gives back what has not ended within its grace."""
        async with connected(self.database) as (monitor, writer):
            step_types = {**self.step_types, **self._bulk_step_types(writer)}
            try:
                told = self._settings
                async with at_work(told, self.database, writer, monitor, step_types, "worker", self._engine) as runner:
                    yield runner
            finally:
                await writer.close()

    def _bulk_step_types(self, writer: Writer) -> AnyStepTypes:
        """Whoever acts on many runs has to know how many of each definition may be in progress at once."""
        if not self._settings.definitions:
            return {}
        definitions = Definitions(self._known, *self._settings.definitions, definitions_dir())
        return bulk_step_types(writer, definitions.all)


@contextmanager
def open_worker(settings: Settings) -> Iterator[Worker]:
    """Raises SettingsError or DatabaseTrouble."""
    if not settings.database:
        raise DatabaseTrouble(
            "A worker needs a PostgreSQL database, which processes can share: name it with --database "
            "postgresql://user@host/name or STEPGLASS_DATABASE. A SQLite database is owned by one process: there "
            "`stepglass serve` works, on as many work items at once as --slots says."
        )
    if not settings.slots:
        raise SettingsError("--slots 0: a worker without slots runs nothing; give it at least 1")
    known = loaded_step_types(settings).types
    step_types = offered(settings, known)
    database = Database(settings.database, lease=settings.lease)
    try:
        bring_up_to_date(database)
        yield Worker(settings, database, settle_engine(database, settings.engine), known, step_types)
    finally:
        database.close()
