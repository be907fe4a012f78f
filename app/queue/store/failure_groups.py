"""The failure groups: the work items of a step that failed with the same message, kept in the transaction that fails
them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select, update

from app.queue.failure_pattern import pattern_of
from app.queue.prepared import PreparedUpdate
from app.queue.tables import failure_group, worker_job
from app.queue.writer import Transaction

MOST_GROUPS = 100
"""Groups of one step. However different the messages of a million failures are, a page can read them all."""
OTHER = ""
"""The pattern of what came when the step had that many."""

_add = PreparedUpdate(
    update(failure_group)
    .where(failure_group.c.step_id == bindparam("of_step"), failure_group.c.pattern == bindparam("with_pattern"))
    .values(number=failure_group.c.number + 1, last_id=bindparam("worker"), last_at=bindparam("now"))
)
_name = PreparedUpdate(
    update(worker_job)
    .where(worker_job.c.id == bindparam("of_worker"))
    .values(failure_pattern=bindparam("with_pattern"))
)
_number = select(func.count()).select_from(failure_group).where(failure_group.c.step_id == bindparam("of_step"))
_in_group = (worker_job.c.step_id == bindparam("of_step")) & (worker_job.c.failure_pattern == bindparam("with_pattern"))
_of_pattern = (failure_group.c.step_id == bindparam("of_step")) & (failure_group.c.pattern == bindparam("with_pattern"))
# Each by itself, since an index knows the first and the last without a look at those between them.
_first, _last = (select(end(worker_job.c.id)).where(_in_group).scalar_subquery() for end in (func.min, func.max))
_take_out = (
    update(failure_group)
    .where(_of_pattern)
    .values(
        number=failure_group.c.number - bindparam("gone"),
        acknowledged=failure_group.c.acknowledged - bindparam("closed"),
        first_id=_first,
        last_id=_last,
        last_at=select(worker_job.c.finished_at).where(worker_job.c.id == _last).scalar_subquery(),
    )
)
_forget_emptied = delete(failure_group).where(_of_pattern, failure_group.c.number <= bindparam("gone"))


@dataclass(frozen=True, slots=True)
class Gone:
    """So many work items of a group, so many of them acknowledged, that are in it no more."""

    pattern: str
    number: int
    closed: int


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


def forget_groups(transaction: Transaction, step_id: int) -> None:
    """No work item of the step is failed any more."""
    transaction.connection.execute(delete(failure_group).where(failure_group.c.step_id == step_id))


def regroup(transaction: Transaction, step_id: int, gone: Iterable[Gone]) -> None:
    """Some work items have left these groups of the step: the groups are what is left of them."""
    for group in gone:
        left = {"of_step": step_id, "with_pattern": group.pattern, "gone": group.number, "closed": group.closed}
        if not transaction.connection.execute(_forget_emptied, left).rowcount:
            transaction.connection.execute(_take_out, left)
