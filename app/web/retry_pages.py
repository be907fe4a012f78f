"""Retrying on the page: a preview that says what would run again, and the form that makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe

from litestar import MediaType, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.models import Kind
from app.queue.records import JobRecord, RunRecord
from app.queue.retrying import Again, Foreseen
from app.queue.snapshot import Snapshot
from app.queue.store.control import retry_as
from app.queue.store.retry import NothingToRetry
from app.queue.text import storable
from app.web import dom
from app.web.addresses import Query
from app.web.control import LONGEST_KEY, again_of, concurrency_of
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import Conflict
from app.web.live.hub import Live
from app.web.who import at_the_page


@get("/jobs/{job_id:int}/retries/new", include_in_schema=False)
async def retry_preview(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """What would run again, counted at one moment, and the button that asks for it."""
    query = request.query_params

    def reading(snapshot: Snapshot) -> dict[str, object]:
        job = snapshot.job(job_id)
        again = _again(job, query)
        with_cancelled = again_of(job, again.pattern, True)
        foreseen, more = snapshot.foresee(again), snapshot.foresee(with_cancelled)
        return {
            "revision": snapshot.revision,
            "job": job,
            "run": snapshot.run(job.manager_id),
            "again": again,
            "foreseen": foreseen,
            "more": more if more != foreseen else None,
        }

    return show(live, "retry", _in_words(await access.read(reading)))


@post("/jobs/{job_id:int}/retries", include_in_schema=False)
async def retry_chosen(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Does what the rules say now, and shows the job; its record tells what was done, and what was foreseen. A form
    that is sent again does nothing more."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    job = await access.read(lambda snapshot: snapshot.job(job_id))
    foreseen = form.get("foreseen", "")
    number = int(foreseen) if foreseen.isdecimal() and len(foreseen) < 18 else None
    concurrency = await concurrency_of(access, job.definition)
    key = storable(form.get("key", ""))[:LONGEST_KEY]
    try:
        await access.writer(retry_as, _again(job, form), at_the_page(request), concurrency, number, key)
    except NothingToRetry as refusal:
        raise Conflict(str(refusal), url=page_of(job)) from refusal
    return Redirect(page_of(job), status_code=303)


def show(live: Live, page: str, context: Mapping[str, object], status: int = 200) -> Response[str]:
    """A page that stands still: it is as it was when it was asked for."""
    template = live.easel.painter.environment.get_template(f"pages/{page}.html")
    html = template.render(context)
    return Response(html, status_code=status, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})


def page_of(job: JobRecord) -> str:
    return dom.step_url(job.manager_id, job.name) if job.kind is Kind.STEP else dom.job_url(job.id)


def _again(job: JobRecord, query: Query) -> Again:
    pattern = dom.failure_pattern(storable(query.get("failure", "")) or None)
    return again_of(job, pattern if job.kind is Kind.STEP else None, query.get("cancelled") == "true")


def _in_words(read: dict[str, object]) -> dict[str, object]:
    job, run, again, foreseen = read["job"], read["run"], read["again"], read["foreseen"]
    assert isinstance(job, JobRecord) and isinstance(run, RunRecord)
    assert isinstance(again, Again) and isinstance(foreseen, Foreseen)
    evaluated = [step for step in run.steps if step.name in foreseen.steps]
    failure = dom.failure(again.pattern)
    url = f"{dom.job_url(job.id)}/retries"
    return {
        **read,
        "what": _what(job, again),
        "back": page_of(job),
        "url": url,
        "key": token_urlsafe(12),
        "failure": failure,
        "evaluated": evaluated,
        "with_cancelled": dom.with_query(f"{url}/new", {"failure": failure, "cancelled": "true"}),
        "without_cancelled": dom.with_query(f"{url}/new", {"failure": failure}),
        "counts": {
            "all": dom.jobs_url(kind=Kind.WORKER, manager_id=run.id),
            "kept": dom.jobs_url(kind=Kind.WORKER, manager_id=run.id, status="completed"),
        },
    }


def _what(job: JobRecord, again: Again) -> str:
    if again.pattern is not None:
        return f"one failure group of step {job.name}"
    return {Kind.MANAGER: "run", Kind.STEP: "step", Kind.WORKER: "work item"}[job.kind] + f" {job.name}"
