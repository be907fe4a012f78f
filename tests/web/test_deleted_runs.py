"""What open pages make of a run that is deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx

from app.main import create_app
from app.queue.models import Kind
from app.queue.snapshot import JobFilter
from app.queue.store.cancel import cancel
from app.queue.store.delete import delete_run
from app.settings import Settings
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.views import ItemView, JobsView, RunLogView, StepView
from tests.web.browser_model import counts
from tests.web.moves import Moves
from tests.web.watcher import DELETED, Watcher


async def test_a_deleted_run_leaves_every_open_page(tmp_path: Path) -> None:
    app = create_app(replace(Settings(), data=tmp_path, slots=0))
    here = httpx.ASGITransport(app=app)
    async with app.lifespan(), httpx.AsyncClient(transport=here, base_url="http://127.0.0.1:8000") as client:
        moves = Moves(app.state.access.writer)
        for _ in range(2):
            await moves.start(0)
        await moves.plan(5)  # steps of both runs, five items each
        manager_id, other_id = moves.runs
        lists = [QueueView(), JobsView(JobFilter(Kind.WORKER)), JobsView(JobFilter(manager_id=manager_id))]
        own = [RunView(manager_id), RunLogView(manager_id), StepView(manager_id, "first")]
        own.append(ItemView(9, manager_id, "first"))
        watchers = [Watcher(app, client, view) for view in (*lists, *own, RunView(other_id))]
        for watcher in watchers:
            await watcher.open()
        await moves.write(cancel, manager_id, "cancelled by a person")
        await moves.write(delete_run, manager_id, 1)
        for watcher in watchers:
            await watcher.catch_up()
            await watcher.is_like_a_fresh_page()
        assert [watcher.is_over for watcher in watchers] == [False] * 3 + [True] * 4 + [False]
        queue, every_item, of_run, run, *_ = watchers
        assert queue.dom.find(f"job-{manager_id}") is None
        assert queue.dom.find(f"job-{other_id}") is not None
        assert counts(queue.dom.body)["all", "manager", "all"] == 1
        assert every_item.dom.find("job-9") is of_run.dom.find("job-9") is None
        assert DELETED in run.dom.html
        assert 'href="/queue"' in run.dom.html
        answer = await client.get(f"/jobs/{manager_id}/stream")
        assert answer.status_code == 404  # and no storm of them in the log: the stream that was open stays open
