"""Bulk actions on the page: a list is frozen, what can be done with it is counted, and one of that is confirmed."""

from __future__ import annotations

from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.exceptions import ValidationException
from litestar.params import FromPath
from litestar.response import Redirect

from app.queue.bulk_rules import BulkAction
from app.queue.snapshot import Snapshot
from app.queue.store.acknowledge import LONGEST_NOTE
from app.web import addresses, dom
from app.web.bulk import carry_out, freeze
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.retry_pages import show
from app.web.who import at_the_page


@post("/bulk", include_in_schema=False)
async def freeze_list(request: AnyRequest, access: TheAccess) -> Redirect:
    """Freezes the list of jobs of that filter, and shows what can be done with it."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    view = addresses.jobs_view(form)
    token = await freeze(access, view.matching)
    return Redirect(f"{dom.bulk_url(token)}?{urlsplit(view.url).query}".removesuffix("?"), status_code=303)


@get("/bulk/{token:str}", include_in_schema=False)
async def bulk_preview(token: FromPath[str], request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str]:
    """What can be done with a frozen list; once that is confirmed, what was done so far. The query names the list."""
    view = addresses.jobs_view(request.query_params)

    def reading(snapshot: Snapshot) -> dict[str, object]:
        frozen = snapshot.bulk.frozen_set(token)
        run = None if frozen.manager_id is None else snapshot.run(frozen.manager_id)
        return {
            "revision": snapshot.revision,
            "frozen": frozen,
            "run": run,
            "list": view,
            "now": snapshot.now,
            "longest": LONGEST_NOTE,
        }

    return show(live, "bulk", await access.read(reading))


@post("/bulk/{token:str}", include_in_schema=False)
async def bulk_chosen(token: FromPath[str], request: AnyRequest, access: TheAccess) -> Redirect:
    """Starts the run that does it, and shows that; sent twice it is the same run."""
    form = await request.form()
    frozen = await access.read(lambda snapshot: snapshot.bulk.frozen_set(token))
    manager_id = await carry_out(
        access, frozen, _action(str(form.get("action", ""))), str(form.get("note", "")), at_the_page(request)
    )
    return Redirect(dom.job_url(manager_id), status_code=303)


@get("/jobs/{job_id:int}/bulk", include_in_schema=False)
async def bulk_of_run(job_id: FromPath[int], access: TheAccess) -> Redirect:
    """The report of the bulk action that a run carries out."""
    return Redirect(
        dom.bulk_url(await access.read(lambda snapshot: snapshot.bulk.token_of_run(job_id))), status_code=303
    )


def _action(given: str) -> BulkAction:
    try:
        return BulkAction(given)
    except ValueError:
        known = ", ".join(BulkAction)
        raise ValidationException(f"action must be one of {known}; {given!r} is none of them") from None
