"""rerun: a run begins that repeats another, wholly or from a step on."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from app.queue.actor import Actor
from app.queue.changes import RunChanged
from app.queue.deletions import is_being_deleted
from app.queue.run_plan import RunPlan
from app.queue.status import FINAL
from app.queue.store.actions import made_by, record
from app.queue.store.start import start
from app.queue.tables import manager_job, step_job
from app.queue.writer import Transaction


class NotRepeatable(Exception):
    """The run cannot be repeated like this; the message says why, and what to do."""


_run = select(manager_job.c.status).where(manager_job.c.id == bindparam("of_manager"))
_steps = select(step_job.c.name, step_job.c.status).where(step_job.c.manager_id == bindparam("of_manager"))


def rerun_as(transaction: Transaction, plan: RunPlan, actor: Actor, key: str | None = None) -> int:
    """Starts `plan`, whose `rerun_of` is the run that it repeats; returns the new run. With the `key` of a rerun that
    was carried out already, returns that run and starts none. Raises NotRepeatable or AlreadyRunning."""
    original = plan.rerun_of
    assert original is not None
    if key is not None and (made := made_by(transaction, key)) is not None:
        return made
    status = transaction.connection.execute(_run, {"of_manager": original}).scalar_one_or_none()
    if status is None or is_being_deleted(transaction.connection, original):
        raise NotRepeatable(f"run {original} has been deleted; start its definition anew")
    _refuse_what_cannot_be_taken(transaction, plan, original)
    manager_id = start(transaction, plan)
    where = f" from step {_first_that_runs(plan)} on" if plan.taken else ""
    record(transaction, actor, "rerun", f"ran it again{where}, as", original, original, key, manager_id)
    record(transaction, actor, "start", f"started it as a rerun of run {original}{where}", manager_id, manager_id)
    transaction.changes.append(RunChanged(original, status))
    return manager_id


def _refuse_what_cannot_be_taken(transaction: Transaction, plan: RunPlan, original: int) -> None:
    if not plan.taken:
        return
    there = {row.name: row.status for row in transaction.connection.execute(_steps, {"of_manager": original})}
    for name in plan.taken:
        if name not in there:
            raise NotRepeatable(f"run {original} had no step {name} whose results could be taken; rerun the whole run")
        if there[name] not in FINAL:
            raise NotRepeatable(
                f"step {name} of run {original} is {there[name]}, so its results cannot be taken yet; "
                f"wait for its end, or rerun the whole run"
            )


def _first_that_runs(plan: RunPlan) -> str:
    return next(step.name for step in plan.steps if step.name not in plan.taken)
