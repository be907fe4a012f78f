"""The counters: how many work items of a step have which status, and how many lines of its log which level, kept in the
transaction that moves or writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from app.queue.models import Level
from app.queue.prepared import PreparedInsert, PreparedUpdate
from app.queue.status import Status
from app.queue.store.waiting import tell_waiting
from app.queue.tables import log_counter, minute_counter, step_counter, step_job
from app.queue.writer import Transaction

COUNTED = (Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED)

_open_counters = PreparedInsert(step_counter)
_open_line_counters = PreparedInsert(log_counter)
_change = PreparedUpdate(
    update(step_counter)
    .where(step_counter.c.step_id == bindparam("of_step"), step_counter.c.status == bindparam("of_status"))
    .values(number=step_counter.c.number + bindparam("delta"))
)
_change_lines = PreparedUpdate(
    update(log_counter)
    .where(log_counter.c.step_id == bindparam("of_step"), log_counter.c.level == bindparam("of_level"))
    .values(number=log_counter.c.number + bindparam("delta"))
)
_of_step = select(step_counter.c.status, step_counter.c.number).where(step_counter.c.step_id == bindparam("of_step"))
_of_run = (
    select(step_counter.c.number)
    .join(step_job, step_job.c.id == step_counter.c.step_id)
    .where(step_job.c.manager_id == bindparam("of_manager"), step_counter.c.status == bindparam("of_status"))
)
MINUTES_KEPT = 24 * 60

_count_minute = PreparedUpdate(
    update(minute_counter)
    .where(minute_counter.c.minute == bindparam("of_minute"), minute_counter.c.status == bindparam("of_status"))
    .values(number=minute_counter.c.number + bindparam("ended"))
)
_forget_minutes = delete(minute_counter).where(minute_counter.c.minute <= bindparam("last"))


def open_counters(transaction: Transaction, step_ids: Sequence[int]) -> None:
    """Sets the counters of new steps to 0, so that from now on every count is one UPDATE."""
    statuses = [(step_id, status.value, 0) for step_id in step_ids for status in COUNTED]
    _open_counters.execute(transaction.connection, statuses)
    levels = [(step_id, level.value, 0) for step_id in step_ids for level in Level]
    _open_line_counters.execute(transaction.connection, levels)


def count(transaction: Transaction, step_id: int, deltas: Mapping[Status, int], tell: bool = True) -> None:
    """`tell`: lets those know that wait for what ends here; False: `roll_up` will do that."""
    rows = [
        {"of_step": step_id, "of_status": status.value, "delta": delta} for status, delta in deltas.items() if delta
    ]
    _change.execute(transaction.connection, rows)
    if tell and deltas.get(Status.RUNNING, 0) < 0:
        tell_waiting(transaction, step_id)


def count_lines(transaction: Transaction, step_id: int, added: Mapping[str, int]) -> None:
    """`added`: how many new lines have which level."""
    rows = [{"of_step": step_id, "of_level": level, "delta": number} for level, number in added.items()]
    _change_lines.execute(transaction.connection, rows)


def counts_of(transaction: Transaction, step_id: int) -> dict[Status, int]:
    rows = transaction.connection.execute(_of_step, {"of_step": step_id})
    return {row.status: row.number for row in rows}


def failures_of_run(transaction: Transaction, manager_id: int) -> int:
    rows = transaction.connection.execute(_of_run, {"of_manager": manager_id, "of_status": Status.FAILED})
    return sum(rows.scalars())


def count_minute(transaction: Transaction, ended: Mapping[Status, int]) -> None:
    """Counts work items that ended just now. The first of a minute also forgets the minutes of the day before."""
    minute = int(transaction.now // 60)
    for status, number in ended.items():
        if number and not _count_minute.execute(
            transaction.connection, [{"of_minute": minute, "of_status": status.value, "ended": number}]
        ):
            row = {"minute": minute, "status": status, "number": number}
            transaction.connection.execute(insert(minute_counter), row)
            transaction.connection.execute(_forget_minutes, {"last": minute - MINUTES_KEPT})
