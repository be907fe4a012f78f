"""Reading the attempts of a work item, each with the last lines that it said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.queue.log_reading import LogFilter, LogReading
from app.queue.models import Level
from app.queue.records import AttemptRecord, LogLine
from app.queue.status import Status
from app.queue.tables import attempt

LINES = 10
"""How many lines of an attempt are shown with it."""

_earlier = select(attempt).where(attempt.c.worker_id == bindparam("of_worker")).order_by(attempt.c.number)


def attempts_of(connection: Connection, item: Any) -> tuple[AttemptRecord, ...]:
    """The attempts of a work item (a row of worker_job), the newest first."""
    earlier = connection.execute(_earlier, {"of_worker": item.id}).all()
    records = list(_kept(connection, item.id, earlier))
    if item.started_at is not None and (not earlier or earlier[-1].number < item.attempt):
        lines = _lines(connection, item.id, earlier[-1].last_line if earlier else 0, None)
        records.append(_record(item, item.attempt, item.status, lines))
    return tuple(reversed(records))


def _kept(connection: Connection, worker_id: int, rows: Sequence[Any]) -> Iterator[AttemptRecord]:
    before: int | None = 0
    for row in rows:
        lines = () if row.last_line is None else _lines(connection, worker_id, before, row.last_line)
        yield _record(row, row.number, Status.FAILED if row.error else Status.CANCELLED, lines)
        before = row.last_line


def _record(row: Any, number: int, status: Status, lines: tuple[LogLine, ...]) -> AttemptRecord:
    error = row.error or None
    return AttemptRecord(number, status, error, row.traceback, row.claimed_by, row.started_at, row.finished_at, lines)


def _lines(connection: Connection, worker_id: int, after: int | None, last: int | None) -> tuple[LogLine, ...]:
    """The last lines of a work item that follow a line, up to another; none when it is not known where they begin."""
    if after is None:
        return ()
    matching = LogFilter(worker_id=worker_id, level=Level.INFO)
    found = LogReading(connection).before(matching, None if last is None else last + 1, LINES)
    return tuple(line for line in found if line.line > after)
