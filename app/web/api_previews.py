"""What a retry or a deletion would do, for programs: the numbers and the sentences of the pages that ask before it."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from app.queue.records import RunRecord
from app.queue.retrying import Foreseen
from app.queue.snapshot import Snapshot
from app.queue.store.actions import items
from app.queue.store.delete import NotOver
from app.web import dom
from app.web.access import Access
from app.web.api_control import JobId, Pattern, WithCancelled
from app.web.control import again_of, whole_run
from app.web.errors import Conflict, error_answers
from app.web.json_shapes import Revision


class RetryPreview(Struct, frozen=True):
    """What a retry would do at this moment: `items` would run again, and `steps` that are over be evaluated again; of
    the `total` work items of the run, `kept` have succeeded. `cancelled`: how many more would run again if what a
    person cancelled were included."""

    revision: Revision
    job_id: int
    items: int
    total: int
    kept: int
    steps: list[str]
    cancelled: int
    detail: str


class DeletionPreview(Struct, frozen=True):
    """What would be deleted with the run at this moment. `documents`: those it made, which are kept."""

    revision: Revision
    job_id: int
    items: int
    lines: int
    documents: int
    detail: str


@get("/jobs/{job_id:int}/retries/preview", responses=error_answers(404))
async def preview_retry(
    job_id: JobId, access: NamedDependency[Access], pattern: Pattern = None, cancelled: WithCancelled = False
) -> RetryPreview:
    """What a retry of the same query would do at this moment. Nothing is done."""

    def reading(snapshot: Snapshot) -> RetryPreview:
        job = snapshot.job(job_id)
        again = again_of(job, pattern or None, cancelled)
        foreseen, more = snapshot.foresee(again), snapshot.foresee(again_of(job, again.pattern, True))
        return RetryPreview(
            snapshot.revision,
            job_id,
            foreseen.items,
            foreseen.total,
            foreseen.kept,
            list(foreseen.steps),
            more.items - foreseen.items,
            _retry_words(snapshot.run(job.manager_id), foreseen, is_run=job.id == job.manager_id, cancelled=cancelled),
        )

    return await access.read(reading)


@get("/jobs/{job_id:int}/deletion/preview", responses=error_answers(404, 409))
async def preview_deletion(job_id: JobId, access: NamedDependency[Access]) -> DeletionPreview:
    """What a deletion would delete at this moment. Nothing is done.

    A run that is not over is refused, as it is by the deletion itself."""

    def reading(snapshot: Snapshot) -> DeletionPreview:
        run = snapshot.run(whole_run(snapshot.job(job_id), "deleted").id)
        if not run.is_final:
            raise Conflict(str(NotOver(run.id, run.status)), url=dom.job_url(run.id))
        counts = (run.counts.total, run.log_count, run.document_count)
        return DeletionPreview(snapshot.revision, run.id, *counts, _deletion_words(run))

    return await access.read(reading)


def _retry_words(run: RunRecord, foreseen: Foreseen, *, is_run: bool, cancelled: bool) -> str:
    if foreseen.is_nothing:
        what, or_else = " of it" if is_run else "", " or was cancelled" if cancelled else ""
        return f"Nothing{what} has failed{or_else}: there is nothing to run again."
    kept = f"{foreseen.kept:,} result{' is' if foreseen.kept == 1 else 's are'} kept"
    said = f"{foreseen.items:,} of {foreseen.total:,} work items will run again; {kept}"
    numbers = [str(step.position) for step in run.steps if step.name in foreseen.steps]
    if not numbers:
        return f"{said}."
    steps = f"{', '.join(numbers[:-1])} and {numbers[-1]}" if numbers[1:] else numbers[0]
    return f"{said}; step{'s' if numbers[1:] else ''} {steps} will be evaluated again."


def _deletion_words(run: RunRecord) -> str:
    lines = f"{run.log_count:,} log line{'' if run.log_count == 1 else 's'}"
    said = f"{items(run.counts.total)} and {lines} will be deleted with the run"
    if not run.document_count:
        return f"{said}."
    one = run.document_count == 1
    return f"{said}; {run.document_count:,} document{' is' if one else 's are'} kept."
