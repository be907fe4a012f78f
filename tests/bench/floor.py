"""The floor: the same row changes as the queue makes, by bare sqlite3 in one thread, committed in groups."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa

from app.queue.database import Database
from app.queue.schema import bring_up_to_date

GROUP = 200


def items_per_second(folder: Path, items: int, synchronous: str) -> float:
    """Inserts, claims and completes that many work items with two log lines each, counting as it goes; items/s."""
    database = Database.in_directory(folder)
    bring_up_to_date(database)
    with database.writing.begin() as connection:
        make_a_step(connection)
    database.close()
    connection = sqlite3.connect(folder / "stepglass.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    began = time.perf_counter()
    for first in range(0, items, GROUP):
        _insert(connection, range(first, min(first + GROUP, items)))
    line = 0
    for _ in range(0, items, GROUP):
        line = _claim_and_complete(connection, line)
    seconds = time.perf_counter() - began
    done = connection.execute("SELECT number FROM step_counter WHERE status = 'completed'").fetchone()[0]
    assert (done, line) == (items, 2 * items)
    connection.close()
    return items / seconds


def make_a_step(connection: sa.Connection) -> None:
    """On either database."""
    connection.exec_driver_sql(
        "INSERT INTO manager_job (id, definition, name, status, reason, tags, parameters, max_child_failures,"
        " failure_action, definition_text, created_at)"
        " VALUES (1, 'd', 'n', 'running', '', '[]', '{}', -1, 'stop_all', '', 0)"
    )
    connection.exec_driver_sql(
        "INSERT INTO step_job (id, manager_id, position, name, type, description, depends, on_error, always_run,"
        " settings, status, reason, ready, plan_attempt, planned, log_count, document_count, created_at)"
        " VALUES (2, 1, 1, 's', 't', '', '[]', 'fail', false, '{}', 'running', '', false, 1, false, 0, 0, 0)"
    )
    for status in ("pending", "running", "completed", "failed", "cancelled"):
        connection.exec_driver_sql(f"INSERT INTO step_counter VALUES (2, '{status}', 0)")  # noqa: S608


def _insert(connection: sqlite3.Connection, numbers: range) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO worker_job (id, manager_id, step_id, name, status, reason, attempt, due_at, input, created_at)"
        " VALUES (?, 1, 2, ?, 'pending', '', 0, 0, ?, ?)",
        [(100 + n, f"item {n}", f'{{"number":{n}}}', time.time()) for n in numbers],
    )
    _count(connection, "pending", len(numbers))
    connection.execute("COMMIT")


def _claim_and_complete(connection: sqlite3.Connection, line: int) -> int:
    now = time.time()
    connection.execute("BEGIN IMMEDIATE")
    claimed = connection.execute(
        "UPDATE worker_job SET status = 'running', attempt = attempt + 1, started_at = ? WHERE id IN (SELECT id FROM"
        " worker_job WHERE step_id = 2 AND status = 'pending' AND due_at <= ? ORDER BY id LIMIT ?)"
        " RETURNING id, name, input, attempt",
        (now, now, GROUP),
    ).fetchall()
    _count(connection, "pending", -len(claimed))
    _count(connection, "running", len(claimed))
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    lines = [(item[0], f"{item[1]} {said}") for item in claimed for said in ("begins", "is done")]
    connection.executemany(
        "INSERT INTO log_entry (step_id, line, worker_id, at, level, message) VALUES (2, ?, ?, ?, 'info', ?)",
        [(line + n, worker_id, now, message) for n, (worker_id, message) in enumerate(lines, start=1)],
    )
    connection.executemany(
        "UPDATE worker_job SET status = 'completed', reason = '', finished_at = ?"
        " WHERE id = ? AND status = 'running' AND attempt = ?",
        [(now, item[0], item[3]) for item in claimed],
    )
    _count(connection, "running", -len(claimed))
    _count(connection, "completed", len(claimed))
    connection.execute("UPDATE step_job SET log_count = log_count + ? WHERE id = 2", (len(lines),))
    connection.execute("COMMIT")
    return line + len(lines)


def _count(connection: sqlite3.Connection, status: str, delta: int) -> None:
    connection.execute("UPDATE step_counter SET number = number + ? WHERE step_id = 2 AND status = ?", (delta, status))
