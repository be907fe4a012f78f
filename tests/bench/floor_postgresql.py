"""The floor on PostgreSQL: the same row changes as the queue makes, by bare psycopg, one connection, in batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg

from app.queue.database import Database
from app.queue.schema import bring_up_to_date
from tests.bench.floor import make_a_step

BATCH = 50

_INSERT = (
    "INSERT INTO worker_job (id, manager_id, step_id, name, status, reason, attempt, due_at, input, created_at)"
    " SELECT id, 1, 2, name, 'pending', '', 0, 0, input, %s FROM unnest(%s::bigint[], %s::text[], %s::json[])"
    " AS given(id, name, input)"
)
_CLAIM = (
    "WITH due AS MATERIALIZED (SELECT id FROM worker_job WHERE step_id = 2 AND status = 'pending' AND due_at <= %s"
    " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) UPDATE worker_job SET status = 'running', attempt = attempt + 1,"
    " started_at = %s WHERE id IN (SELECT id FROM due) RETURNING id, name, input, attempt"
)
_LOG = (
    "INSERT INTO log_entry (step_id, line, worker_id, at, level, message)"
    " SELECT 2, line, worker_id, %s, 'info', message FROM unnest(%s::bigint[], %s::bigint[], %s::text[])"
    " AS given(line, worker_id, message)"
)
_COMPLETE = (
    "UPDATE worker_job SET status = 'completed', reason = '', finished_at = %s"
    " FROM unnest(%s::bigint[], %s::int[]) AS given(id, attempt)"
    " WHERE worker_job.id = given.id AND status = 'running' AND worker_job.attempt = given.attempt"
)
_COUNT = "UPDATE step_counter SET number = number + %s WHERE step_id = 2 AND status = %s"


def items_per_second(database: Database, items: int, batch: int = BATCH) -> float:
    """Inserts, claims and completes that many work items with two log lines each, counting as it goes; items/s."""
    bring_up_to_date(database)
    with database.writing.begin() as connection:
        make_a_step(connection)
    database.close()
    with psycopg.connect(database.libpq_url) as connection:
        began = time.perf_counter()
        for first in range(0, items, batch):
            _insert(connection, range(first, min(first + batch, items)))
        line = 0
        for _ in range(0, items, batch):
            line = _claim_and_complete(connection, batch, line)
        seconds = time.perf_counter() - began
        found = connection.execute("SELECT number FROM step_counter WHERE status = 'completed'").fetchone()
    assert found and (found[0], line) == (items, 2 * items)
    return items / seconds


def _insert(connection: psycopg.Connection[Any], numbers: range) -> None:
    names, inputs = [f"item {n}" for n in numbers], [f'{{"number":{n}}}' for n in numbers]
    connection.execute(_INSERT, (time.time(), [100 + n for n in numbers], names, inputs))
    _count(connection, {"pending": len(numbers)})
    connection.commit()


def _claim_and_complete(connection: psycopg.Connection[Any], batch: int, line: int) -> int:
    now = time.time()
    claimed = connection.execute(_CLAIM, (now, batch, now)).fetchall()
    _count(connection, {"pending": -len(claimed), "running": len(claimed)})
    connection.commit()
    _complete(connection, now, claimed, line)
    connection.commit()
    return line + 2 * len(claimed)


def _complete(connection: psycopg.Connection[Any], now: float, claimed: Sequence[Any], line: int) -> None:
    lines = [(item[0], f"{item[1]} {said}") for item in claimed for said in ("begins", "is done")]
    numbers = list(range(line + 1, line + 1 + len(lines)))
    connection.execute(_LOG, (now, numbers, [each[0] for each in lines], [each[1] for each in lines]))
    connection.execute(_COMPLETE, (now, [item[0] for item in claimed], [item[3] for item in claimed]))
    _count(connection, {"running": -len(claimed), "completed": len(claimed)})
    connection.execute("UPDATE step_job SET log_count = log_count + %s WHERE id = 2", (len(lines),))


def _count(connection: psycopg.Connection[Any], deltas: dict[str, int]) -> None:
    for status, delta in deltas.items():
        connection.execute(_COUNT, (delta, status))
