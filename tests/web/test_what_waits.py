"""Why something waits, on every page that shows it: the same sentence, with the way to what it waits for, and live."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.queue.actor import Actor, Place
from app.queue.limits import Limits
from app.queue.models import Kind
from app.queue.pauses import QUEUE
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.claim import claim
from app.queue.store.finish import Ending, finish
from app.queue.store.limiting import set_type_limits
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.settings import Settings
from app.web.access import Access
from app.web.live import channel
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.screens import View
from app.web.views import ItemView, JobsView, StepView
from tests.web.watcher import Watcher

ANN = Actor.named(Place.PAGE, "ann")
HTML = {"accept": "text/html"}


class Waiting:
    """A queue that only the test moves, and readers of its pages."""

    def __init__(self, app: Any, client: httpx.AsyncClient) -> None:
        self._app = app
        self.client = client
        access: Access = app.state.access
        self.write: Callable[..., Awaitable[Any]] = access.writer
        self.watchers: list[Watcher] = []

    async def run(self, definition: str, **run: Any) -> tuple[int, int]:
        """A run of one step with three work items; returns it and its step."""
        steps = (StepPlan("one", "slow"),)
        manager_id = await self.write(start, RunPlan(definition, definition, steps, **run))
        for claimed in await self.write(claim_plans, 9):
            step_id = claimed.step.step_id
            await self.write(plan, step_id, claimed.attempt, [NewItem(name) for name in "abc"])
            await self.write(end_planning, step_id, claimed.attempt)
        return manager_id, step_id

    async def watch(self, *views: View) -> None:
        for view in views:
            self.watchers.append(Watcher(self._app, self.client, view))
            await self.watchers[-1].open()

    async def all_say(self, sentence: str, link: str | None = None) -> None:
        """Every open page says so by now, and so does each when it is loaded anew."""
        for watcher in self.watchers:
            await watcher.catch_up()
            await watcher.is_like_a_fresh_page()
            page = (await self.client.get(watcher._view.url)).text
            assert sentence in said(page), watcher._view.url
            assert link is None or f'held by job <a href="{link}">' in page, watcher._view.url


def said(page: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", page))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Waiting]:
    app = create_app(replace(Settings(), data=folder, slots=0))
    here = httpx.ASGITransport(app=app)
    async with app.lifespan(), httpx.AsyncClient(transport=here, base_url="http://127.0.0.1:8000") as client:
        yield Waiting(app, client)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on the pace of the hub."""
    monkeypatch.setattr(channel, "INTERVAL", 0.0)


async def test_the_reason_is_the_same_everywhere_and_changes_on_open_pages(tmp_path: Path) -> None:
    async with served(tmp_path) as waiting:
        await waiting.write(set_type_limits, {"slow": Limits(2)})
        first, step = await waiting.run("first")
        second, other = await waiting.run("second")
        item_id = other + 1
        views: Sequence[View] = (
            QueueView(),
            RunView(second),
            StepView(second, "one"),
            ItemView(item_id, second, "one"),
            JobsView(JobFilter(Kind.WORKER, Status.PENDING, second)),
        )
        await waiting.watch(*views)
        await waiting.all_say("waiting for a free slot")
        items = (await waiting.write(claim, {step: 2, other: 3})).items
        held = f"limit 2 of 2 held by job {first} (step type slow)"
        await waiting.all_say(held, f"/jobs/{first}")

        for path in (f"jobs/{other}", f"jobs/{item_id}"):
            job = (await waiting.client.get(f"/api/{path}")).json()
            assert (job["reason"], job["held_by"]) == (held, first)
        tree = (await waiting.client.get(f"/api/jobs/{second}/tree")).json()
        assert (tree["job"]["reason"], tree["job"]["held_by"]) == (f"step one: {held}", first)
        assert (tree["steps"][0]["reason"], tree["steps"][0]["held_by"]) == (held, first)

        await waiting.write(pause_as, QUEUE, ANN)
        await waiting.all_say("the queue was paused by ann")
        await waiting.write(resume_as, QUEUE, ANN)
        await waiting.all_say(held)

        third, _ = await waiting.run("third")
        await waiting.write(finish, step, [Ending(item.id, item.attempt) for item in items])
        begun = (await waiting.write(claim, {step: 1, other: 1})).items
        assert len(begun) == 2
        await waiting.watch(RunView(third))
        del waiting.watchers[:5]
        await waiting.all_say("waiting for a free slot")
        await waiting.write(claim, {third + 1: 1})
        await waiting.all_say(f"limit 2 of 2 held by jobs {first}, {second} (step type slow)")


async def test_a_priority_is_set_on_the_page_and_by_programs(tmp_path: Path) -> None:
    async with served(tmp_path) as waiting:
        manager_id, step_id = await waiting.run("news", priority=2)
        await waiting.watch(QueueView(), RunView(manager_id))
        await waiting.all_say("priority 2")
        form = {"data": {"priority": "-7"}, "headers": HTML}
        answer = await waiting.client.post(f"/jobs/{manager_id}/priority", **form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{manager_id}")
        await waiting.all_say("priority -7")
        assert (await waiting.client.get(f"/api/jobs/{manager_id}")).json()["priority"] == -7
        for _ in range(2):
            answer = await waiting.client.post(f"/api/jobs/{manager_id}/priority", params={"priority": 9})
            assert answer.status_code == 202, answer.text
        assert answer.json()["detail"] == f"run {manager_id} has priority 9 already"
        page = said((await waiting.client.get(f"/jobs/{manager_id}")).text)
        assert page.count("changed the priority of the run from") == 2
        assert "ann" not in page

        answer = await waiting.client.post(f"/jobs/{manager_id}/priority", data={"priority": "high"}, headers=HTML)
        assert answer.status_code == 400
        assert "priority: must be a whole number from -1000 to 1000, not 'high'" in said(answer.text)
        assert (await waiting.client.post(f"/api/jobs/{manager_id}/priority?priority=1001")).status_code == 400
        part = await waiting.client.post(f"/api/jobs/{step_id}/priority?priority=1")
        assert "only a whole run can be given a priority" in part.json()["detail"]
        await waiting.client.post(f"/api/jobs/{manager_id}/cancellation")
        answer = await waiting.client.post(f"/jobs/{manager_id}/priority", data={"priority": "1"}, headers=HTML)
        assert answer.status_code == 409
        assert "is over" in said(answer.text)


async def test_a_run_is_started_with_another_priority_and_a_definition_says_what_it_limits(tmp_path: Path) -> None:
    async with served(tmp_path) as waiting:
        started = {"definition": "test_job_generator", "priority": 4}
        answer = await waiting.client.post("/api/jobs", json=started)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        assert (await waiting.client.get(f"/api/jobs/{job_id}")).json()["priority"] == 4
        await waiting.client.post(f"/api/jobs/{job_id}/cancellation")
        form = {"definition": "test_job_generator", "priority": "-3"}
        answer = await waiting.client.post("/jobs", data=form, headers=HTML)
        assert answer.status_code == 303, answer.text
        assert (await waiting.client.get(f"/api{answer.headers['location']}")).json()["priority"] == -3
        answer = await waiting.client.post("/jobs", data=form | {"priority": "1001"}, headers=HTML)
        assert answer.status_code == 422
        assert 'value="1001"' in answer.text
        assert (await waiting.client.post("/api/jobs", json=started | {"priority": 1001})).status_code in (400, 422)
