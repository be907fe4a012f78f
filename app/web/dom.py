"""Names in the page: the ids of elements and the addresses of lists. Computed here, typed nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlencode

VIEW = "view"
TITLE = "title"
ICON = "icon"
LIVENESS = "liveness"
STORAGE = "storage"
DEFINITIONS_URL = "/definitions"


def job(job_id: int, part: str = "") -> str:
    """The id of a job's element, or of a part of it: job-12, job-12-head."""
    return f"job-{job_id}-{part}" if part else f"job-{job_id}"


def document(document_id: int, part: str = "") -> str:
    """The id of a document's element, or of a part of it."""
    return f"document-{document_id}-{part}" if part else f"document-{document_id}"


def count(scope: object, kind: str, status: str) -> str:
    """The id of the element that shows one count: count-manager-12-worker-failed."""
    return f"count-{str(scope).replace(':', '-')}-{kind}-{status}"


def line(step_id: int, number: int) -> str:
    return f"job-{step_id}-line-{number}"


def anchor(number: int, step_id: int | None = None) -> str:
    """The id of a line on the page of its log: L120, or L40-120 where several steps have lines."""
    return f"L{number}" if step_id is None else f"L{step_id}-{number}"


def job_url(job_id: int) -> str:
    return f"/jobs/{job_id}"


def acknowledgement_url(job_id: int, pattern: str | None = None) -> str:
    """The form that acknowledges the failures of a job, or of one failure group of a step."""
    return with_query(f"{job_url(job_id)}/acknowledgement/new", {"failure": failure(pattern)})


def bulk_url(token: str) -> str:
    """A frozen list of jobs, and what was done with it."""
    return f"/bulk/{quote(token, safe='')}"


def step_url(manager_id: int, name: str) -> str:
    return f"/jobs/{manager_id}/steps/{quote(name, safe='')}"


def definition_url(definition_id: str) -> str:
    return f"{DEFINITIONS_URL}/{quote(definition_id, safe='')}"


def schedule_url(definition_id: str) -> str:
    return f"{definition_url(definition_id)}/schedule"


def minute(at: float | None) -> str | None:
    """A time as a field of a form has it: 2026-11-21T12:00."""
    if at is None:
        return None
    local = datetime.fromtimestamp(at)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


_OTHER_FAILURES = "0"
"""Stands for the empty pattern, as an empty value is none. No pattern has a digit: they are what is different every
time."""


def failure(pattern: str | None) -> str | None:
    """A failure group in an address."""
    return _OTHER_FAILURES if pattern == "" else pattern


def failure_pattern(given: str | None) -> str | None:
    """The pattern of the failure group in an address."""
    return "" if given == _OTHER_FAILURES else given


LONGEST_NAME = 4_000
"""Characters that a tag and the like may have to be linked to: an address has an end."""


def with_query(path: str, query: Mapping[str, object]) -> str:
    """The address with those parameters that have a value, in the order given; one of several values once for each."""
    several = ((name, value if isinstance(value, tuple) else (value,)) for name, value in query.items())
    given = [(name, str(each)) for name, values in several for each in values if each is not None and each != ""]
    return f"{path}?{urlencode(given)}" if given else path


def jobs_url(**query: object) -> str:
    """The address of the list of the jobs that match."""
    return with_query("/jobs", query)


def document_url(document_id: int) -> str:
    return f"/documents/{document_id}"


def documents_url(**query: object) -> str:
    """The address of the list of the documents that match."""
    return with_query("/documents", query)


def stream_url(url: str) -> str:
    """The stream of the view at `url`: /queue?status=failed has /queue/stream?status=failed."""
    path, mark, query = url.partition("?")
    return f"{path}/stream{mark}{query}"
