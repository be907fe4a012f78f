"""The attempts of a work item in the JSON API."""

from __future__ import annotations

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from app.queue.records import AttemptRecord
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.web.access import Access
from app.web.api_control import JobId
from app.web.errors import error_answers
from app.web.json_shapes import Line, Revision, moment


class Attempt(Struct, frozen=True):
    """One execution of a work item. `claimed_by`: the process that made it, as `host:pid`. `lines`: the last that it
    said, those of debugging left out."""

    number: int
    status: Status
    error: str | None
    traceback: str | None
    claimed_by: str | None
    started_at: datetime | None
    finished_at: datetime | None
    lines: list[Line]

    @classmethod
    def of(cls, attempt: AttemptRecord) -> Attempt:
        return cls(
            attempt.number,
            attempt.status,
            attempt.error,
            attempt.traceback,
            attempt.claimed_by,
            None if attempt.started_at is None else moment(attempt.started_at),
            None if attempt.finished_at is None else moment(attempt.finished_at),
            [Line.of(line) for line in attempt.lines],
        )


class Attempts(Struct, frozen=True):
    """All attempts of a work item, the newest first."""

    revision: Revision
    attempts: list[Attempt]


@get("/jobs/{job_id:int}/attempts", responses=error_answers(404))
async def job_attempts(job_id: JobId, access: NamedDependency[Access]) -> Attempts:
    """The attempts of a work item, each with its error and the last lines that it said."""

    def reading(snapshot: Snapshot) -> Attempts:
        return Attempts(snapshot.revision, [Attempt.of(each) for each in snapshot.item(job_id).attempts])

    return await access.read(reading)
