"""The failure groups: the work items of a step that failed with the same message, kept in the transaction that fails
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from app.queue.failure_pattern import pattern_of
from app.queue.prepared import PreparedUpdate
from app.queue.status import Status
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
_number = select(func.count()).select_from(failure_group).where(failure_group.c.step_id == bindparam("of_step"))
_groups = select(failure_group).where(failure_group.c.step_id == bindparam("of_step"))
_of_pattern = (failure_group.c.step_id == bindparam("of_step")) & (failure_group.c.pattern == bindparam("with_pattern"))
_set = (
    update(failure_group)
    .where(_of_pattern)
    .values(number=bindparam("left"), first_id=bindparam("first"), last_id=bindparam("last"), last_at=bindparam("at"))
)
_forget = delete(failure_group).where(_of_pattern)
_failed = select(worker_job.c.id, worker_job.c.error, worker_job.c.finished_at).where(
    worker_job.c.step_id == bindparam("of_step"), worker_job.c.status == Status.FAILED
)


def group_failure(transaction: Transaction, step_id: int, worker_id: int, error: str) -> None:
    """Counts a work item that has just failed for good among those of its step that say the same."""
    pattern = pattern_of(error)
    if _added(transaction, step_id, pattern, worker_id):
        return
    if transaction.connection.execute(_number, {"of_step": step_id}).scalar_one() >= MOST_GROUPS:
        pattern = OTHER
        if _added(transaction, step_id, pattern, worker_id):
            return
    row = {"step_id": step_id, "pattern": pattern, "number": 1, "first_id": worker_id, "last_id": worker_id}
    transaction.connection.execute(insert(failure_group), {**row, "last_at": transaction.now})


def _added(transaction: Transaction, step_id: int, pattern: str, worker_id: int) -> int:
    row = {"of_step": step_id, "with_pattern": pattern, "worker": worker_id, "now": transaction.now}
    return _add.execute(transaction.connection, [row])


def patterns_of(transaction: Transaction, step_id: int) -> set[str]:
    """The patterns that have a group of their own."""
    query = select(failure_group.c.pattern).where(failure_group.c.step_id == step_id, failure_group.c.pattern != OTHER)
    return set(transaction.connection.execute(query).scalars())


def forget_groups(transaction: Transaction, step_id: int) -> None:
    """No work item of the step is failed any more."""
    transaction.connection.execute(delete(failure_group).where(failure_group.c.step_id == step_id))


def ungroup(transaction: Transaction, step_id: int, failures: Sequence[tuple[int, str]]) -> None:
    """Takes work items (id, error) that are no longer failed out of their groups."""
    gone = {worker_id for worker_id, _ in failures}
    groups = {row.pattern: row for row in transaction.connection.execute(_groups, {"of_step": step_id})}
    left = {pattern: row.number for pattern, row in groups.items()}
    for pattern, number in Counter(pattern_of(error) for _, error in failures).items():
        own = min(number, left.get(pattern, 0))
        left[pattern] = left.get(pattern, 0) - own
        left[OTHER] = left.get(OTHER, 0) - (number - own)
    for pattern, row in groups.items():
        if left[pattern] == 0:
            transaction.connection.execute(_forget, {"of_step": step_id, "with_pattern": pattern})
        elif left[pattern] != row.number:
            examples = _examples(transaction, step_id, row, gone, groups.keys())
            transaction.connection.execute(
                _set, {"of_step": step_id, "with_pattern": pattern, "left": left[pattern], **examples}
            )


def _examples(
    transaction: Transaction, step_id: int, group: Any, gone: set[int], patterns: Collection[str]
) -> dict[str, Any]:
    """The first and the last of those that are left, by their ids."""
    first, last = {"first": group.first_id}, {"last": group.last_id, "at": group.last_at}
    if group.first_id in gone:
        found = _example(transaction, step_id, group.pattern, patterns, worker_job.c.id)
        first = {"first": found.id}
    if group.last_id in gone:
        found = _example(transaction, step_id, group.pattern, patterns, worker_job.c.id.desc())
        last = {"last": found.id, "at": found.finished_at}
    return first | last


def _example(
    transaction: Transaction, step_id: int, pattern: str, patterns: Collection[str], order: ColumnElement[Any]
) -> Any:
    """The next failed work item of the group. What the others are counted as depends on when they failed: any will
    do."""
    rows = transaction.connection.execute(
        _failed.order_by(order), {"of_step": step_id}, execution_options={"yield_per": 200}
    )
    fallback = None
    with rows:
        for row in rows:
            found = pattern_of(row.error or "")
            if found == pattern or (pattern == OTHER and found not in patterns):
                return row
            fallback = fallback or row
    return fallback
