"""The composition root: settings in, an ASGI app out. Here the rooms are put together, and nowhere else.

`Stepglass` is what one process makes of a data directory: it owns it, and while it works, writes and runs. The server
shows that on its pages; `stepglass run` does without.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from app import __version__, steps
from app.catalog import DefinitionCatalog, DefinitionEditor
from app.queue.database import Database
from app.queue.engine import settle_engine
from app.queue.engine_fact import Engine
from app.queue.ownership import Ownership, owning
from app.queue.retention import Keep
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Writer
from app.resources import definitions_dir
from app.settings import Settings
from app.web import errors, security
from app.web.access import Access
from app.web.api import api_router
from app.web.api_events import JobEvents, events
from app.web.api_schedules import schedules_router
from app.web.health import health
from app.web.live.hub import Live
from app.web.request import StepglassRequest
from app.web.schema_page import SchemaPage
from app.web.site import handlers
from app.web.system_facts import (
    DatabaseFacts,
    OwnerFacts,
    ProcessFacts,
    RunningItem,
    SchedulerFacts,
    SlotFacts,
    StepTypeFacts,
    SystemFacts,
    TroubleFacts,
    WriterFacts,
    setting_facts,
)
from app.web.system_pages import system_router
from app.web.templating import environment, template_config
from app.work.bulk_work import bulk_step_types
from app.work.definition_editing import Editing
from app.work.page_rules import PageRules
from app.work.problems import printable
from app.work.registry import AnyStepType, StepTypes
from app.work.retention import Retention
from app.work.runner import Runner
from app.work.schedule import Scheduler
from app.work.watching import watch
from app.working import at_work, connected, loaded_step_types, offered


class Stepglass:
    """A data directory that is ours, with its database and definitions. Made by `open_stepglass`."""

    def __init__(
        self, settings: Settings, ownership: Ownership, database: Database, engine: Engine, kind: str = "server"
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._kind = kind
        loaded = loaded_step_types(settings)
        self._loaded = loaded
        self._offered = offered(settings, loaded.types)
        ours = self._offered if settings.slots else ()
        elsewhere = () if database.is_sqlite else loaded.types.keys() - set(ours)
        self._step_types = StepTypes(loaded.types.values(), loaded.types.not_loaded, elsewhere)
        self._started_at = datetime.now(UTC)
        self.ownership = ownership
        self.database = database
        self.catalog = self._catalog(settings)

    def _catalog(self, settings: Settings) -> DefinitionCatalog:
        rules = PageRules(self._step_types, self._page_texts(), allow_all=settings.edit_unsafe_steps == "on")
        keep, folders = Keep(settings.keep_days, settings.keep_runs), (*settings.definitions, definitions_dir())
        catalog = DefinitionCatalog(self._step_types, rules, self._page_texts, keep, *folders)
        if settings.edit_definitions == "on":
            editing = Editing(catalog.files, self._step_types, rules, settings.definitions)
            catalog.editor = DefinitionEditor(editing)
        return catalog

    def _page_texts(self) -> frozenset[str]:
        with Snapshot.of(self.database) as snapshot:
            return snapshot.page_texts()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Access]:
        """Writes and runs until the end of the block; then gives back what has not ended."""
        async with (
            connected(self.database, self.catalog.hear) as (monitor, writer),
            self._working(monitor, writer) as access,
        ):
            yield access

    @asynccontextmanager
    async def _working(self, monitor: StepMonitor, writer: Writer) -> AsyncIterator[Access]:
        access = Access(self.database, writer, monitor, self.catalog)
        catalog = self.catalog
        step_types = {**self._offered, **bulk_step_types(writer, catalog.entries)}
        working = at_work(self._settings, self.database, writer, monitor, step_types, self._kind, self._engine)
        try:
            async with working as runner:
                self._runner, access.told_to_stop = runner, runner.told_to_stop
                watching = asyncio.create_task(watch(catalog.files, writer))
                retention = Retention(
                    self.database, writer, monitor, catalog.entries, catalog.keep, runner.swept, self.database.clock.now
                )
                try:
                    async with retention.running():
                        yield access
                finally:
                    watching.cancel()
        finally:
            await writer.close()
            access.close()

    def facts(self, access: Access, live: Live, scheduler: Scheduler) -> Callable[[], SystemFacts]:
        """What there is to say of this server, whenever it is asked."""
        modes, settings = self.database.modes(), setting_facts(self._settings, os.environ)
        step_types = tuple(_step_type_facts(each) for each in self._loaded.types.values())
        troubles = tuple(TroubleFacts(trouble.place, trouble.reason) for trouble in self._loaded.troubles)

        def now() -> SystemFacts:
            return SystemFacts(
                version=__version__,
                as_of=datetime.now(UTC),
                started_at=self._started_at,
                data_directory=str(self._settings.data.absolute()),
                database=DatabaseFacts.of(self.database, modes),
                owner=OwnerFacts.of(self.ownership.owner),
                slots=_slot_facts(self._runner),
                processes=tuple(ProcessFacts(*each) for each in self._runner.processes.pids),
                most_processes=self._runner.processes.size,
                writer=WriterFacts.of(access.writer),
                streams=live.streams,
                views=live.channels,
                step_types=step_types,
                step_type_troubles=troubles,
                settings=settings,
                schedules=_scheduler_facts(scheduler),
            )

        return now


MOST_RUNNING = 100
"""Work items in slots that are named."""


def _slot_facts(runner: Runner) -> SlotFacts:
    taken = runner.running()
    named = tuple(
        RunningItem(each.item.id, each.item.name, each.step.name, each.step.manager_id, each.pid, each.waits)
        for each in taken[:MOST_RUNNING]
    )
    return SlotFacts(runner.slots, len(taken), named)


def _step_type_facts(step_type: AnyStepType) -> StepTypeFacts:
    module = step_type.__module__
    bundled = module.startswith(f"{steps.__name__}.")
    file = getattr(sys.modules.get(module), "__file__", None)
    return StepTypeFacts(step_type.name, step_type.summary, "bundled" if bundled else printable(file or module))


def _scheduler_facts(scheduler: Scheduler) -> SchedulerFacts:
    following = scheduler.next_tick
    if following is None:
        return SchedulerFacts(scheduler.schedules)
    return SchedulerFacts(scheduler.schedules, following.definition, datetime.fromtimestamp(following.at, UTC))


@contextmanager
def open_stepglass(settings: Settings, command: str, kind: str = "server") -> Iterator[Stepglass]:
    """Owns the data directory, as `command`, until the end of the block. `kind`: see `NewOwner`. Raises
    DirectoryTrouble, DatabaseTrouble or SettingsError."""
    with owning(settings.data, command) as ownership:
        database = Database.named(settings.database, settings.data, settings.synchronous, settings.lease)
        try:
            bring_up_to_date(database)
            yield Stepglass(settings, ownership, database, settle_engine(database, settings.engine), kind)
        finally:
            database.close()


def create_app(settings: Settings, stepglass: Stepglass | None = None) -> Litestar:
    """The server as an ASGI app. It opens the data directory of `settings`, unless it is handed an open one."""
    jinja = environment()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            ours = stepglass or stack.enter_context(open_stepglass(settings, "an ASGI server"))
            access = await stack.enter_async_context(ours.working())
            app.state.access = access
            scheduler = Scheduler(ours.catalog.entries, access.writer, access.monitor, ours.database.clock.now)
            access.notice_definitions = (await stack.enter_async_context(scheduler.running())).notice
            live = app.state.live = await stack.enter_async_context(Live(access, jinja).running())
            access.system = ours.facts(access, live, scheduler)
            app.state.job_events = await stack.enter_async_context(JobEvents(access.monitor).flowing())
            _spare_the_garbage_collector()
            yield

    app = Litestar(
        route_handlers=[*handlers(), api_router(), schedules_router(), system_router(), events, health],
        lifespan=[lifespan],
        dependencies={name: Provide(_from_state(name)) for name in ("access", "live", "job_events")},
        exception_handlers=errors.exception_handlers(),
        template_config=template_config(jinja),
        compression_config=CompressionConfig("gzip", exclude=["^/api/events", "/stream$"]),
        request_class=StepglassRequest,
        request_max_body_size=security.MAX_BODY,
        openapi_config=OpenAPIConfig(
            "Stepglass", __version__, path="/schema", render_plugins=[SchemaPage()], use_handler_docstrings=True
        ),
        logging_config=None,
    )
    security.guard(app, settings.allowed_hosts, settings.embedding_sites)
    return app


def _from_state(name: str) -> Callable[[State], Awaitable[Any]]:
    """Handlers ask by name for what the lifespan has made."""

    async def provide(state: State) -> Any:
        return state[name]

    return provide


def _spare_the_garbage_collector() -> None:
    """Going through everything that was loaded takes longer than a frame of the page, and finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
