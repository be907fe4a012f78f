"""Running a run again from its page: a form that says what would run, and what is taken as it is."""

from __future__ import annotations

from secrets import token_urlsafe

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.snapshot import Snapshot
from app.queue.store.rerun import NotRepeatable, rerun_as
from app.queue.text import storable
from app.web import dom
from app.web.control import LONGEST_KEY, against, kept_plan, plan_rerun, whole_run
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import Conflict
from app.web.retry_pages import show
from app.web.who import at_the_page


@get("/jobs/{job_id:int}/reruns/new", include_in_schema=False)
async def rerun_form(job_id: FromPath[int], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    first = storable(request.query_params.get("from", "")) or None

    def reading(snapshot: Snapshot) -> dict[str, object]:
        run = snapshot.run(whole_run(snapshot.job(job_id), "run again").id)
        return {"revision": snapshot.revision, "run": run}

    read = await access.read(reading)
    plan = await kept_plan(access, job_id, first)
    refused = {
        "then": await against(plan_rerun(access, job_id, first, as_now=False)),
        "now": await against(plan_rerun(access, job_id, first, as_now=True)),
    }
    # The key is sent with the form, so that it starts one run however often it is sent.
    return show(live, "rerun", {**read, "first": first, "plan": plan, "refused": refused, "key": token_urlsafe(12)})


@post("/jobs/{job_id:int}/reruns", include_in_schema=False)
async def rerun_chosen(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Starts the new run and shows it."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    await access.read(lambda snapshot: whole_run(snapshot.job(job_id), "run again"))
    plan = await plan_rerun(access, job_id, storable(form.get("from", "")) or None, form.get("text") == "now")
    key = f"{job_id} {storable(form['key'])[:LONGEST_KEY]}" if form.get("key") else None
    try:
        made = await access.writer(rerun_as, plan, at_the_page(request), key)
    except NotRepeatable as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    return Redirect(dom.job_url(made), status_code=303)
