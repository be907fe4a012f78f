"""cancel: a run ends because a person, a time limit or a stop of the server's own says so."""

from __future__ import annotations

from app.queue.status import Status, Verdict
from app.queue.store.roll_up import stop_run
from app.queue.writer import Transaction


def cancel(transaction: Transaction, manager_id: int, reason: str) -> bool:
    """Cancels a run with everything in it that is not final; False if there was nothing to cancel."""
    return stop_run(transaction, manager_id, Verdict(Status.CANCELLED, reason))


def time_out(transaction: Transaction, manager_id: int, seconds: float) -> bool:
    """Fails a run that took longer than its definition allows; False if it had ended."""
    return stop_run(transaction, manager_id, Verdict(Status.FAILED, f"took longer than its timeout of {seconds:g} s"))
