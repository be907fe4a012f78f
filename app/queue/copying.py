"""Moving a whole database into an empty one, of the same kind or of the other.

Rows are read in the order of their keys and stored in bounded transactions, so that a copy which was interrupted goes
on where it ended: as many rows of a table as the target has, so many are done. Until every row is there and was
compared, the target says that it is an unfinished copy, and nothing but the copying opens it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.queue import postgres_document_index
from app.queue.database import Database, DatabaseTrouble
from app.queue.engine_fact import ENGINE
from app.queue.schema import HEAD, UNFINISHED_COPY, require_current, version_of, version_table
from app.queue.status import Status
from app.queue.storage_faults import explained
from app.queue.tables import document, metadata, sequence, step_job, worker_job

ROWS_AT_ONCE = 1_000
COPIED_FROM = "copied_from"
"""Where an unfinished copy keeps the revision of what it copies."""

_rows_now = sa.select(sa.func.count()).select_from(worker_job).where(worker_job.c.status == Status.RUNNING)
_planned_now = (
    sa.select(sa.func.count())
    .select_from(step_job)
    .where(step_job.c.status == Status.RUNNING, step_job.c.ready.is_(False), step_job.c.planned.is_(False))
)


class CopyRefused(DatabaseTrouble):
    """Nothing can be copied like this; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copy of a table is. `rows`: in the source."""

    table: str
    done: int
    rows: int


def copy(source: Database, target: Database) -> Generator[Progress]:
    """Copies, compares, and declares the target finished. Nobody may write either of them meanwhile; if somebody does,
    the copy ends without having declared anything. Raises CopyRefused or DatabaseTrouble."""
    require_current(source)
    with source.read() as reading:
        if (found := version_of(reading)) != HEAD:
            raise CopyRefused(
                f"{source} has schema {found}, of which this Stepglass copies only {HEAD}; use a newer one."
            )
        if not source.is_sqlite:  # it waits while the target is written and compared
            reading.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        revision = _revision(reading)
        _refuse_work(reading, source)
        _prepare(target, revision)
        for table in _tables():
            yield from _copy_table(reading, target, table)
        for table in _tables():
            _compare(reading, target, table)
        numbers = reading.execute(sa.select(sequence).where(sequence.c.name != ENGINE)).all()
    with source.read() as later:
        if _revision(later) != revision:
            raise CopyRefused(f"{source} was written while it was copied. Stop what writes to it, and copy again.")
    _finish(target, numbers)


def _tables() -> list[sa.Table]:
    """Every table but that of the numbers, those that others refer to first."""
    return [table for table in metadata.sorted_tables if table is not sequence]


def _revision(connection: Connection) -> int:
    return int(connection.execute(sa.select(sequence.c.value).where(sequence.c.name == "revision")).scalar_one())


def _refuse_work(reading: Connection, source: Database) -> None:
    items, plans = reading.execute(_rows_now).scalar_one(), reading.execute(_planned_now).scalar_one()
    if items or plans:
        at_work = f"{items:,} work items are running" if items else f"{plans:,} steps are being planned"
        raise CopyRefused(
            f"{source}: {at_work}. Stop the server, which gives back what it runs, or pause the queue and wait until "
            f"nothing runs; after a crash, start the server once more and stop it."
        )


@contextmanager
def _writing(target: Database) -> Iterator[Connection]:
    try:
        with target.writing.begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise CopyRefused(f"{target} cannot be written: {explained(error)}. Then copy again.") from error


def _prepare(target: Database, revision: int) -> None:
    with _writing(target) as connection:
        found = version_of(connection)
        if found == UNFINISHED_COPY:
            copied_from = sa.select(sequence.c.value).where(sequence.c.name == COPIED_FROM)
            if connection.execute(copied_from).scalar_one() == revision:
                return
            metadata.drop_all(connection)
            version_table.drop(connection)
        elif found is not None:
            raise CopyRefused(f"{target} holds a queue already. Name an empty database, or another directory.")
        metadata.create_all(connection, checkfirst=False)
        version_table.create(connection)
        connection.execute(sa.insert(version_table), {"version_num": UNFINISHED_COPY})
        connection.execute(sa.insert(sequence), {"name": COPIED_FROM, "value": revision})


def _copy_table(reading: Connection, target: Database, table: sa.Table) -> Iterator[Progress]:
    rows = _number(reading, table)
    with target.read() as there:
        done = _number(there, table)
    yield Progress(table.name, done, rows)
    query = sa.select(table).order_by(*table.primary_key.columns).offset(done)
    with reading.execute(query.execution_options(yield_per=ROWS_AT_ONCE)) as found:
        for batch in found.mappings().partitions():
            with _writing(target) as connection:
                connection.execute(sa.insert(table), list(map(dict, batch)))
                if table is document and not target.is_sqlite:  # which indexes by itself what is inserted
                    postgres_document_index.learn(connection, ((row["id"], row["title"], row["body"]) for row in batch))
            done += len(batch)
            yield Progress(table.name, done, rows)


def _compare(reading: Connection, target: Database, table: sa.Table) -> None:
    ours = _fingerprint(reading, table)
    with target.read() as there:
        theirs = _fingerprint(there, table)
    if ours != theirs:
        raise CopyRefused(
            f"The copy of {table.name} is not what it was made from: {ours[0]:,} rows there, {theirs[0]:,} here, or "
            f"others. Empty {target}, and copy again."
        )


def _fingerprint(connection: Connection, table: sa.Table) -> tuple[int, int]:
    """How many rows, and a sum of their digests: databases do not agree about the order of texts."""
    number = total = 0
    with connection.execute(sa.select(table).execution_options(yield_per=ROWS_AT_ONCE)) as rows:
        for row in rows:
            encoded = msgspec.json.encode(list(row), enc_hook=_plain, order="sorted")
            total += int.from_bytes(hashlib.sha256(encoded).digest())
            number += 1
    return number, total % 2**256


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is nothing that a row holds")


def _finish(target: Database, numbers: Any) -> None:
    with _writing(target) as connection:
        connection.execute(sa.delete(sequence))
        connection.execute(sa.insert(sequence), [{"name": row.name, "value": row.value} for row in numbers])
        if not target.is_sqlite:
            for table in metadata.sorted_tables:
                _count_on(connection, table)
        connection.execute(sa.update(version_table).values(version_num=HEAD))


def _count_on(connection: Connection, table: sa.Table) -> None:
    """PostgreSQL hands out the ids of some tables by a counter of its own, which has to know where they are."""
    column = table.autoincrement_column
    if column is not None:
        next_one = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
        counter = sa.func.pg_get_serial_sequence(table.name, column.name)
        connection.execute(sa.select(sa.func.setval(counter, next_one, False)))


def _number(connection: Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
