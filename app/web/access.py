"""What the web room gets from outside: the truth to read, the verbs to write, the definitions to start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, TypeVar

from app.queue.database import Database, ReadFailed
from app.queue.retention import NO_LIMIT, Keep
from app.queue.run_plan import RunPlan
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import StepMonitor
from app.queue.storage import Storage, Trouble
from app.queue.storage_faults import Fault
from app.queue.ticks import Cron, Missed
from app.queue.writer import Writer
from app.web.editor import Editor
from app.web.system_facts import SystemFacts, nothing_known

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextProblem:
    """One thing that is wrong with the text of a definition."""

    line: int | None
    """Counted from 1; None when it is not about one line."""
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class ScheduleSummary:
    """When a definition is started by itself. `parameters`: those of its runs, as a form would send them."""

    cron: Cron
    missed: Missed
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DefinitionSummary:
    """A definition as lists show it. `problem`: why it is not valid, in one sentence or more; empty when it is."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    enabled: bool
    problem: str
    parameters: tuple[tuple[str, str, Any, str], ...] = ()
    """(name, type, default or None, help)"""
    text: str = ""
    concurrency: int = 1
    """How many of its runs may be in progress at once."""
    obstacle: str = ""
    """What keeps a valid one from running here, whatever its parameters; empty when nothing does."""
    path: str = ""
    """The file it stands in."""
    bundled: bool = False
    from_page: bool = False
    """Whether its text was saved through the page."""
    problems: tuple[TextProblem, ...] = ()
    """The same as `problem`, one by one."""
    schedule: ScheduleSummary | None = None
    priority: int = 0
    limits: tuple[str, ...] = ()
    """What limits its work items, one sentence each."""
    keep: Keep = NO_LIMIT
    """How long its runs are kept."""

    @property
    def valid(self) -> bool:
        return not self.problem


class NoSuchDefinition(LookupError):
    """There is no definition of that id; the message says which ones come near."""


class NotStartable(Exception):
    """A definition cannot be started like this; `problems` says what is wrong, by key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {message}" for key, message in problems.items()))
        self.problems = dict(problems)


class Catalog(Protocol):
    """The definitions that can be started."""

    @property
    def troubles(self) -> Sequence[str]:
        """Step types that could not be loaded, and why."""

    @property
    def editor(self) -> Editor | None:
        """What edits the definitions; None while editing is off."""

    def definitions(self) -> Sequence[DefinitionSummary]: ...

    def plan(self, definition: str, parameters: Mapping[str, Any]) -> RunPlan:
        """The run that these parameters make. Raises NoSuchDefinition, NotStartable or DefinitionDisabled."""

    def ensure_repeatable(self, plan: RunPlan) -> None:
        """Raises NotStartable if a run of this plan, kept from before, would not be started now: its text came through
        the page, or a step that is to run cannot run here."""


class Access:
    """The queue as the web sees it: reads through snapshots, writes through the writer, hears from the step monitor."""

    def __init__(self, database: Database, writer: Writer, monitor: StepMonitor, catalog: Catalog) -> None:
        self.database = database
        self.writer = writer
        self.monitor = monitor
        self.catalog = catalog
        self.notice_definitions: Callable[[], Awaitable[None]] = _notice_nothing
        """Lets the schedules follow the definitions as they are now."""
        self.system: Callable[[], SystemFacts] = nothing_known
        """What there is to say of the server; asked in any thread."""
        self.told_to_stop: Callable[[bool], None] = lambda hurry: None
        """Lets the work know that the server is about to stop; a second time, that nobody waits for it."""
        self.reading = Storage(str(database), self._try_to_read, self._damage, database.clock.now, often=True)
        """Whether the database can be read. What it holds may be out of reach for pages alone, while work goes on."""
        self._out_of_reach: ReadFailed | None = None
        """Why nothing at all can be read; None if something may be."""
        self._reached_at = 0.0
        """When a trial found last, by the steady clock, that something can be read."""
        self._readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stepglass-reader")

    @property
    def trouble(self) -> Trouble | None:
        """What people should know of the storage: why it cannot be written, or else read, or else that it is slow."""
        writing = self.writer.storage.trouble
        return writing if writing and writing.stops_work else self.reading.trouble or writing

    async def read(self, reading: Callable[[Snapshot], T]) -> T:
        """Runs `reading` with one snapshot in a reader thread: everything it returns belongs to one moment. Raises
        ReadFailed: at once while it is known that nothing can be read, as each vain try takes a thread for seconds."""
        self._refuse_what_is_vain()
        return await self._attempt(lambda: self._read(reading))

    async def _attempt(self, attempt: Callable[[], T]) -> T:
        began = monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, attempt)
        except ReadFailed as trouble:
            if trouble.fault is Fault.DAMAGED:
                self.writer.storage.failed(trouble.fault, trouble.cause, "read")
            if began >= self._reached_at:  # else that trouble has passed, and it took until now to give up
                self.reading.failed(trouble.fault, trouble.cause, "read")
            raise

    def _read(self, reading: Callable[[Snapshot], T]) -> T:
        self._refuse_what_is_vain()  # who has waited for a thread meanwhile
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)

    def _refuse_what_is_vain(self) -> None:
        if trouble := self._out_of_reach:
            raise trouble.again()

    async def _try_to_read(self) -> None:
        await self._attempt(self._read_a_little)

    def _read_a_little(self) -> None:
        try:
            with Snapshot.of(self.database):
                self._out_of_reach, self._reached_at = None, monotonic()
        except ReadFailed as trouble:
            self._out_of_reach = trouble
            raise

    def _damage(self) -> str | None:
        """The writer's storage looks for it; to go through the whole file once is enough."""
        return str(self.writer.storage.trouble) if self.writer.storage.is_damaged else None

    def close(self) -> None:
        self.reading.close()
        self._readers.shutdown(wait=True)


async def _notice_nothing() -> None:
    """Without a scheduler."""
