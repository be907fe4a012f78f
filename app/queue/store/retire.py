"""retire: a run that has been kept for long enough goes, as if somebody deleted it."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from app.queue.actor import Actor, Place
from app.queue.retention import OverdueRun
from app.queue.status import FINAL
from app.queue.store.control import delete_as
from app.queue.tables import manager_job
from app.queue.writer import Transaction

BATCH = 500
"""Rows that go in the first transaction; the others follow as those of any deletion do."""

_run = select(manager_job.c.status, manager_job.c.finished_at).where(manager_job.c.id == bindparam("of_manager"))


def retire(transaction: Transaction, run: OverdueRun) -> bool:
    """Begins the deletion of the run; False if it is not as it was when it was found, as after a retry."""
    found = transaction.connection.execute(_run, {"of_manager": run.manager_id}).one_or_none()
    if found is None or found.status not in FINAL or found.finished_at != run.finished_at:
        return False
    delete_as(transaction, run.manager_id, Actor(Place.RETENTION), run.why, BATCH)
    return True
