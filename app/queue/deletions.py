"""Runs whose deletion has begun.

A run may own millions of rows, which go a bounded number at a time. From the first of them on it is in no list and no
number: every snapshot reads the marks together with its revision, and passes over the runs that have one. Where there
is none, which is nearly always, no query is any different.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.queue.tables import sequence

_MARK = "deleting "
_marks = select(sequence).where(sequence.c.name.startswith(_MARK))


def mark_of(manager_id: int) -> str:
    """The name of the number that says that a run is being deleted."""
    return f"{_MARK}{manager_id}"


def deletions_in(numbers: Mapping[str, int]) -> frozenset[int]:
    """The runs that are marked, by the sequence's numbers by name."""
    return frozenset(value for name, value in numbers.items() if name.startswith(_MARK))


def runs_being_deleted(connection: Connection) -> frozenset[int]:
    return deletions_in({row.name: row.value for row in connection.execute(_marks)})


def is_being_deleted(connection: Connection, manager_id: int) -> bool:
    mark = select(sequence.c.value).where(sequence.c.name == mark_of(manager_id))
    return connection.execute(mark).first() is not None
