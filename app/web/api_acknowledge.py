"""What programs can do to failures that need no more looking at: acknowledge them, and take that back."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import Meta, Struct

from app.queue.store.acknowledge import LONGEST_NOTE, acknowledge_as, reopen_as
from app.queue.text import storable
from app.web.access import Access
from app.web.api_control import JobId, Pattern
from app.web.control import failures_of
from app.web.dependencies import AnyRequest
from app.web.errors import error_answers
from app.web.json_control import Acknowledged
from app.web.who import at_the_api


class Acknowledge(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the failures need no more looking at."""

    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] = ""


@post("/jobs/{job_id:int}/acknowledgement", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 422, 503))
async def acknowledge_job(
    job_id: JobId,
    data: JSONBody[Acknowledge],
    request: AnyRequest,
    access: NamedDependency[Access],
    pattern: Pattern = None,
) -> Acknowledged:
    """Acknowledges failures with a note, so that they are open no more: one work item, or all of a step or a run.

    A retry closes them as well; what fails after that is open. Asked for twice it is done once."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    meant = failures_of(job, pattern and storable(pattern))
    number = await access.writer(acknowledge_as, meant, job_id, data.note, at_the_api(request))
    return Acknowledged(access.monitor.revision, job_id, number, _told(job_id, number, "acknowledged", "open"))


@delete("/jobs/{job_id:int}/acknowledgement", status_code=HTTP_202_ACCEPTED, responses=error_answers(404, 503))
async def reopen_job(
    job_id: JobId, request: AnyRequest, access: NamedDependency[Access], pattern: Pattern = None
) -> Acknowledged:
    """Takes the acknowledgement of failures back: they are open again."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    meant = failures_of(job, pattern and storable(pattern))
    number = await access.writer(reopen_as, meant, job_id, at_the_api(request))
    return Acknowledged(access.monitor.revision, job_id, number, _told(job_id, number, "open again", "acknowledged"))


def _told(job_id: int, number: int, now: str, before: str) -> str:
    if not number:
        return f"no failure of job {job_id} is {before}; it is left as it is"
    return f"{number:,} failure{'' if number == 1 else 's'} of job {job_id} {'is' if number == 1 else 'are'} {now}"
