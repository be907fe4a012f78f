"""What programs can do to jobs: cancel, retry, delete. Each says what it did, or why not and where to look."""

from __future__ import annotations

import asyncio
from typing import Annotated

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from app.queue.models import Kind
from app.queue.places import LARGEST
from app.queue.records import JobRecord
from app.queue.store.cancel import cancel
from app.queue.store.delete import NotOver, delete_run
from app.queue.store.retry import Again, NothingToRetry, retry
from app.web import dom
from app.web.access import Access
from app.web.errors import Conflict, error_answers
from app.web.json_shapes import Cancelled, Deleted, Retried

JobId = Annotated[int, Parameter(ge=1, le=LARGEST, description="The id of a run, a step or a work item.")]
Pattern = Annotated[
    str | None,
    Parameter(max_length=400, description="Only the failures of this group: `pattern` of one in the run's tree."),
]
WithCancelled = Annotated[bool, Parameter(description="Also what a person cancelled.")]


@post("/jobs/{job_id:int}/cancellation", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def cancel_job(job_id: JobId, access: NamedDependency[Access]) -> Cancelled:
    """Cancels a run with everything in it that has not ended."""
    _whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "cancelled")
    if not await access.writer(cancel, job_id, "cancelled through the API"):
        ended = await access.read(lambda snapshot: snapshot.job(job_id))
        raise Conflict(f"job {job_id} has ended already: {ended.status}, {ended.reason}", url=dom.job_url(job_id))
    cancelled = await access.read(lambda snapshot: snapshot.job(job_id))
    stopped = cancelled.counts.cancelled if cancelled.counts else 0
    detail = f"job {job_id} is cancelled, with {_items(stopped)} that had not ended"
    return Cancelled(access.monitor.revision, job_id, detail)


@post("/jobs/{job_id:int}/retries", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def retry_job(
    job_id: JobId,
    access: NamedDependency[Access],
    pattern: Pattern = None,
    cancelled: WithCancelled = False,
) -> Retried:
    """Lets what failed run again: one work item, or everything of a step or a run.

    What succeeded is kept. What was cancelled or skipped because of the failure is evaluated again. Asked for twice it
    is done once: then nothing is left that has failed, which is a conflict."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    again = Again(job.manager_id, job.step_id, job.id if job.kind is Kind.WORKER else None, pattern or None, cancelled)
    concurrency = await asyncio.to_thread(_concurrency, access, job.definition)
    try:
        done = await access.writer(retry, again, "retried through the API", concurrency)
    except NothingToRetry as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    steps = f"{len(done.steps):,} step{'' if len(done.steps) == 1 else 's'}"
    detail = f"{_items(done.items)} of job {job_id} run again; {steps} that had ended will be evaluated again"
    return Retried(access.monitor.revision, job_id, done.items, done.steps, detail)


@delete("/jobs/{job_id:int}", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def delete_job(job_id: JobId, access: NamedDependency[Access]) -> Deleted:
    """Deletes a run that is over with its steps, work items and logs. The documents that it made stay.

    It is gone from every list and number at once; its rows are removed little by little."""
    job = _whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "deleted")
    try:
        await access.writer(delete_run, job_id)
    except NotOver as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    items = _items(job.counts.total if job.counts else 0)
    return Deleted(access.monitor.revision, job_id, f"job {job_id} is deleted, with {items} and their logs")


def _whole_run(job: JobRecord, done: str) -> JobRecord:
    """Raises Conflict for a part of a run."""
    if job.kind is not Kind.MANAGER:
        what = "a step" if job.kind is Kind.STEP else "a work item"
        raise Conflict(
            f"job {job.id} is {what}; only a whole run can be {done}: job {job.manager_id}",
            url=dom.job_url(job.manager_id),
        )
    return job


def _concurrency(access: Access, definition: str) -> int | None:
    """How many runs of the definition may be in progress at once; None if that is not known any more."""
    found = [each for each in access.catalog.definitions() if each.id == definition]
    return found[0].concurrency if found else None


def _items(number: int) -> str:
    return f"{number:,} work item{'' if number == 1 else 's'}"
