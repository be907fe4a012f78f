"""A work item whose process gives no heartbeat says so wherever it is shown, live as on a page that is loaded anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from sqlalchemy import update

from app.main import create_app
from app.queue.changes import OwnersChanged
from app.queue.limits import Limits
from app.queue.store.claim import claim
from app.queue.store.owners import NewOwner, beat, end_owner, note_silence, open_owner, take_over, withdraw
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.tables import owner
from app.queue.writer import Transaction
from app.settings import Settings
from app.web.live.hub import Live
from app.web.system_facts import DatabaseFacts, SystemFacts, nothing_known
from app.web.system_view import SystemView
from app.web.views import ItemView, StepView
from tests.web.stage import Stage
from tests.web.test_hub import Reader

FAR = "far-<1>:4711:token"


async def hold(stage: Stage) -> tuple[int, int]:
    """A run with a work item in the hands of another process."""
    write = stage.access.writer
    await write(open_owner, NewOwner(FAR, 20.0, 4, "1.0"), False)
    manager_id = await stage.start(["one"])
    (claimed,) = await write(claim_plans, 1, FAR)
    await write(plan, claimed.step.step_id, claimed.attempt, [NewItem("a")])
    await write(end_planning, claimed.step.step_id, claimed.attempt)
    (item,) = (await write(claim, {claimed.step.step_id: 1}, FAR)).items
    return manager_id, item.id


async def test_open_pages_say_it_and_take_it_back(stage: Stage, live: Live) -> None:
    manager_id, item_id = await hold(stage)
    views = (StepView(manager_id, "one"), ItemView(item_id, manager_id, "one"), SystemView(nothing_known))
    readers = [Reader(live.subscribe(view, None, None)) for view in views]
    for reader in readers:
        assert "no heartbeat" not in await reader.next()
    await stage.access.writer(note_silence, FAR, 0, 10.0, 10.0)
    said = "no heartbeat from far-&lt;1&gt;, process 4711 since "
    for view, reader in zip(views, readers, strict=True):
        message = await reader.until(said)
        assert re.search(rf"{re.escape(said)}\d\d:\d\d:\d\d, will be taken over at \d\d:\d\d:\d\d", message)
        fresh = await stage.access.read(lambda snapshot, view=view: view.paint(live.easel, snapshot).view.html)  # type: ignore[misc]
        assert said in fresh
    await stage.access.writer(beat, FAR)
    for view in views:
        fresh = await stage.access.read(lambda snapshot, view=view: view.paint(live.easel, snapshot).view.html)  # type: ignore[misc]
        assert "no heartbeat" not in fresh
    await stage.access.writer(take_over, FAR, 1, 20.0)
    assert "was lost with far-&lt;1&gt;, process 4711" in await readers[1].until("was lost")
    assert "taken over after 20 s without a heartbeat" in await readers[2].until("taken over after")


@pytest.fixture
def site(tmp_path: Path) -> Any:
    with TestClient(create_app(Settings(data=tmp_path, slots=3)), base_url="http://127.0.0.1") as client:
        yield client


def test_the_server_itself_is_among_those_who_work(site: TestClient[Any]) -> None:
    answer = site.get("/api/system/owners").json()
    (owner,) = answer["owners"]
    assert (answer["total"], owner["slots"], owner["lease"], owner["held"], owner["silence"]) == (1, 3, 20.0, [], "")
    page = site.get("/system").text
    assert f"{owner['host']}, process {owner['pid']}" in page
    assert "none while it has nothing" in page


async def test_an_open_page_shows_who_comes_what_they_were_told_and_the_latest_heartbeat(
    stage: Stage, live: Live
) -> None:
    reader = Reader(live.subscribe(SystemView(_shared), None, None))
    await reader.next()
    write = stage.access.writer
    limits = {"<crawler>": Limits(2)}
    new = NewOwner(FAR, 20.0, 4, "1.0", "worker", "<b>deep</b>", ["<crawler>", "trial"], limits)
    await write(open_owner, new, False)
    message = await reader.until("&lt;b&gt;deep&lt;/b&gt;")
    assert "worker on <bdi>far-&lt;1&gt;, process 4711</bdi>" in message
    assert "at most 2 work items at once, as <bdi>&lt;b&gt;deep&lt;/b&gt;</bdi> was told" in message
    assert "<bdi>&lt;crawler&gt;</bdi>, <bdi>trial</bdi>" in message
    await write(_beat_at, FAR, 12_345_678.0)
    stage.access.monitor.tell(OwnersChanged())
    assert "every 5.0 s, seen " in await reader.until('datetime="1970-05-23')
    await write(withdraw, FAR)
    assert "it is stopping, and claims nothing" in await reader.until("stopping")
    await write(end_owner, FAR)
    assert "stopped" in await reader.until("stopped")


def _shared() -> SystemFacts:
    return msgspec.structs.replace(nothing_known(), database=DatabaseFacts("PostgreSQL"))


def _beat_at(transaction: Transaction, name: str, at: float) -> None:
    transaction.connection.execute(update(owner).where(owner.c.name == name).values(renewed_at=at))
