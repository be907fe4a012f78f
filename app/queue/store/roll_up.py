"""roll_up: what the end of a work item means for its step, for the steps that wait for that one, and for the run.

Called by every verb that ends something, inside its transaction. There is no other place that ends a step or a run.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, select, update

from app.queue.changes import RunChanged, StepChanged, StepReleased, WorkStopped
from app.queue.pauses import Scope
from app.queue.retrying import state_of
from app.queue.run_plan import FailureAction, Tolerance
from app.queue.status import (
    ACTIVE,
    FINAL,
    Status,
    Verdict,
    manager_verdict,
    start_verdict,
    step_verdict,
    stopped_reason,
    tolerance_verdict,
    waiting_reason,
)
from app.queue.store.counting import count, counts_of, failures_of_run
from app.queue.store.ending import end_of
from app.queue.store.logging import log_line
from app.queue.store.waiting import anything_waits, forget_wait_of_ended, tell_waiting
from app.queue.tables import manager_job, pause, step_job, worker_job
from app.queue.totals import told
from app.queue.writer import Transaction

_step = (
    select(
        step_job.c.id,
        step_job.c.manager_id,
        step_job.c.name,
        step_job.c.status,
        step_job.c.planned,
        manager_job.c.max_child_failures,
        manager_job.c.failure_action,
        anything_waits.label("anything_waits"),
    )
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(step_job.c.id == bindparam("of_step"))
)
_steps = select(step_job).where(step_job.c.manager_id == bindparam("of_manager")).order_by(step_job.c.position)
_end_step = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.status.in_(ACTIVE))
    .values(status=bindparam("to"), reason=bindparam("why"), ready=False, finished_at=end_of(step_job))
    .returning(step_job.c.manager_id, step_job.c.name, step_job.c.totals)
)
_release_step = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.status == Status.PENDING)
    .values(ready=True, reason=bindparam("why"))
)
_explain_step = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.status == Status.PENDING)
    .values(reason=bindparam("why"))
)
_end_manager = (
    update(manager_job)
    .where(manager_job.c.id == bindparam("of_manager"), manager_job.c.status.in_(ACTIVE))
    .values(status=bindparam("to"), reason=bindparam("why"), finished_at=end_of(manager_job))
    .returning(manager_job.c.id)
)
_forget_pause = delete(pause).where(pause.c.scope == bindparam("scope_of"))
_stop_workers = (
    update(worker_job)
    .where(worker_job.c.step_id == bindparam("of_step"), worker_job.c.status == bindparam("source"))
    .values(status=Status.CANCELLED, reason=bindparam("why"), finished_at=end_of(worker_job))
    .returning(worker_job.c.id)
)


def roll_up(transaction: Transaction, step_id: int, failed: bool = False) -> None:
    """Ends the step if the rules say so. `failed`: a work item of it has just failed, so the tolerance is checked."""
    step = transaction.connection.execute(_step, {"of_step": step_id}).one_or_none()
    if step is None or step.status in FINAL:
        return
    if step.anything_waits:
        tell_waiting(transaction, step_id)
    tolerance = Tolerance(step.max_child_failures, step.failure_action)
    counts = counts_of(transaction, step_id)
    if failed:
        run_failures = failures_of_run(transaction, step.manager_id)
        if verdict := tolerance_verdict(tolerance, counts[Status.FAILED], run_failures):
            _stop_beyond_tolerance(transaction, step.manager_id, step_id, tolerance, verdict)
            return
    if verdict := step_verdict(step.planned, counts, tolerance):
        end_step(transaction, step_id, verdict)
        advance(transaction, step.manager_id)
    else:
        transaction.changes.append(StepChanged(step.manager_id, step_id, step.name, step.status))


def _stop_beyond_tolerance(
    transaction: Transaction, manager_id: int, step_id: int, tolerance: Tolerance, verdict: Verdict
) -> None:
    stop_work(transaction, step_id, verdict.reason)
    end_step(transaction, step_id, verdict)
    if tolerance.failure_action is FailureAction.STOP_ALL:
        stop_run(transaction, manager_id, verdict)
    else:
        advance(transaction, manager_id)


def advance(transaction: Transaction, manager_id: int) -> None:
    """Releases or skips the steps that wait for nothing any more, and ends the run when all its steps are final."""
    while True:
        rows = transaction.connection.execute(_steps, {"of_manager": manager_id}).all()
        states = {row.name: state_of(row) for row in rows}
        skipped = False
        for row in rows:
            if row.status is not Status.PENDING or row.ready:
                continue
            verdict = start_verdict(states[row.name], states)
            if verdict is None:
                _explain(transaction, row, waiting_reason(states[row.name], states))
            elif verdict.status is Status.RUNNING:
                transaction.connection.execute(_release_step, {"of_step": row.id, "why": "waiting for a free slot"})
                transaction.changes += [
                    StepChanged(manager_id, row.id, row.name, Status.PENDING),
                    StepReleased(row.id),
                ]
            else:
                end_step(transaction, row.id, verdict)
                skipped = True
        if not skipped:
            break
    if run_verdict := manager_verdict(list(states.values())):
        end_run(transaction, manager_id, run_verdict)


def _explain(transaction: Transaction, row: Any, reason: str) -> None:
    if row.reason != reason:
        transaction.connection.execute(_explain_step, {"of_step": row.id, "why": reason})
        transaction.changes.append(StepChanged(row.manager_id, row.id, row.name, row.status))


def end_step(transaction: Transaction, step_id: int, verdict: Verdict) -> None:
    """Writes a step's final status, once: a step that is final already is left as it is."""
    ended = transaction.connection.execute(
        _end_step, {"of_step": step_id, "to": verdict.status, "why": verdict.reason, "now": transaction.now}
    ).one_or_none()
    if ended is None:
        return
    forget_wait_of_ended(transaction, step_id)
    level = "error" if verdict.status is Status.FAILED else "info"
    if ended.totals:
        log_line(transaction, step_id, "info", f"in all: {told(ended.totals.items())}")
    log_line(transaction, step_id, level, f"step {ended.name} {verdict.status}: {verdict.reason}")
    transaction.changes.append(StepChanged(ended.manager_id, step_id, ended.name, verdict.status))


def end_run(transaction: Transaction, manager_id: int, verdict: Verdict) -> None:
    parameters = {"of_manager": manager_id, "to": verdict.status, "why": verdict.reason, "now": transaction.now}
    if transaction.connection.execute(_end_manager, parameters).one_or_none():
        transaction.connection.execute(_forget_pause, {"scope_of": Scope(manager_id=manager_id).stored})
        transaction.changes.append(RunChanged(manager_id, verdict.status))


def stop_run(transaction: Transaction, manager_id: int, verdict: Verdict) -> bool:
    """Ends a run at once, with everything in it that is not final: pending items never start, running ones are fenced
    off and told to stop. Returns whether there was something to end."""
    rows = transaction.connection.execute(_steps, {"of_manager": manager_id}).all()
    for row in rows:
        if row.status in FINAL:
            continue
        stop_work(transaction, row.id, verdict.reason)
        never_started = row.status is Status.PENDING and verdict.status is not Status.CANCELLED
        step_end = Status.SKIPPED if never_started else Status.CANCELLED
        end_step(transaction, row.id, Verdict(step_end, verdict.reason))
    before = len(transaction.changes)
    end_run(transaction, manager_id, verdict)
    return len(transaction.changes) > before


def stop_work(transaction: Transaction, step_id: int, why: str) -> None:
    """Cancels the step's work items that are not final."""
    reason = stopped_reason(why)
    stopped: dict[Status, list[int]] = {}
    for source in ACTIVE:
        parameters = {"of_step": step_id, "source": source, "why": reason, "now": transaction.now}
        stopped[source] = list(transaction.connection.execute(_stop_workers, parameters).scalars())
    total = sum(map(len, stopped.values()))
    deltas = {source: -len(ids) for source, ids in stopped.items()}
    count(transaction, step_id, {**deltas, Status.CANCELLED: total})
    transaction.changes.append(WorkStopped(step_id, frozenset(stopped[Status.RUNNING])))
