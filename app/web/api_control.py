"""What programs can do to jobs: cancel, retry, delete. Each says what it did, or why not and where to look."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from app.queue.models import Kind
from app.queue.places import LARGEST
from app.queue.store.actions import items
from app.queue.store.control import cancel_as, delete_as, retry_as
from app.queue.store.delete import NotOver
from app.queue.store.retry import NothingToRetry
from app.web import dom
from app.web.access import Access
from app.web.control import again_of, concurrency_of, target_of, whole_run
from app.web.dependencies import AnyRequest
from app.web.errors import Conflict, error_answers
from app.web.json_shapes import Cancelled, Deleted, Retried
from app.web.who import at_the_api

JobId = Annotated[int, Parameter(ge=1, le=LARGEST, description="The id of a run, a step or a work item.")]
Pattern = Annotated[
    str | None,
    Parameter(max_length=400, description="Only the failures of this group: `pattern` of one in the run's tree."),
]
WithCancelled = Annotated[bool, Parameter(description="Also what a person cancelled.")]


@post("/jobs/{job_id:int}/cancellation", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def cancel_job(job_id: JobId, request: AnyRequest, access: NamedDependency[Access]) -> Cancelled:
    """Cancels a run or a step with everything in it that has not ended, or one work item.

    What waits never starts; what runs is told to stop, and is ended if it does not."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    said = await access.writer(cancel_as, target_of(job), at_the_api(request))
    if said is None:
        ended = await access.read(lambda snapshot: snapshot.job(job_id))
        why = f", {ended.reason}" if ended.reason else ""
        raise Conflict(f"job {job_id} has ended already: {ended.status}{why}", url=dom.job_url(job_id))
    if job.kind is not Kind.MANAGER:
        return Cancelled(access.monitor.revision, job_id, f"job {job_id}: {said}")
    cancelled = await access.read(lambda snapshot: snapshot.job(job_id))
    stopped = cancelled.counts.cancelled if cancelled.counts else 0
    detail = f"job {job_id} is cancelled, with {items(stopped)} that had not ended"
    return Cancelled(access.monitor.revision, job_id, detail)


@post("/jobs/{job_id:int}/retries", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def retry_job(
    job_id: JobId,
    request: AnyRequest,
    access: NamedDependency[Access],
    pattern: Pattern = None,
    cancelled: WithCancelled = False,
) -> Retried:
    """Lets what failed run again: one work item, or everything of a step or a run.

    What succeeded is kept. What was cancelled or skipped because of the failure is evaluated again. Asked for twice it
    is done once: then nothing is left that has failed, which is a conflict."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    again = again_of(job, pattern or None, cancelled)
    concurrency = await concurrency_of(access, job.definition)
    try:
        done = await access.writer(retry_as, again, at_the_api(request), concurrency)
    except NothingToRetry as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    steps = f"{len(done.steps):,} step{'' if len(done.steps) == 1 else 's'}"
    detail = f"{items(done.items)} of job {job_id} run again; {steps} that had ended will be evaluated again"
    return Retried(access.monitor.revision, job_id, done.items, done.steps, detail)


@delete("/jobs/{job_id:int}", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def delete_job(job_id: JobId, request: AnyRequest, access: NamedDependency[Access]) -> Deleted:
    """Deletes a run that is over with its steps, work items and logs. The documents that it made stay.

    It is gone from every list and number at once; its rows are removed little by little."""
    job = whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "deleted")
    try:
        await access.writer(delete_as, job_id, at_the_api(request))
    except NotOver as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    number = items(job.counts.total if job.counts else 0)
    return Deleted(access.monitor.revision, job_id, f"job {job_id} is deleted, with {number} and their logs")
