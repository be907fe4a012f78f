"""One number, wherever one looks, at every moment of random histories.

After every move what was sent is compared: tiles, rows, steps, the lists behind the links, fragments, JSON, a recount
from scratch, and pages that have only followed their streams with the same pages loaded anew.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.main import create_app
from app.queue import audit
from app.queue.models import Kind, Level
from app.queue.snapshot import DocumentFilter, JobFilter
from app.queue.status import Status
from app.settings import Settings
from app.web.access import Access
from app.web.documents_view import DocumentsView
from app.web.live import channel
from app.web.logs.query import LogQuery
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.screens import View
from app.web.views import JobsView, RunLogView, StepView
from tests.web.moves import Moves
from tests.web.readings import Readings
from tests.web.watcher import Watcher

HISTORIES = int(os.environ.get("HISTORIES", "2"))
NUMBER = st.integers(0, 99)
OFTEN = ["plan", "claim", "complete", "fail"]
VERBS = ["start", *OFTEN, *OFTEN, *OFTEN, "retry", "retry", "cancel", "log", "flood", "save", "use", "remove", "delete"]
VERBS += ["cancel_part", "pause", "resume", "resume", "rerun", "prioritise"]


ALWAYS = (QueueView(), JobsView(JobFilter(Kind.WORKER, Status.FAILED)), DocumentsView(DocumentFilter(text="by")))
"""Views that no deletion of a run ends."""


def views_of(manager_id: int) -> list[View]:
    return [
        RunView(manager_id),
        RunLogView(manager_id),
        StepView(manager_id, "first"),
        StepView(manager_id, "first", LogQuery(Level.WARN)),
        StepView(manager_id, "first", LogQuery(text="line 2")),
        StepView(manager_id, "first", LogQuery(after="20", wrap=False)),
        StepView(manager_id, "first", LogQuery(text="1", line="5")),
        DocumentsView(DocumentFilter(manager_id=manager_id)),
    ]


class SameEverywhere(RuleBasedStateMachine):
    """A server whose queue is moved by hand, and readers who look at it."""

    @initialize(number=NUMBER)
    def begin(self, number: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.Runner()
        self.round = 0
        self.watchers: list[Watcher] = []
        self._do(self._serve())
        self.moves = Moves(self.access.writer)
        self._do(self.moves.start(number))
        self._do(self._watch(*ALWAYS, *views_of(1)))

    async def _serve(self) -> None:
        """Begins to serve, in a task of its own: what the server has entered it must leave there."""
        began, self.stop = asyncio.Event(), asyncio.Event()
        self.app = create_app(replace(Settings(), data=Path(self.folder.name), slots=0))

        async def serving() -> None:
            here = httpx.ASGITransport(app=self.app)
            client = httpx.AsyncClient(transport=here, base_url="http://127.0.0.1:8000")
            async with self.app.lifespan(), client as self.client:
                began.set()
                await self.stop.wait()

        self.serving = asyncio.create_task(serving())
        waiting = asyncio.create_task(began.wait())
        await asyncio.wait([self.serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        self.access: Access = self.app.state.access

    async def _end_serving(self) -> None:
        self.stop.set()
        await self.serving

    async def _watch(self, *views: View) -> None:
        for view in views:
            self.watchers.append(Watcher(self.app, self.client, view))
            await self.watchers[-1].open()

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run(work)

    @rule(verb=st.sampled_from(VERBS), number=NUMBER)
    def move(self, verb: str, number: int) -> None:
        if verb != "start" or len(self.moves.runs) < 4:
            self._do(getattr(self.moves, verb)(number))

    @rule()
    def restart(self) -> None:
        """The pages stay open meanwhile, and go on with the new server."""
        self._do(self._restart())

    async def _restart(self) -> None:
        await self._end_serving()
        await self._serve()
        self.moves.write = self.access.writer
        for watcher in self.watchers:
            watcher.reconnect(self.app, self.client)
        await self._compare_all()

    @rule()
    def look_at_every_page(self) -> None:
        self._do(self._compare_all())

    async def _compare_all(self) -> None:
        for watcher in self.watchers:
            await watcher.catch_up()
            await watcher.is_like_a_fresh_page()

    @invariant()
    def the_same_stands_everywhere(self) -> None:
        if hasattr(self, "moves"):
            self._do(self._compare())

    async def _compare(self) -> None:
        self.round += 1
        await Readings(self.client, self.round).agree()
        assert audit.check(self.access.database) == []
        for watcher in self.watchers:
            await watcher.catch_up()
        for watcher in (*self.watchers[:3], self.watchers[self.round % len(self.watchers)]):
            await watcher.is_like_a_fresh_page()
        if any(watcher.is_over for watcher in self.watchers):
            await self._look_at_another_run()

    async def _look_at_another_run(self) -> None:
        for watcher in self.watchers:
            await watcher.is_like_a_fresh_page()
        others = 1  # the list of its documents goes on, without it
        assert sum(watcher.is_over for watcher in self.watchers) == len(views_of(0)) - others
        self.watchers = [watcher for watcher in self.watchers if not watcher.is_over]
        if not self.moves.runs:
            await self.moves.start(0)
        await self._watch(*views_of(self.moves.runs[-1]))
        for watcher in self.watchers:
            await watcher.catch_up()

    def teardown(self) -> None:
        if hasattr(self, "serving"):
            self._do(self._end_serving())
            self.loop.close()
            self.folder.cleanup()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_same_number_stands_everywhere_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "INTERVAL", 0.0)  # nothing here depends on the pace of the hub
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        SameEverywhere,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
