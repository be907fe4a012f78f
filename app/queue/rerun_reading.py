"""From a run back to its plan: what it was started with, to the letter, to be run again."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.queue.limits import Limits
from app.queue.run_plan import Retry, RunPlan, StepPlan, Tolerance
from app.queue.tables import manager_job, step_job

_run = select(manager_job).where(manager_job.c.id == bindparam("of_manager"))
_steps = select(step_job).where(step_job.c.manager_id == bindparam("of_manager")).order_by(step_job.c.position)


def plan_of(connection: Connection, manager_id: int) -> RunPlan | None:
    """The plan of a run, None if there is no such run. How many runs its definition may have at once is not part of
    what a run keeps."""
    run = connection.execute(_run, {"of_manager": manager_id}).one_or_none()
    if run is None:
        return None
    steps = tuple(
        StepPlan(
            name=step.name,
            type=step.type,
            description=step.description,
            depends=tuple(step.depends),
            on_error=step.on_error,
            always_run=step.always_run,
            settings=step.settings,
            timeout=step.timeout,
            step_timeout=step.step_timeout,
            retry=None if step.retry is None else Retry(**step.retry),
            limits=Limits(step.most_running, step.rate),
        )
        for step in connection.execute(_steps, {"of_manager": manager_id})
    )
    return RunPlan(
        definition=run.definition,
        name=run.name,
        steps=steps,
        tags=tuple(run.tags),
        parameters=run.parameters,
        tolerance=Tolerance(run.max_child_failures, run.failure_action),
        timeout=run.timeout,
        priority=run.priority,
        limits=Limits(run.most_running, run.rate),
        text=run.definition_text,
    )


def repeating(plan: RunPlan, manager_id: int, first: str | None) -> RunPlan:
    """The plan as a rerun of that run: of all steps, or of `first`, those below it and those that depend on one of
    these; what the other steps made is taken as it is. Raises KeyError if there is no step of that name."""
    names = [step.name for step in plan.steps]
    if first is None:
        return replace(plan, rerun_of=manager_id)
    if first not in names:
        raise KeyError(first)
    running = set(names[names.index(first) :])
    while more := {step.name for step in plan.steps if running.intersection(step.depends)} - running:
        running |= more
    return replace(plan, rerun_of=manager_id, taken=tuple(name for name in names if name not in running))
