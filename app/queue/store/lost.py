"""lost: an attempt whose server ended while it ran is kept beside the others, so that it is seen and counted."""

from __future__ import annotations

from sqlalchemy import Float, bindparam, func, insert, select, true

from app.queue.status import Status
from app.queue.store.ending import end_of
from app.queue.tables import attempt, step_job, worker_job
from app.queue.writer import Transaction

lost_before = (
    select(func.count())
    .where(attempt.c.worker_id == worker_job.c.id, attempt.c.lost)
    .scalar_subquery()
    .correlate(worker_job)
)
"""Of a row of worker_job: how many of its attempts were lost."""

_lines_by_now = select(step_job.c.log_count).where(step_job.c.id == worker_job.c.step_id).scalar_subquery()
_keep = insert(attempt).from_select(
    ["worker_id", "number", "error", "claimed_by", "started_at", "finished_at", "last_line", "lost"],
    select(
        worker_job.c.id,
        worker_job.c.attempt,
        bindparam("said"),
        worker_job.c.claimed_by,
        func.coalesce(worker_job.c.started_at, bindparam("now", type_=Float)),
        end_of(worker_job),
        _lines_by_now,
        true(),
    ).where(
        worker_job.c.id == bindparam("of_worker"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.attempt == bindparam("by_attempt"),
    ),
)


def keep_lost(transaction: Transaction, worker_id: int, number: int, error: str) -> None:
    """Keeps the attempt that is running, before its work item is given to somebody else."""
    parameters = {"of_worker": worker_id, "by_attempt": number, "said": error, "now": transaction.now}
    transaction.connection.execute(_keep, parameters)
