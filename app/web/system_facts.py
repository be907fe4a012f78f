"""What there is to say of a server: itself, its database, what it is doing, what it can do, how it was told to be.

Nothing here asks the database anything, except once for its modes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from app import __version__
from app.queue.database import Database, without_secrets
from app.queue.ownership import Owner
from app.queue.writer import Writer
from app.settings import Settings, source_of, variable

HIDDEN = "(hidden)"


class DatabaseFacts(Struct, frozen=True):
    """The database. Sizes are bytes, null where they cannot be told; `wal_size` is what waits to be moved into it."""

    kind: str = ""
    place: str = ""
    size: int | None = None
    wal_size: int | None = None
    journal_mode: str = ""
    synchronous: str = ""

    @classmethod
    def of(cls, database: Database, modes: tuple[str, str]) -> DatabaseFacts:
        kind = "SQLite" if database.is_sqlite else "PostgreSQL"
        path = database.path
        size, wal_size = (_size(path), _size(Path(f"{path}-wal"))) if path else (None, None)
        return cls(kind, str(path.absolute()) if path else str(database), size, wal_size, *modes)


class OwnerFacts(Struct, frozen=True):
    """The process that owns the data directory, which is the one that answers."""

    pid: int = 0
    command: str = ""
    url: str = ""

    @classmethod
    def of(cls, owner: Owner) -> OwnerFacts:
        return cls(owner.pid, owner.command, owner.url)


class RunningItem(Struct, frozen=True):
    """A work item that has a slot. `pid`: the worker process that it is handed to, null for one on the event loop;
    `waits`: it is there behind another one."""

    job_id: int
    name: str
    step_name: str
    run_id: int
    pid: int | None
    waits: bool


class SlotFacts(Struct, frozen=True):
    """Slots, and what is running in them: of very many work items the first."""

    total: int = 0
    taken: int = 0
    running: tuple[RunningItem, ...] = ()


class ProcessFacts(Struct, frozen=True):
    """A worker process."""

    pid: int
    busy: bool


class WriterFacts(Struct, frozen=True):
    """The only thread that writes. `waiting`: operations handed in and not begun. `trouble`: why the last of them could
    not be committed."""

    waiting: int = 0
    last_commit: datetime | None = None
    trouble: str = ""

    @classmethod
    def of(cls, writer: Writer) -> WriterFacts:
        at = writer.committed_at
        return cls(writer.waiting, None if at is None else datetime.fromtimestamp(at, UTC), writer.trouble or "")


class StepTypeFacts(Struct, frozen=True):
    """A step type. `place`: the module or file that it comes from."""

    name: str
    summary: str
    place: str


class TroubleFacts(Struct, frozen=True):
    """A file or entry point that should have brought step types and did not."""

    place: str
    reason: str


class SettingFacts(Struct, frozen=True):
    """A setting. `source`: its environment variable, the command line, or that it is the default."""

    name: str
    value: str
    source: str
    variable: str


class SchedulerFacts(Struct, frozen=True):
    """How many schedules are followed, and the earliest of their next ticks."""

    followed: int = 0
    next_definition: str | None = None
    next_at: datetime | None = None


class SystemFacts(Struct, frozen=True):
    """All of it, as of `as_of`."""

    version: str
    as_of: datetime
    started_at: datetime
    data_directory: str
    database: DatabaseFacts
    owner: OwnerFacts
    slots: SlotFacts
    processes: tuple[ProcessFacts, ...]
    most_processes: int
    writer: WriterFacts
    streams: int
    views: int
    step_types: tuple[StepTypeFacts, ...]
    step_type_troubles: tuple[TroubleFacts, ...]
    settings: tuple[SettingFacts, ...]
    schedules: SchedulerFacts

    @property
    def uptime(self) -> float:
        """Seconds; none if the clock was set back since."""
        return max(0.0, (self.as_of - self.started_at).total_seconds())


def nothing_known() -> SystemFacts:
    """Without a server around."""
    never = datetime.fromtimestamp(0, UTC)
    return SystemFacts(
        version=__version__,
        as_of=never,
        started_at=never,
        data_directory="",
        database=DatabaseFacts(),
        owner=OwnerFacts(),
        slots=SlotFacts(),
        processes=(),
        most_processes=0,
        writer=WriterFacts(),
        streams=0,
        views=0,
        step_types=(),
        step_type_troubles=(),
        settings=(),
        schedules=SchedulerFacts(),
    )


_SECRET = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def setting_facts(settings: Settings, environment: Mapping[str, str]) -> tuple[SettingFacts, ...]:
    """Every setting, without what is nobody's business."""
    return tuple(
        SettingFacts(
            name, _shown(name, getattr(settings, name)), source_of(settings, name, environment), variable(name)
        )
        for name in (each.name for each in fields(settings))
    )


def _shown(name: str, value: Any) -> str:
    if value in (None, ()):
        return ""
    if _SECRET.search(name):
        return HIDDEN
    if name == "database" and value:
        value = without_secrets(value)
    if isinstance(value, tuple):
        separator = os.pathsep if isinstance(value[0], Path) else ","
        value = separator.join(map(str, value))
    return _CREDENTIALS.sub(f"{HIDDEN}@", str(value))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
