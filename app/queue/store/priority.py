"""priority: a run goes before others, or after them."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from app.queue.actor import Actor
from app.queue.changes import PriorityChanged, RunChanged
from app.queue.deletions import is_being_deleted
from app.queue.limits import MOST_PRIORITY
from app.queue.status import FINAL
from app.queue.store.actions import record
from app.queue.tables import manager_job
from app.queue.writer import Transaction


class NothingToPrioritise(Exception):
    """The run is over."""


_run = select(manager_job.c.status, manager_job.c.priority).where(manager_job.c.id == bindparam("of_manager"))
_change = update(manager_job).where(manager_job.c.id == bindparam("of_manager")).values(priority=bindparam("to"))


def prioritise_as(transaction: Transaction, manager_id: int, priority: int, actor: Actor) -> bool:
    """From the next claim on it goes by this priority; False if it had it already. Raises NothingToPrioritise."""
    run = transaction.connection.execute(_run, {"of_manager": manager_id}).one_or_none()
    if run is None or run.status in FINAL or is_being_deleted(transaction.connection, manager_id):
        raise NothingToPrioritise(f"run {manager_id} is over; a priority means nothing to it any more")
    if run.priority == priority:
        return False
    transaction.connection.execute(_change, {"of_manager": manager_id, "to": priority})
    said = f"changed the priority of the run from {run.priority} to {priority}"
    record(transaction, actor, "prioritise", said, manager_id, manager_id)
    transaction.changes += [PriorityChanged(manager_id, priority), RunChanged(manager_id, run.status)]
    return True


def priority_of(text: str) -> int:
    """A priority as a form or a command line has it. Raises ValueError."""
    try:
        priority = int(text) if len(text) < 8 else MOST_PRIORITY + 1
    except ValueError:
        priority = MOST_PRIORITY + 1
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise ValueError(f"must be a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}, not {text[:40]!r}")
    return priority
