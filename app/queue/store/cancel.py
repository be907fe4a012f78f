"""cancel: a run, a step or a work item ends because a person, a time limit or a stop of the server's own says so.

What had not begun never does; what runs is fenced off at once and told to stop. Steps that wait for a cancelled one
are skipped, and its run ends when nothing else is left of it, all in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from app.queue.changes import ItemsStopped
from app.queue.status import ACTIVE, FINAL, Status, Verdict
from app.queue.store.counting import count
from app.queue.store.ending import end_of
from app.queue.store.logging import log_line
from app.queue.store.roll_up import advance, end_step, roll_up, stop_run, stop_work
from app.queue.tables import step_job, worker_job
from app.queue.writer import Transaction

_step = select(step_job.c.manager_id, step_job.c.status).where(step_job.c.id == bindparam("of_step"))
_stop_one = (
    update(worker_job)
    .where(worker_job.c.id == bindparam("of_worker"), worker_job.c.status == bindparam("source"))
    .values(status=Status.CANCELLED, reason=bindparam("why"), finished_at=end_of(worker_job))
    .returning(worker_job.c.step_id, worker_job.c.name)
)


def cancel(transaction: Transaction, manager_id: int, reason: str) -> bool:
    """Cancels a run with everything in it that is not final; False if there was nothing to cancel."""
    return stop_run(transaction, manager_id, Verdict(Status.CANCELLED, reason))


def cancel_step(transaction: Transaction, step_id: int, reason: str) -> bool:
    """Cancels a step with every work item of it that is not final; False if it had ended."""
    step = transaction.connection.execute(_step, {"of_step": step_id}).one_or_none()
    if step is None or step.status in FINAL:
        return False
    stop_work(transaction, step_id, reason)
    end_step(transaction, step_id, Verdict(Status.CANCELLED, reason))
    advance(transaction, step.manager_id)
    return True


def cancel_item(transaction: Transaction, worker_id: int, reason: str) -> bool:
    """Cancels one work item; False if it had ended. The others of its step go on."""
    for source in ACTIVE:
        parameters = {"of_worker": worker_id, "source": source, "why": reason, "now": transaction.now}
        stopped = transaction.connection.execute(_stop_one, parameters).one_or_none()
        if stopped is None:
            continue
        count(transaction, stopped.step_id, {source: -1, Status.CANCELLED: 1})
        log_line(transaction, stopped.step_id, "info", f"{stopped.name} {reason}", worker_id)
        if source is Status.RUNNING:
            transaction.changes.append(ItemsStopped(stopped.step_id, frozenset([worker_id])))
        roll_up(transaction, stopped.step_id)
        return True
    return False
