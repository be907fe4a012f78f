"""What the page and the API share of bulk actions: freezing a list, and confirming what is to be done to it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from litestar.exceptions import ValidationException

from app.queue.actor import Actor
from app.queue.bulk_reading import FrozenSetRecord
from app.queue.bulk_rules import BulkAction, Choice
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.store.bulk import AlreadyUsed, add_jobs, begin_set, confirm, end_set, plan_of, sweep_sets
from app.web import dom
from app.web.access import Access
from app.web.errors import Conflict
from app.web.views import JobsView

AT_ONCE = 1_000
"""Jobs that are read, and written down, at a time."""


async def freeze(access: Access, matching: JobFilter) -> str:
    """Writes down which jobs the list holds, all at one moment; returns the token of the set. Raises
    ValidationException for a list of jobs of all kinds, since a run's steps and work items are part of it."""
    if matching.kind is None and not matching.open:
        raise ValidationException("kind must be given: manager, step or worker")
    while await access.writer(sweep_sets):
        pass
    token = secrets.token_urlsafe(12)
    set_id = await access.writer(begin_set, token, JobsView(matching).words, matching.status or "")
    total = await _write_down(access, matching, set_id)
    await access.writer(end_set, set_id, total)
    return token


async def _write_down(access: Access, matching: JobFilter, set_id: int) -> int:
    loop = asyncio.get_running_loop()

    async def add(first: int, jobs: Sequence[Any]) -> None:
        await access.writer(add_jobs, set_id, first, jobs)

    def copy(snapshot: Snapshot) -> int:
        """In a reader's thread: a few at a time, so that neither memory nor any other writer has to bear them all."""
        total = 0
        for jobs in snapshot.all_jobs(matching, AT_ONCE):
            asyncio.run_coroutine_threadsafe(add(total + 1, jobs), loop).result()
            total += len(jobs)
        return total

    return await access.read(copy)


async def carry_out(access: Access, frozen: FrozenSetRecord, action: BulkAction, note: str, actor: Actor) -> int:
    """Starts the run that does it; returns it. Raises Conflict if there is nothing to do, or something else was done
    with this set."""
    choice = chosen(frozen, action)
    if choice is None or (not choice.acts and frozen.action is None):
        kinds = ", ".join(each.action for each in frozen.choices if each.acts) or "nothing"
        raise Conflict(f"there is nothing to {action} among them; there is: {kinds}", url=dom.bulk_url(frozen.token))
    plan = plan_of(frozen.id, frozen.total, frozen.words, action, choice.acts)
    try:
        return await access.writer(confirm, frozen.token, plan, action, note, actor)
    except AlreadyUsed as refusal:
        url = dom.bulk_url(frozen.token) if refusal.manager_id is None else dom.job_url(refusal.manager_id)
        raise Conflict(str(refusal), url=url) from refusal


def chosen(frozen: FrozenSetRecord, action: BulkAction) -> Choice | None:
    return next((choice for choice in frozen.choices if choice.action is action), None)
