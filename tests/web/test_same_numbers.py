"""One number, wherever one looks: page, stream, list, JSON and recount, at every moment of random histories."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import tostring

import httpx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from app.main import create_app
from app.queue import audit
from app.queue.documents import Document
from app.queue.models import Level
from app.queue.run_plan import FailureAction, OnError, RunPlan, StepPlan, Tolerance
from app.queue.snapshot import DocumentFilter, JobFilter
from app.queue.store.cancel import cancel
from app.queue.store.claim import ClaimedItem, claim, rescue
from app.queue.store.documents import Saving, delete_documents, save_documents
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.settings import Settings
from app.web.access import Access
from app.web.documents_view import DocumentsView
from app.web.logs.query import LogQuery
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.screens import View
from app.web.views import JobsView, RunLogView, StepView
from tests.web.browser_model import Dom, counts, parsed

KINDS = {"all": None, "manager": "manager", "step": "step", "worker": "worker"}
STATUSES = ("pending", "running", "completed", "failed", "cancelled", "skipped")
LEVELS = ("info", "debug", "warn", "error")
VIEWS = (
    QueueView(),
    RunView(1),
    RunLogView(1),
    StepView(1, "first"),
    StepView(1, "first", LogQuery(Level.WARN)),
    StepView(1, "first", LogQuery(text="line 2")),
    StepView(1, "first", LogQuery(after="20", wrap=False)),
    StepView(1, "first", LogQuery(text="1", line="5")),
    JobsView(JobFilter(failure="boom")),
    DocumentsView(DocumentFilter()),
    DocumentsView(DocumentFilter(manager_id=1)),
)
COMMON = ["plan", "claim", "finish", "log"]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["start", *COMMON, *COMMON, "fail", "save", "remove", "flood", "cancel", "rescue"]),
        st.integers(0, 99),
    ),
    min_size=5,
    max_size=14,
)


class Watcher:
    """A page that was opened once and has been listening to its stream ever since."""

    def __init__(self, app: Litestar, client: httpx.AsyncClient, view: View) -> None:
        self._app, self._client, self._view = app, client, view

    async def open(self) -> None:
        page = (await self._client.get(self._view.url)).text
        self.dom = Dom(page)
        revision = int(re.search(r'<body data-revision="(\d+)"', page)[1])  # type: ignore[index]
        subscriber = self._app.state.live.subscribe(self._view, None, revision)
        self._frames: AsyncIterator[bytes] = subscriber.frames()

    @property
    def revision(self) -> int:
        view = self.dom.find("view")
        assert view is not None
        return int(view.attrib["data-revision"])

    async def catch_up(self, revision: int) -> None:
        """Reads the stream until it shows that revision."""
        async with asyncio.timeout(30):
            while self.revision < revision:
                for message in (await anext(self._frames)).decode().split("\n\n"):
                    self.dom.receive(message)

    async def is_like_a_fresh_page(self) -> None:
        fresh = parsed((await self._client.get(self._view.url)).text)
        mine, theirs = self.dom.find("view"), fresh.find(".//*[@id='view']")
        assert mine is not None
        assert theirs is not None
        assert _normal(mine) == _normal(theirs)


def _normal(element: Any) -> str:
    """The markup, without what belongs to the reader (`open`) and without space between elements."""
    text = tostring(element, encoding="unicode")
    return re.sub(r"\s+", " ", re.sub(r' open=""', "", text)).replace("> <", "><")


class History:
    """Moves a queue along by the store verbs."""

    def __init__(self, access: Access) -> None:
        self._write = access.writer
        self._runs: list[int] = []
        self._steps: list[int] = []
        self._claimed: list[ClaimedItem] = []

    async def move(self, verb: str, number: int) -> None:
        await getattr(self, f"_{verb}")(number)

    async def _start(self, number: int) -> None:
        first = StepPlan("first", "trial", on_error=(OnError.FAIL, OnError.CONTINUE)[number % 2])
        second = StepPlan("second", "trial", depends=("first",))
        third = StepPlan("third", "trial", depends=(), always_run=number % 3 == 0)
        tolerance = Tolerance(number % 5 - 1, list(FailureAction)[number % 3])
        run = RunPlan("trial", "Trial", (first, second, third), tolerance=tolerance, concurrency=100)
        self._runs.append(await self._write(start, run))

    async def _plan(self, number: int) -> None:
        for claimed in await self._write(claim_plans, 1 + number % 3):
            step_id = claimed.step.step_id
            await self._write(plan, step_id, claimed.attempt, [NewItem(f"item {n}") for n in range(number % 6)])
            await self._write(end_planning, step_id, claimed.attempt)
            self._steps.append(step_id)

    async def _claim(self, number: int) -> None:
        if self._steps:
            step_id = self._steps[number % len(self._steps)]
            self._claimed += (await self._write(claim, {step_id: 1 + number % 4})).items

    async def _finish(self, number: int, error: str | None = None) -> None:
        if self._claimed:
            item = self._claimed.pop(number % len(self._claimed))
            await self._write(finish, item.step_id, [Ending(item.id, item.attempt, {"n": number}, error)])

    async def _fail(self, number: int) -> None:
        await self._finish(number, "boom")

    async def _log(self, number: int) -> None:
        if self._steps:
            step_id = self._steps[number % len(self._steps)]
            said = [(LEVELS[n % 4], f"{'::group::' if n % 11 == 3 else ''}line {n}") for n in range(number % 30 + 1)]
            await self._write(log, [Line(step_id, None, 1.0, level, message) for level, message in said])

    async def _save(self, number: int) -> None:
        if self._claimed:
            item = self._claimed[number % len(self._claimed)]
            documents = [Document(f"file:/{n % 40}", f"by {item.id}", "", "trial") for n in range(number, number + 15)]
            await self._write(save_documents, item.step_id, [Saving(document, item.id) for document in documents])

    async def _remove(self, number: int) -> None:
        await self._write(delete_documents, [f"file:/{n % 40}" for n in range(number, number + 10)])

    async def _flood(self, number: int) -> None:
        for _ in range(number % 30 + 1):
            await self._log(29 - number % 3)

    async def _cancel(self, number: int) -> None:
        if self._runs and number % 2:
            await self._write(cancel, self._runs[number % len(self._runs)], "cancelled by a person")

    async def _rescue(self, number: int) -> None:
        await self._write(rescue)


@settings(max_examples=int(os.environ.get("HISTORIES", "6")), deadline=None, derandomize=True, phases=[Phase.generate])
@given(MOVES)
def test_the_same_number_stands_everywhere_at_every_moment(moves: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), [("start", 0), ("plan", 4), *moves]))


async def _play(folder: Path, moves: list[tuple[str, int]]) -> None:
    app = create_app(replace(Settings(), data=folder, slots=0))
    here = httpx.ASGITransport(app=app)
    async with app.lifespan(), httpx.AsyncClient(transport=here, base_url="http://127.0.0.1:8000") as client:
        access: Access = app.state.access
        history = History(access)
        await history.move(*moves[0])
        watchers = [Watcher(app, client, view) for view in VIEWS]
        for watcher in watchers:
            await watcher.open()
        for verb, number in moves[1:]:
            await history.move(verb, number)
            await _compare(client, access)
        await watchers[0].catch_up(access.monitor.revision)
        await watchers[0].is_like_a_fresh_page()
        await access.writer(log, [Line(2, None, 1.0, "info", "the end")])
        await access.writer(save_documents, 2, [Saving(Document("the end", "the end", "", "trial"))])
        for watcher in watchers:
            await watcher.catch_up(access.monitor.revision)
            await watcher.is_like_a_fresh_page()


async def _compare(client: httpx.AsyncClient, access: Access) -> None:
    page = parsed((await client.get("/queue")).text)
    shown = counts(page)
    statistics = (await client.get("/api/jobs/stats")).json()
    for kind, name in KINDS.items():
        of_kind = statistics if name is None else statistics["by_kind"][name]
        for status in (*STATUSES, "all"):
            number = of_kind["total" if status == "all" else status]
            assert shown["all", kind, status] == number
            query = "&".join(f"{k}={v}" for k, v in (("kind", name), ("status", status)) if v not in (None, "all"))
            assert (await client.get(f"/api/jobs?limit=1&{query}")).json()["total"] == number
    _rows_add_up(page, shown)
    await _runs_agree(client, shown)
    await _documents_agree(client, shown)
    assert audit.check(access.database) == []


def _rows_add_up(page: Any, shown: dict[tuple[str, str, str], int]) -> None:
    """Tiles = sum of the rows = sum of their steps."""
    rows = [each for each in page.iter() if each.attrib.get("data-kind") == "manager" and each.tag != "data"]
    assert len(rows) == shown["all", "manager", "all"]
    steps = [each for each in page.iter() if each.attrib.get("data-kind") == "step" and each.tag != "data"]
    assert len(steps) == shown["all", "step", "all"]
    for status in STATUSES:
        assert sum(row.attrib["data-status"] == status for row in rows) == shown["all", "manager", status]
        assert sum(step.attrib["data-status"] == status for step in steps) == shown["all", "step", status]
        for scope in ("manager:", "step:"):
            parts = [
                n for (of, kind, st_), n in shown.items() if of.startswith(scope) and (kind, st_) == ("worker", status)
            ]
            assert sum(parts) == shown["all", "worker", status]


async def _runs_agree(client: httpx.AsyncClient, shown: dict[tuple[str, str, str], int]) -> None:
    for run in (await client.get("/api/jobs?kind=manager&limit=100")).json()["jobs"]:
        job = (await client.get(f"/api/jobs/{run['id']}")).json()
        assert job["counts"] == run["counts"]
        for status, number in job["counts"].items():
            if status != "total":
                assert shown.get((f"manager:{run['id']}", "worker", status), 0) == number
        tree = (await client.get(f"/api/jobs/{run['id']}/structure")).json()
        assert sum(step["child_count"] for step in tree["steps"]) == sum(
            number for status, number in job["counts"].items() if status != "total"
        )


async def _documents_agree(client: httpx.AsyncClient, shown: dict[tuple[str, str, str], int]) -> None:
    scopes = {scope for scope, *_ in shown if scope.startswith(("manager:", "step:"))}
    for scope in scopes:
        kind, _, job_id = scope.partition(":")
        number = (await client.get(f"/api/jobs/{job_id}")).json()["document_count"]
        assert shown.get((scope, "document", "all"), 0) == number
        listed = Dom((await client.get(f"/documents?{kind}_id={job_id}")).text).find("documents")
        assert listed is not None
        assert (int(listed.attrib["data-total"]), len(listed)) == (number, min(number, 50))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of these tests need no hurry: nothing in them depends on the pace of the hub."""
    monkeypatch.setattr("app.web.live.channel.INTERVAL", 0.01)
