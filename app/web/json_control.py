"""The answers of the API to those who control: what was done, and what is paused."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from app.queue.records import Paused
from app.web.json_shapes import Revision, moment


class Cancelled(Struct, frozen=True):
    """What a cancellation did."""

    revision: Revision
    job_id: int
    detail: str


class Prioritised(Struct, frozen=True):
    """The priority that a run has now."""

    revision: Revision
    job_id: int
    priority: int
    detail: str


class Retried(Struct, frozen=True):
    """What a retry did: how many work items run again, and which steps that had ended are evaluated again."""

    revision: Revision
    job_id: int
    items: int
    steps: list[str]
    detail: str


class Acknowledged(Struct, frozen=True):
    """What an acknowledgement, or the end of one, did. `failures`: how many were acknowledged, or are open again."""

    revision: Revision
    job_id: int
    failures: int
    detail: str


class Rerun(Struct, frozen=True):
    """A run that repeats another. `taken`: steps that do not run, since their results are taken from `rerun_of`."""

    revision: Revision
    job_id: int
    rerun_of: int
    taken: list[str]
    url: str
    detail: str


class Pausing(Struct, frozen=True):
    """What a pause or its end did. `what`: the queue, a definition, its schedule or a run."""

    revision: Revision
    what: str
    paused: bool
    detail: str


class PauseJson(Struct, frozen=True):
    """Something that is paused, by whom and since when."""

    what: str
    who: str
    at: datetime

    @classmethod
    def of(cls, pause: Paused) -> PauseJson:
        return cls(pause.what, pause.who, moment(pause.at))


class Pauses(Struct, frozen=True):
    """Everything that is paused."""

    revision: Revision
    total: int
    pauses: list[PauseJson]


class Deleted(Struct, frozen=True):
    """What a deletion did."""

    revision: Revision
    job_id: int
    detail: str
