"""held: of the work items that somebody believes to be running, those that are not his any more."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, select

from app.queue.status import Status
from app.queue.tables import worker_job
from app.queue.writer import Transaction

_running = select(worker_job.c.id, worker_job.c.attempt).where(
    worker_job.c.id.in_(bindparam("ids", expanding=True)), worker_job.c.status == Status.RUNNING
)


def not_held(transaction: Transaction, attempts: Mapping[int, int]) -> frozenset[int]:
    """Of these work items (the attempt that is being made, by id) those of which that attempt is over."""
    if not attempts:
        return frozenset()
    running = {(row.id, row.attempt) for row in transaction.connection.execute(_running, {"ids": list(attempts)})}
    return frozenset(worker_id for worker_id, attempt in attempts.items() if (worker_id, attempt) not in running)
