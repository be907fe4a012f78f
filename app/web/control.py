"""What the pages and the API share of control: from a job to what is meant by it, and the sentences that say no."""

from __future__ import annotations

import asyncio

from app.queue.models import Kind
from app.queue.records import JobRecord
from app.queue.retrying import Again
from app.queue.store.control import Target
from app.web import dom
from app.web.access import Access
from app.web.errors import Conflict

KIND_WORDS = {Kind.STEP: "a step", Kind.WORKER: "a work item"}


def target_of(job: JobRecord) -> Target:
    return Target(job.manager_id, job.step_id, job.id if job.kind is Kind.WORKER else None)


def again_of(job: JobRecord, pattern: str | None, cancelled: bool) -> Again:
    """What a retry of the job means. `pattern`: only the failure group of that pattern, of a step."""
    target = target_of(job)
    return Again(target.manager_id, target.step_id, target.worker_id, pattern, cancelled)


def whole_run(job: JobRecord, done: str) -> JobRecord:
    """Raises Conflict for a part of a run."""
    if job.kind is not Kind.MANAGER:
        raise Conflict(
            f"job {job.id} is {KIND_WORDS[job.kind]}; only a whole run can be {done}: job {job.manager_id}",
            url=dom.job_url(job.manager_id),
        )
    return job


async def concurrency_of(access: Access, definition: str) -> int | None:
    """How many runs of the definition may be in progress at once; None if that is not known any more."""
    definitions = await asyncio.to_thread(access.catalog.definitions)
    found = [each for each in definitions if each.id == definition]
    return found[0].concurrency if found else None
