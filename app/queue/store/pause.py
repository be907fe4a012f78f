"""pause, resume: of a run, of all runs of a definition, or of all runs, nothing is begun until somebody resumes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from app.queue.actor import Actor
from app.queue.changes import PauseChanged, RunChanged, StepReleased, WorkAdded
from app.queue.pauses import Scope
from app.queue.status import ACTIVE, Status
from app.queue.store.actions import record
from app.queue.store.deadlines import put_off
from app.queue.tables import manager_job, pause, step_job
from app.queue.writer import Transaction


class NothingToPause(Exception):
    """The run is over."""


_paused = select(pause.c.who).where(pause.c.scope == bindparam("scope_of"))
_forget = delete(pause).where(pause.c.scope == bindparam("scope_of")).returning(pause.c.at)
_steps = select(step_job.c.id, step_job.c.status, step_job.c.ready).where(
    step_job.c.manager_id == bindparam("of_manager"), step_job.c.status.in_(ACTIVE)
)


def pause_as(transaction: Transaction, scope: Scope, actor: Actor) -> bool:
    """What runs goes on to its end, nothing more begins; False if it was paused already. Raises NothingToPause."""
    runs = _runs_in_progress(transaction, scope)
    if scope.manager_id is not None and not runs:
        raise NothingToPause(f"run {scope.manager_id} is over; there is nothing in it to pause")
    if transaction.connection.execute(_paused, {"scope_of": scope.stored}).first():
        return False
    transaction.connection.execute(insert(pause), {"scope": scope.stored, "who": actor.who, "at": transaction.now})
    _tell(transaction, scope, actor, "pause", f"paused {_words(scope)}", runs)
    return True


def resume_as(transaction: Transaction, scope: Scope, actor: Actor) -> bool:
    """What was waiting begins, unless something else pauses it, and time limits go on from where they were; False if
    it was not paused."""
    paused_at = transaction.connection.execute(_forget, {"scope_of": scope.stored}).scalar_one_or_none()
    if paused_at is None:
        return False
    runs = _runs_in_progress(transaction, scope)
    _tell(transaction, scope, actor, "resume", f"resumed {_words(scope)}", runs)
    for run in runs:
        put_off(transaction, run, paused_at)
        for step in transaction.connection.execute(_steps, {"of_manager": run.id}).all():
            if step.ready:
                transaction.changes.append(StepReleased(step.id))
            if step.status is Status.RUNNING:
                transaction.changes.append(WorkAdded(step.id, 0.0))
    return True


def _runs_in_progress(transaction: Transaction, scope: Scope) -> Any:
    columns = (manager_job.c.id, manager_job.c.status, manager_job.c.definition, manager_job.c.started_at)
    runs = select(*columns).where(manager_job.c.status.in_(ACTIVE))
    if scope.manager_id is not None:
        runs = runs.where(manager_job.c.id == scope.manager_id)
    elif scope.definition is not None:
        runs = runs.where(manager_job.c.definition == scope.definition)
    return transaction.connection.execute(runs).all()


def _tell(transaction: Transaction, scope: Scope, actor: Actor, verb: str, said: str, runs: Any) -> None:
    record(transaction, actor, verb, said, scope.manager_id, scope.manager_id)
    transaction.changes.append(PauseChanged(scope.stored))
    transaction.changes += [RunChanged(run.id, run.status) for run in runs]


def _words(scope: Scope) -> str:
    return "the run" if scope.manager_id is not None else scope.words
