"""What people see of a storage in trouble: on every page, at once, and until it is over."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue.storage_faults import Fault
from app.web.live.hub import Live
from app.web.queue_view import QueueView
from tests.queue.storage_faults import read_only
from tests.web.conftest import Pages
from tests.web.stage import Stage

PATHS = ["/queue", "/jobs", "/documents", "/definitions", "/system", "/pauses", "/nothing"]


def banner(html: str) -> str:
    return html.split('id="storage"', 1)[1].split("</div>", 1)[0]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_says_what_is_wrong_and_what_to_do(pages: Pages, path: str) -> None:
    assert "trouble" not in banner(pages.get(path, headers={"accept": "text/html"}).text)
    access = pages.app.state.access
    with read_only(access.database):
        refused = pages.post("/api/queue/pause")
        assert (refused.status_code, refused.json()["error"]) == (503, "not_written")
        html = pages.get(path, headers={"accept": "text/html"}).text
    told = banner(html)
    assert "Storage trouble since" in told
    says = "cannot execute" if pages.app.state.url else "attempt to write a readonly database"
    assert says in told
    assert "; make it writable, and work goes on by itself." in told


def test_what_the_database_says_is_text(pages: Pages) -> None:
    storage = pages.app.state.access.writer.storage
    with pages.portal() as portal:
        portal.call(storage.failed, Fault.FAILING, "<b>\u202e</b>")
    told = banner(pages.get("/queue").text)
    assert "&lt;b&gt;\u2039U+202E\u203a&lt;/b&gt;" in told


async def test_an_open_page_hears_of_it_at_once_and_of_its_end(stage: Stage, live: Live) -> None:
    reader: Any = live.subscribe(QueueView(), None, stage.access.monitor.revision)
    heard = reader.frames()
    assert b'<div id="storage" class="storage" role="status"></div>' in await anext(heard)
    storage = stage.access.writer.storage
    storage.failed(Fault.FULL, "database or disk is full")
    assert b"make room on its disk" in await anext(heard)
    await storage._look_again()
    assert b'<div id="storage" class="storage" role="status"></div>' in await anext(heard)
    reader.end()


async def test_trouble_is_no_sign_of_life_while_the_database_is_not_heard(stage: Stage, live: Live) -> None:
    """The page would take its numbers for true again."""
    heard_at = stage.access.database.clock.now() - 7200  # longer than a heartbeat of this hub
    stage.access.monitor.true_until = lambda: heard_at
    reader: Any = live.subscribe(QueueView(), None, stage.access.monitor.revision)
    heard = reader.frames()
    storage = stage.access.writer.storage
    storage.failed(Fault.AWAY, "connection timed out")
    while b"start the database server" not in (told := await anext(heard)):
        assert b"#liveness" not in told
    assert b"#liveness" not in told
    stage.access.monitor.true_until = stage.access.database.clock.now
    await storage._look_again()
    assert b"#liveness" in await anext(heard)
    reader.end()
