"""A database as it is after much work: as many work items and log lines as asked for, filled in without the queue's
help, and sound by the audit."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import psycopg

from app.queue.database import Database
from app.queue.failure_pattern import pattern_of
from app.queue.schema import bring_up_to_date
from app.queue.status import FINAL, Status
from app.queue.tables import metadata
from tests.web.stage import NOON

RUNS = 100
LARGE = 0.4
"""The part of all work items that the newest run has, and also the one before it; the others share the rest."""
STEPS = (("import_files", 0.8), ("classify", 0.2))
"""The steps of each run, and which part of its work items they have."""
LEVELS = ["info"] * 80 + ["debug"] * 10 + ["warn"] * 8 + ["error"] * 2
FINAL_STATUSES = [Status.COMPLETED] * 85 + [Status.FAILED] * 10 + [Status.CANCELLED] * 5
OPEN_STATUSES = [Status.COMPLETED] * 70 + [Status.FAILED] * 10 + [Status.PENDING] * 17 + [Status.RUNNING] * 3
ERRORS = (
    "cannot read /srv/code/part_{0}/file_{0}.py: no such file",
    "timed out after {0} ms",
    "https://example.com/page/{0} answered 503",
    "line {0} is not valid UTF-8",
    "the model gave no answer",
    "connection 0x{0:08x} was reset",
)
COLUMNS = {
    "manager_job": "id definition name status reason tags parameters max_child_failures failure_action timeout"
    " definition_text created_at started_at finished_at",
    "step_job": "id manager_id position name type description depends on_error always_run settings timeout status"
    " reason ready plan_attempt planned log_count document_count created_at started_at finished_at",
    "worker_job": "id manager_id step_id name status reason attempt due_at input result error traceback"
    " failure_pattern claimed_by created_at started_at finished_at",
    "document": "id address title body source_type tags details content_hash created_by_step created_by_worker"
    " updated_by_step updated_by_worker created_at updated_at",
}
"""Those that are filled in, in the order of the rows below; the others have their defaults."""
BATCH = 20_000


@dataclass
class Filled:
    """What can be asked of the database: the ids of the newest run and the one before, and of a step and an item of
    the former."""

    running: int = 0
    ended: int = 0
    step: int = 0
    item: int = 0
    items: int = 0


@dataclass
class _Step:
    """What is counted of a step while it is filled."""

    id: int
    manager_id: int
    name: str
    position: int
    items: range
    is_open: bool
    statuses: Counter[Status] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    groups: dict[str, list[Any]] = field(default_factory=dict)
    documents: int = 0


Rows = Iterable[tuple[Any, ...]]


class Filler(Protocol):
    """What puts rows into a database, all of them in one transaction."""

    def insert(self, table: str, columns: Sequence[str], rows: Rows) -> None: ...

    def execute(self, statement: str, *values: Any) -> None:
        """`statement`: with a `?` for each value."""


def fill(folder: Path, items: int) -> Filled:
    """Makes the database of that data directory."""
    database = Database.in_directory(folder)
    bring_up_to_date(database)
    database.close()
    connection = sqlite3.connect(folder / "stepglass.db", isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-200000")
    connection.execute("BEGIN IMMEDIATE")
    filled = _Filling(_SQLite(connection), items).fill()
    connection.execute("COMMIT")
    connection.close()
    return filled


def fill_postgresql(database: Database, items: int) -> Filled:
    """Makes the tables of that database, and lets PostgreSQL learn what is in them, as it does by itself in time."""
    bring_up_to_date(database)
    with psycopg.connect(database.libpq_url) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key is looked after: it takes minutes
        filled = _Filling(_PostgreSQL(connection), items).fill()
    with psycopg.connect(database.libpq_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return filled


@dataclass
class _SQLite:
    connection: sqlite3.Connection

    def insert(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        rows = iter(rows)
        while batch := list(islice(rows, BATCH)):
            self.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", batch)  # noqa: S608

    def execute(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement, values)


@dataclass
class _PostgreSQL:
    connection: psycopg.Connection[Any]

    def insert(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        first = 1 if table == "document" else 0  # their ids are given by PostgreSQL
        names = ", ".join(columns[first:])
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row[first:])

    def execute(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement.replace("?", "%s").encode(), values)


class _Filling:
    def __init__(self, filler: Filler, items: int) -> None:
        self._filler = filler
        self._items = items
        self._last_id = 0
        self._minutes: Counter[tuple[int, Status]] = Counter()
        self._filled = Filled(items=items)

    def fill(self) -> Filled:
        for number in range(RUNS):
            self._run(number)
        self._insert("minute_counter", [(minute, status, n) for (minute, status), n in self._minutes.items()])
        self._filler.execute("UPDATE sequence SET value = ? WHERE name = 'job'", self._last_id)
        self._filler.execute("UPDATE sequence SET value = ? WHERE name = 'revision'", self._items)
        return self._filled

    def _run(self, number: int) -> None:
        is_open = number == RUNS - 1
        manager_id = self._new_ids(1)[0]
        size = self._items * (LARGE if number >= RUNS - 2 else (1 - 2 * LARGE) / (RUNS - 2))
        self._insert(
            "manager_job",
            [
                (
                    *(manager_id, f"definition_{number % 7}", f"Run {number} of all"),
                    *(("running", "") if is_open else ("completed", "all steps are done")),
                    *(json.dumps([f"tag_{number % 5}"]), "{}", -1, "stop_all", None, "[step.x]"),
                    *(NOON + number, NOON + number, None if is_open else NOON + 9_000),
                )
            ],
        )
        self._insert("run_tag", [(f"tag_{number % 5}", manager_id)])
        for position, (name, part) in enumerate(STEPS, start=1):
            step_id = self._new_ids(1)[0]
            step = _Step(step_id, manager_id, name, position, self._new_ids(max(int(size * part), 1)), is_open)
            self._step(step)
            if position == 1 and is_open:
                self._filled.running, self._filled.step = manager_id, step.id
                self._filled.item = step.items[len(step.items) // 2]
        if number == RUNS - 2:
            self._filled.ended = manager_id

    def _step(self, step: _Step) -> None:
        self._insert(
            "step_job",
            [
                (
                    *(step.id, step.manager_id, step.position, step.name, "trial_type"),
                    *("", "[]", "fail", 0, "{}", None),
                    *(("running", "") if step.is_open else ("completed", "some of its work items failed")),
                    *(0, 1, 1, 0, 0, NOON, NOON, None if step.is_open else NOON + 9_000),
                )
            ],
        )
        self._insert("worker_job", self._worker_rows(step))
        self._insert("log_entry", self._log_rows(step))
        self._insert("document", self._document_rows(step))
        counted = (Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED)
        self._insert("step_counter", [(step.id, status, step.statuses[status]) for status in counted])
        self._insert("log_counter", [(step.id, each, step.levels[each]) for each in ("debug", "info", "warn", "error")])
        self._insert("failure_group", [(step.id, pattern, *group, 0, None) for pattern, group in step.groups.items()])
        if failed := step.statuses[Status.FAILED]:
            self._insert("open_failure", [(step.id, failed)])
        counts = "UPDATE step_job SET log_count = ?, document_count = ? WHERE id = ?"
        self._filler.execute(counts, step.levels.total(), step.documents, step.id)

    def _worker_rows(self, step: _Step) -> Iterator[tuple[Any, ...]]:
        patterns = [pattern_of(error.format(1)) for error in ERRORS]
        statuses = OPEN_STATUSES if step.is_open else FINAL_STATUSES
        for place, worker_id in enumerate(step.items):
            status = statuses[place * 7919 % 100]
            began = NOON + place * 3600 // len(step.items)
            started = None if status is Status.PENDING else began
            ended = began + (place * 31 % 997) / 100 if status in FINAL else None
            error = pattern = None
            if status is Status.FAILED:
                kind = place * 31 % 1009 % len(ERRORS)
                error = ERRORS[kind].format(place)
                pattern = patterns[kind]
                group = step.groups.setdefault(pattern, [0, worker_id, worker_id, ended])
                group[0] += 1
                group[2:] = [worker_id, ended]
            step.statuses[status] += 1
            if ended and status is not Status.CANCELLED:
                self._minutes[int(ended // 60), status] += 1
            yield (
                *(worker_id, step.manager_id, step.id, f"src/module_{place % 977}/file_{place}.py", status, ""),
                *(0 if status is Status.PENDING else 1, 0.0, json.dumps({"path": f"file_{place}.py"})),
                *('{"lines":120}' if status is Status.COMPLETED else None, error, error and f"Traceback\n  {error}"),
                *(pattern, None if status is Status.PENDING else "host:1", NOON, started, ended),
            )

    def _log_rows(self, step: _Step) -> Iterator[tuple[Any, ...]]:
        for place, worker_id in enumerate(step.items):
            level = LEVELS[place * 7919 % 100]
            step.levels[level] += 1
            kind = "test" if place % 3 else "source"
            message = f"classified src/module_{place % 977}/file_{place}.py as {kind} code in {place % 50} ms"
            yield step.id, place + 1, worker_id, NOON + place / 1000, level, message

    def _document_rows(self, step: _Step) -> Iterator[tuple[Any, ...]]:
        for place, worker_id in islice(enumerate(step.items), 0, None, 50):
            step.documents += 1
            address = f"file:/srv/{worker_id}"
            yield (
                *(None, address, f"file_{place}.py", "text " * 50, "file", "[]", "{}", "0", step.id, worker_id),
                *(None, None, NOON, NOON),
            )

    def _new_ids(self, number: int) -> range:
        first = self._last_id + 1
        self._last_id += number
        return range(first, first + number)

    def _insert(self, table: str, rows: Any) -> None:
        """`rows` have the columns that are named above, or all of the table."""
        columns = metadata.tables[table].columns
        given = COLUMNS[table].split() if table in COLUMNS else [each.name for each in columns]
        defaults = {
            each.name: each.default.arg
            for each in columns
            if each.name not in given and each.default is not None and each.default.is_scalar
        }
        rest = tuple(defaults.values())
        self._filler.insert(table, [*given, *defaults], ((*row, *rest) for row in rows))
