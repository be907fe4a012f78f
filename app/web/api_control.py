"""What programs can do to jobs: cancel, retry, delete. Each says what it did, or why not and where to look."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.status_codes import HTTP_202_ACCEPTED

from app.queue.models import Kind
from app.queue.places import LARGEST
from app.queue.status import Status
from app.queue.store.actions import items
from app.queue.store.control import cancel_as, delete_as, retry_as
from app.queue.store.delete import NotOver
from app.queue.store.rerun import NotRepeatable, rerun_as
from app.queue.store.retry import NothingToRetry
from app.queue.text import storable
from app.web import dom
from app.web.access import Access
from app.web.control import LONGEST_KEY, again_of, concurrency_of, plan_rerun, target_of, whole_run
from app.web.dependencies import AnyRequest
from app.web.errors import Conflict, error_answers
from app.web.json_control import Cancelled, Deleted, Rerun, Retried
from app.web.who import at_the_api

JobId = Annotated[int, Parameter(ge=1, le=LARGEST, description="The id of a run, a step or a work item.")]
Pattern = Annotated[
    str | None,
    Parameter(max_length=400, description="Only the failures of this group: `pattern` of one in the run's tree."),
]
FromStep = Annotated[
    str | None, Parameter(max_length=200, description="The step to start from; what those before it made is taken.")
]
AsNow = Annotated[bool, Parameter(description="With the definition as it is now, not as it was.")]
Key = Annotated[
    str | None,
    Parameter(max_length=LONGEST_KEY, description="Of your own choice: asked for again with it, it is done once."),
]
WithCancelled = Annotated[bool, Parameter(description="Also what a person cancelled.")]


@post("/jobs/{job_id:int}/cancellation", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 503))
async def cancel_job(job_id: JobId, request: AnyRequest, access: NamedDependency[Access]) -> Cancelled:
    """Cancels a run or a step with everything in it that has not ended, or one work item.

    What was cancelled already stays as it is; what has ended otherwise is a conflict.

    What waits never starts; a running `async` handler is told to stop and ended if it does not, a plain
    one is ended at once with the programs that it started."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    said = await access.writer(cancel_as, target_of(job), at_the_api(request))
    if said is None:
        ended = await access.read(lambda snapshot: snapshot.job(job_id))
        if ended.status is Status.CANCELLED:
            return Cancelled(access.monitor.revision, job_id, f"job {job_id} was cancelled already")
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
    key: Key = None,
) -> Retried:
    """Lets what failed run again: one work item, or everything of a step or a run.

    What succeeded is kept. What was cancelled or skipped because of the failure is evaluated again. Asked for again
    with the same `key` it says what was done the first time; without one, what has failed again runs again, and where
    nothing has it is a conflict."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    again = again_of(job, pattern or None, cancelled)
    concurrency = await concurrency_of(access, job.definition)
    try:
        done = await access.writer(retry_as, again, at_the_api(request), concurrency, None, storable(key or ""))
    except NothingToRetry as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    steps = f"{len(done.steps):,} step{'' if len(done.steps) == 1 else 's'}"
    detail = f"{items(done.items)} of job {job_id} run again; {steps} that had ended will be evaluated again"
    return Retried(access.monitor.revision, job_id, done.items, done.steps, detail)


@post("/jobs/{job_id:int}/reruns", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 409, 422, 503))
async def rerun_job(
    job_id: JobId,
    request: AnyRequest,
    access: NamedDependency[Access],
    from_step: FromStep = None,
    as_now: AsNow = False,
    key: Key = None,
) -> Rerun:
    """Starts a new run that repeats this one, with its parameters: wholly, or from a step on."""
    whole_run(await access.read(lambda snapshot: snapshot.job(job_id)), "run again")
    plan = await plan_rerun(access, job_id, from_step and storable(from_step), as_now)
    try:
        made = await access.writer(rerun_as, plan, at_the_api(request), f"{job_id} {storable(key)}" if key else None)
    except NotRepeatable as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    taken = f"; {', '.join(plan.taken)} taken from run {job_id}" if plan.taken else ""
    detail = f"run {made} is a rerun of run {job_id}{taken}"
    return Rerun(access.monitor.revision, made, job_id, list(plan.taken), dom.job_url(made), detail)


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
