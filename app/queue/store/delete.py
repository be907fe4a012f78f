"""delete: a run that is over goes, with everything it owns.

It leaves every list and number at once, by a mark; its rows follow in bounded batches, so that no other writer waits
long. Whoever ends in between is no matter: the mark stays, and the next owner goes on.

Documents are not owned by the run that made them: others may have used or changed them since. They stay, and keep the
numbers of the step and work item that made them, which no other job will ever have.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, insert, select

from app.queue.changes import RunChanged, RunDeleted
from app.queue.deletions import is_being_deleted, mark_of, runs_being_deleted
from app.queue.status import FINAL, Status
from app.queue.tables import log_entry, manager_job, sequence, step_job, worker_job
from app.queue.writer import Transaction

BATCH = 2_000
"""Rows that go in one transaction; with a work item go its attempts."""


class NotOver(Exception):
    """A run is still going on, and cannot be deleted."""

    def __init__(self, manager_id: int, status: Status) -> None:
        super().__init__(f"job {manager_id} is {status}; cancel it first, then delete it")
        self.manager_id = manager_id


_this = manager_job.alias()
_status = select(manager_job.c.status).where(manager_job.c.id == bindparam("of_manager"))
_relatives = select(manager_job.c.id, manager_job.c.status).where(
    (manager_job.c.rerun_of == bindparam("of_manager"))
    | (
        manager_job.c.id
        == select(_this.c.rerun_of).where(_this.c.id == bindparam("of_manager")).correlate(None).scalar_subquery()
    )
)
_step_ids = select(step_job.c.id).where(step_job.c.manager_id == bindparam("of_manager"))
_last_line = select(func.max(log_entry.c.line)).where(log_entry.c.step_id == bindparam("of_step"))
_forget_lines = delete(log_entry).where(
    log_entry.c.step_id == bindparam("of_step"), log_entry.c.line > bindparam("beyond")
)
_some_items = (
    select(worker_job.c.id).where(worker_job.c.step_id == bindparam("of_step")).limit(bindparam("most")).subquery()
)
_forget_items = delete(worker_job).where(worker_job.c.id.in_(select(_some_items.c.id)))
_forget_run = delete(manager_job).where(manager_job.c.id == bindparam("of_manager"))
_forget_mark = delete(sequence).where(sequence.c.name == bindparam("mark"))


def delete_run(transaction: Transaction, manager_id: int, most: int = BATCH) -> bool:
    """Deletes up to that many rows of a run that is over. Returns whether there are more: then call it again.

    From the first call on the run is not seen any more. One that does not exist (any more) is no error: there is
    nothing left of it. Raises NotOver.
    """
    status: Status | None = transaction.connection.execute(_status, {"of_manager": manager_id}).scalar_one_or_none()
    if status is None:
        return False
    if status not in FINAL:
        raise NotOver(manager_id, status)
    if not is_being_deleted(transaction.connection, manager_id):
        transaction.connection.execute(insert(sequence), {"name": mark_of(manager_id), "value": manager_id})
        transaction.changes.append(RunDeleted(manager_id, status))
        relatives = transaction.connection.execute(_relatives, {"of_manager": manager_id})
        transaction.changes += [RunChanged(row.id, row.status) for row in relatives]  # which named it, or it them
    if _forget_rows(transaction, manager_id, most) >= most:
        return True
    # What is left is a row per step, its counters and its failure groups, of which there are never many.
    transaction.connection.execute(_forget_run, {"of_manager": manager_id})
    transaction.connection.execute(_forget_mark, {"mark": mark_of(manager_id)})
    return False


def deletions_begun(transaction: Transaction) -> list[int]:
    """The runs whose deletion an owner has begun and not ended."""
    return sorted(runs_being_deleted(transaction.connection))


def _forget_rows(transaction: Transaction, manager_id: int, most: int) -> int:
    """Deletes log lines and work items, up to `most` in all; returns how many."""
    gone = 0
    for step_id in transaction.connection.execute(_step_ids, {"of_manager": manager_id}).scalars().all():
        gone += _forget_last_lines(transaction, step_id, most - gone)
        gone += transaction.connection.execute(_forget_items, {"of_step": step_id, "most": most - gone}).rowcount
        if gone >= most:
            break
    return gone


def _forget_last_lines(transaction: Transaction, step_id: int, most: int) -> int:
    last: int | None = transaction.connection.execute(_last_line, {"of_step": step_id}).scalar_one()
    beyond = (last or 0) - most
    return transaction.connection.execute(_forget_lines, {"of_step": step_id, "beyond": beyond}).rowcount
