"""Acknowledging failures on the page: a form that says how many they are, with room for a note; and taking it back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.models import Kind
from app.queue.records import FailureGroup, JobRecord, RunRecord
from app.queue.snapshot import Snapshot
from app.queue.store.acknowledge import LONGEST_NOTE, acknowledge_as, reopen_as
from app.queue.store.failure_groups import MOST_GROUPS
from app.queue.text import storable
from app.web import dom
from app.web.control import failures_of
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.retry_pages import page_of, show
from app.web.who import at_the_page


@get("/jobs/{job_id:int}/acknowledgement/new", include_in_schema=False)
async def acknowledgement_form(
    job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str]:
    """How many failures are open, counted at one moment, and the form that closes those; and how many are not."""
    pattern, until = _pattern(request.query_params), access.database.clock.now()

    def reading(snapshot: Snapshot) -> dict[str, object]:
        job = snapshot.job(job_id)
        run = snapshot.run(job.manager_id)
        groups = _groups(snapshot, run, job, pattern)
        return {
            "revision": snapshot.revision,
            "job": job,
            "run": run,
            "open": job.open_failures if pattern is None else sum(group.open for group in groups),
            "closed": _closed(run, job, pattern, groups),
            "scope": f"failures:{job.id}",
            "open_url": _open_url(job, pattern),
            "what": _what(job, pattern),
            "failure": dom.failure(pattern),
            "until": until,
            "url": f"{dom.job_url(job.id)}/acknowledgement",
            "back": page_of(job),
            "longest": LONGEST_NOTE,
        }

    return show(live, "acknowledge", await access.read(reading))


@post("/jobs/{job_id:int}/acknowledgement", include_in_schema=False)
async def acknowledge_chosen(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Closes the failures that had failed when the form was shown; sent twice, the second time there is nothing left
    to be done."""
    form = await _form(request)
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    foreseen = form.get("foreseen", "")
    number = int(foreseen) if foreseen.isdecimal() and len(foreseen) < 18 else None
    meant = failures_of(job, _pattern(form), _moment(form.get("until", "")))
    await access.writer(acknowledge_as, meant, job_id, form.get("note", ""), at_the_page(request), number)
    return Redirect(page_of(job), status_code=303)


@post("/jobs/{job_id:int}/acknowledgement/end", include_in_schema=False)
async def reopen_chosen(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Takes the acknowledgement back."""
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    await access.writer(reopen_as, failures_of(job, _pattern(await _form(request))), job_id, at_the_page(request))
    return Redirect(page_of(job), status_code=303)


async def _form(request: AnyRequest) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


def _pattern(given: Mapping[str, str]) -> str | None:
    return dom.failure_pattern(storable(given.get("failure", "")) or None)


def _moment(given: str) -> float | None:
    try:
        moment = float(given)
    except ValueError:
        return None
    return moment if math.isfinite(moment) else None


def _groups(snapshot: Snapshot, run: RunRecord, job: JobRecord, pattern: str | None) -> list[FailureGroup]:
    """The failure groups that are meant; none of a single work item."""
    if job.kind is Kind.WORKER:
        return []
    groups = snapshot.failures(run.id, (MOST_GROUPS + 1) * len(run.steps))
    return [group for group in groups if job.step_id in (None, group.step_id) and pattern in (None, group.pattern)]


def _closed(run: RunRecord, job: JobRecord, pattern: str | None, groups: list[FailureGroup]) -> int:
    if job.kind is Kind.WORKER:
        return int(job.acknowledgement is not None)
    steps = [step for step in run.steps if pattern is None and job.step_id in (None, step.id)]
    return sum(group.acknowledged for group in groups) + sum(step.acknowledgement is not None for step in steps)


def _open_url(job: JobRecord, pattern: str | None) -> str:
    if job.kind is Kind.WORKER:
        return dom.job_url(job.id)
    return dom.jobs_url(manager_id=job.manager_id, step=job.step_name, failure=dom.failure(pattern), open="true")


def _what(job: JobRecord, pattern: str | None) -> str:
    if pattern is not None:
        return f"one failure group of step {job.name}"
    return {Kind.MANAGER: "run", Kind.STEP: "step", Kind.WORKER: "work item"}[job.kind] + f" {job.name}"
