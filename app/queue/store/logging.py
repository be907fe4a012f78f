"""log: lines are added to a step's log, numbered 1..N without gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, update

from app.queue.changes import LogGrew
from app.queue.prepared import PreparedInsert
from app.queue.store.counting import count_lines
from app.queue.tables import log_entry, step_job
from app.queue.text import storable
from app.queue.writer import Transaction

MAX_MESSAGE = 65_536
"""Characters of one message. A longer one is cut, and says so."""

_reserve_lines = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"))
    .values(log_count=step_job.c.log_count + bindparam("lines"))
    .returning(step_job.c.log_count, step_job.c.manager_id, step_job.c.name, step_job.c.status)
)
_insert_lines = PreparedInsert(log_entry)


class Line(NamedTuple):
    """A log entry that is still to be numbered. `worker_id` None: said by the step itself."""

    step_id: int
    worker_id: int | None
    at: float
    level: str
    message: str


def log(transaction: Transaction, lines: Iterable[Line]) -> None:
    """Adds the lines to the logs of their steps, in the order given. Lines of a step that is gone are gone with it."""
    by_step: defaultdict[int, list[Line]] = defaultdict(list)
    for line in lines:
        by_step[line.step_id].append(line)
    for step_id, of_step in by_step.items():
        _append(transaction, step_id, of_step)


def log_line(transaction: Transaction, step_id: int, level: str, message: str, worker_id: int | None = None) -> None:
    """Adds one line that the queue itself says."""
    log(transaction, [Line(step_id, worker_id, transaction.now, level, message)])


def _append(transaction: Transaction, step_id: int, lines: Sequence[Line]) -> None:
    parameters = {"of_step": step_id, "lines": len(lines)}
    step = transaction.connection.execute(_reserve_lines, parameters).one_or_none()
    if step is None:
        return
    first = step.log_count - len(lines) + 1
    rows = [
        (step_id, number, line.worker_id, line.at, line.level, _fitting(line.message))
        for number, line in enumerate(lines, start=first)
    ]
    _insert_lines.execute(transaction.connection, rows)
    count_lines(transaction, step_id, Counter(line.level for line in lines))
    transaction.changes.append(LogGrew(step.manager_id, step_id, step.name, step.status))


def _fitting(message: str) -> str:
    message = storable(message)
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[:MAX_MESSAGE]} … (cut: the message had {len(message):,} characters)"
