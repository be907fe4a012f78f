"""What the pages and the API share of control: from a job to what is meant by it, and the sentences that say no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from app.queue.models import Kind
from app.queue.records import JobRecord
from app.queue.rerun_reading import repeating
from app.queue.retrying import Again
from app.queue.run_plan import RunPlan
from app.queue.store.acknowledge import Failures
from app.queue.store.control import Target
from app.queue.store.start import DefinitionDisabled
from app.web import dom
from app.web.access import Access, NoSuchDefinition, NotStartable
from app.web.errors import Conflict

LONGEST_KEY = 100
"""Characters of a name that a caller gives to what is to be done once."""
KIND_WORDS = {Kind.STEP: "a step", Kind.WORKER: "a work item"}


def target_of(job: JobRecord) -> Target:
    return Target(job.manager_id, job.step_id, job.id if job.kind is Kind.WORKER else None)


def again_of(job: JobRecord, pattern: str | None, cancelled: bool) -> Again:
    """What a retry of the job means. `pattern`: only the failure group of that pattern, of a step."""
    target = target_of(job)
    return Again(target.manager_id, target.step_id, target.worker_id, pattern, cancelled)


def failures_of(job: JobRecord, pattern: str | None, until: float | None = None) -> Failures:
    """The failures of a job, or of one failure group of a step."""
    target = target_of(job)
    items = None if target.worker_id is None else (target.worker_id,)
    return Failures(target.manager_id, target.step_id, items, pattern, until)


def whole_run(job: JobRecord, done: str) -> JobRecord:
    """Raises Conflict for a part of a run."""
    if job.kind is not Kind.MANAGER:
        raise Conflict(
            f"job {job.id} is {KIND_WORDS[job.kind]}; only a whole run can be {done}: job {job.manager_id}",
            url=dom.job_url(job.manager_id),
        )
    return job


async def plan_rerun(access: Access, manager_id: int, first: str | None, as_now: bool) -> RunPlan:
    """The plan of a rerun: with everything as it was, or with the definition as it is now and the parameters of then.
    `first`: the step that it starts from, if not at the beginning. Raises UnknownJob, NoSuchDefinition, NotStartable or
    DefinitionDisabled.
    """
    if not as_now:
        plan = await kept_plan(access, manager_id, first)
        await asyncio.to_thread(access.catalog.ensure_repeatable, plan)
        return plan
    kept = await access.read(lambda snapshot: snapshot.plan_of(manager_id))
    given = {name: value for name, value in kept.parameters.items() if value is not None}
    plan = await asyncio.to_thread(access.catalog.plan, kept.definition, given)
    return _repeating(plan, manager_id, first, " as it is now")


async def kept_plan(access: Access, manager_id: int, first: str | None) -> RunPlan:
    """The plan of a rerun with everything as it was, whether or not it can run. Raises UnknownJob, DefinitionDisabled,
    or NotStartable for a step that is not there."""
    plan = await access.read(lambda snapshot: snapshot.plan_of(manager_id))
    definitions = await asyncio.to_thread(access.catalog.definitions)
    known = next((each for each in definitions if each.id == plan.definition), None)
    if known and known.valid:
        if not known.enabled:
            raise DefinitionDisabled(plan.definition, f"set `enabled = true` in {known.path}")
        plan = replace(plan, concurrency=known.concurrency)
    return _repeating(plan, manager_id, first)


def _repeating(plan: RunPlan, manager_id: int, first: str | None, now: str = "") -> RunPlan:
    try:
        return repeating(plan, manager_id, first)
    except KeyError:
        there = ", ".join(step.name for step in plan.steps)
        told = f"there is no step {first} in {plan.definition}{now}; there are: {there}"
        raise NotStartable({"from": told}) from None


async def against(asked: Awaitable[object]) -> str:
    """What a plan is refused with; nothing if it is not."""
    try:
        await asked
    except (NoSuchDefinition, NotStartable, DefinitionDisabled) as refusal:
        return str(refusal)
    return ""


async def concurrency_of(access: Access, definition: str) -> int | None:
    """How many runs of the definition may be in progress at once; None if that is not known any more."""
    definitions = await asyncio.to_thread(access.catalog.definitions)
    found = [each for each in definitions if each.id == definition]
    return found[0].concurrency if found else None
