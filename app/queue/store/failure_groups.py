"""The failure groups: the work items of a step that failed with the same message, kept in the transaction that fails
them."""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, select, update

from app.queue.failure_pattern import pattern_of
from app.queue.prepared import Prepared
from app.queue.tables import failure_group, worker_job
from app.queue.writer import Transaction

MOST_GROUPS = 100
"""Groups of one step. However different the messages of a million failures are, a page can read them all."""
OTHER = ""
"""The pattern of what came when the step had that many."""

_add = Prepared(
    update(failure_group)
    .where(failure_group.c.step_id == bindparam("of_step"), failure_group.c.pattern == bindparam("with_pattern"))
    .values(number=failure_group.c.number + 1, last_id=bindparam("worker"), last_at=bindparam("now"))
)
_name = Prepared(
    update(worker_job)
    .where(worker_job.c.id == bindparam("of_worker"))
    .values(failure_pattern=bindparam("with_pattern"))
)
_number = select(func.count()).select_from(failure_group).where(failure_group.c.step_id == bindparam("of_step"))


def group_failure(transaction: Transaction, step_id: int, worker_id: int, error: str) -> None:
    """Counts a work item that has just failed for good among those of its step that say the same, and notes on it where
    it was counted."""
    pattern = _group(transaction, step_id, worker_id, pattern_of(error))
    _name.execute(transaction.connection, [{"of_worker": worker_id, "with_pattern": pattern}])


def _group(transaction: Transaction, step_id: int, worker_id: int, pattern: str) -> str:
    if _added(transaction, step_id, pattern, worker_id):
        return pattern
    if transaction.connection.execute(_number, {"of_step": step_id}).scalar_one() >= MOST_GROUPS:
        pattern = OTHER
        if _added(transaction, step_id, pattern, worker_id):
            return pattern
    row = {"step_id": step_id, "pattern": pattern, "number": 1, "first_id": worker_id, "last_id": worker_id}
    transaction.connection.execute(insert(failure_group), {**row, "last_at": transaction.now})
    return pattern


def _added(transaction: Transaction, step_id: int, pattern: str, worker_id: int) -> int:
    row = {"of_step": step_id, "with_pattern": pattern, "worker": worker_id, "now": transaction.now}
    return _add.execute(transaction.connection, [row])
