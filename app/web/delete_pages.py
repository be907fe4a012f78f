"""Deleting a run from its page: a preview that says what goes and what stays, and the form that makes it so."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.models import Kind
from app.queue.snapshot import Snapshot, UnknownJob
from app.queue.store.control import delete_as
from app.queue.store.delete import NotOver
from app.web import dom
from app.web.control import whole_run
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.errors import Conflict
from app.web.retry_pages import show
from app.web.who import at_the_page


@get("/jobs/{job_id:int}/deletion/new", include_in_schema=False)
async def delete_preview(job_id: FromPath[int], access: TheAccess, live: TheLive) -> Response[str]:
    """What would be deleted, counted at one moment. Of a run that is not over: the way out."""

    def reading(snapshot: Snapshot) -> dict[str, object]:
        run = snapshot.run(whole_run(snapshot.job(job_id), "deleted").id)
        items_url = dom.jobs_url(kind=Kind.WORKER, manager_id=run.id)
        return {"revision": snapshot.revision, "run": run, "items_url": items_url, "is_over": run.is_final}

    read = await access.read(reading)
    return show(live, "delete", read, status=200 if read["is_over"] else 409)


@post("/jobs/{job_id:int}/deletion", include_in_schema=False)
async def delete_chosen(job_id: FromPath[int], request: AnyRequest, access: TheAccess) -> Redirect:
    """Deletes a run and goes back to the queue; also if it is gone already, as after a second press."""
    try:
        await access.read(lambda snapshot: whole_run(snapshot.job(job_id), "deleted"))
        await access.writer(delete_as, job_id, at_the_page(request))
    except UnknownJob:
        pass
    except NotOver as refusal:
        raise Conflict(str(refusal), url=dom.job_url(job_id)) from refusal
    return Redirect("/queue", status_code=303)
