"""What people see of a storage in trouble: on every page, at once, and until it is over."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from app.queue import storage
from app.queue.database import ReadFailed
from app.queue.snapshot import JobFilter, Snapshot
from app.queue.storage_faults import Fault
from app.web import addresses
from app.web.live import channel
from app.web.live.hub import Live
from app.web.queue_view import QueueView
from app.web.screens import View
from app.web.sought_view import SoughtView
from app.web.views import JobsView
from tests.queue.storage_faults import LOST, error_of, read_only, unreadable
from tests.web.conftest import HeldUp, Pages
from tests.web.stage import Stage
from tests.web.test_streams import stream
from tests.web.theatre import Theatre

NO_TROUBLE = '<div id="storage" class="storage" role="status"></div>'
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
    assert NO_TROUBLE.encode() in await anext(heard)
    storage = stage.access.writer.storage
    storage.failed(Fault.FULL, "database or disk is full")
    assert b"make room on its disk" in await anext(heard)
    await storage._look_again()
    assert NO_TROUBLE.encode() in await anext(heard)
    reader.end()


async def test_trouble_is_no_sign_of_life_while_the_database_is_not_heard(stage: Stage, live: Live) -> None:
    """The page would take its numbers for true again."""
    heard_at = stage.access.database.clock.now() - 7200  # longer than a heartbeat of this hub
    stage.access.monitor.true_until = lambda: heard_at
    page = Page(live, QueueView())
    await page.until("#view")
    storage = stage.access.writer.storage
    storage.failed(Fault.AWAY, "connection timed out")
    assert "#liveness" not in await page.until("start the database server")
    stage.access.monitor.true_until = stage.access.database.clock.now
    await storage._look_again()
    await page.until("#liveness")


class Page:
    """An open page: what it was sent last. Fails a test that waits for what does not come."""

    def __init__(self, live: Live, view: View) -> None:
        self.subscriber = live.subscribe(view, None, None)
        self._frames: Any = self.subscriber.frames()

    async def until(self, text: str) -> str:
        """All that is sent until there is that text."""
        sent = ""
        async with asyncio.timeout(10):
            while text not in sent:
                sent += (await anext(self._frames)).decode()
        return sent


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(storage, "LONGEST_PAUSE", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_page_that_is_painted_as_the_database_goes_away_stays_and_catches_up(
    stage: Stage, live: Live, held_up: HeldUp
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    held_up.release()
    page = Page(live, JobsView(JobFilter()))
    await page.until("#liveness")
    held_up.hold()
    await stage.start(["one"], name="Unseen")
    await held_up.begun()
    with unreadable(stage.access.database):
        held_up.release()
        told = await page.until("Storage trouble since")
        assert f"cannot be read: {LOST}; " in told
        assert "#liveness" not in told, "numbers that are not true any more would be called true"
        live._channels["/jobs"].beat(live._greeting())
        assert "#liveness" not in await page.until("#storage")
    told = await page.until(NO_TROUBLE)
    assert told.index("Unseen") < told.index("#liveness"), "first the truth, then the sign of life"
    assert not page.subscriber.is_cut
    gc.collect()
    assert complaints == []


async def test_the_first_paint_after_the_database_is_heard_again_brings_a_sign_of_life(
    stage: Stage, live: Live
) -> None:
    stage.access.monitor.true_until = lambda: 0.0
    page = Page(live, QueueView())
    await page.until("#view")
    live._channels["/queue"].beat(live._greeting())
    stage.access.monitor.true_until = stage.access.database.clock.now
    await stage.start(["one"], name="Heard")
    assert "Heard" in await page.until("#liveness")


async def test_while_a_change_is_late_there_is_no_sign_of_life_and_then_there_is_one_at_once(
    stage: Stage, live: Live, held_up: HeldUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds it up."""
    held_up.release()
    page = Page(live, JobsView(JobFilter()))
    await page.until("#liveness")
    held_up.hold()
    monkeypatch.setattr(channel, "LATE", -1)
    await stage.start(["one"], name="Late")
    await held_up.begun()
    live._channels["/jobs"].beat(live._greeting())
    assert "#liveness" not in await page.until("#storage")
    held_up.release()
    assert "Late" in await page.until("#liveness")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("disconnected", [True, False])
async def test_a_connection_that_has_failed_is_not_used_again(stage: Stage, disconnected: bool) -> None:
    used: list[Any] = []
    sa.event.listen(stage.access.database.reading, "checkout", lambda connection, *_: used.append(connection))
    with unreadable(stage.access.database, disconnected=disconnected), pytest.raises(ReadFailed):
        await stage.access.read(lambda snapshot: snapshot.statistics())
    failed = list(used)
    await read_again(stage)
    assert used[-1] not in failed


@pytest.mark.usefixtures("impatient")
async def test_a_page_that_alone_cannot_be_read_harms_no_other(
    stage: Stage, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the trouble lasts until that one is true, too."""

    def broken(*_: object) -> NoReturn:
        raise sa.exc.OperationalError("SELECT", {}, error_of(sqlite3.SQLITE_IOERR, LOST))

    queue = Page(live, QueueView())
    await queue.until("#liveness")
    with monkeypatch.context() as breaking:
        breaking.setattr(JobsView, "paint", broken)
        alone = Page(live, JobsView(JobFilter()))
        assert "#liveness" not in await alone.until(LOST)
        for name in ("First", "Second", "Third"):
            await stage.start(["one"], name=name)
            assert NO_TROUBLE not in await queue.until(name)
    assert "Third" in await alone.until("#liveness")
    await queue.until(NO_TROUBLE)


@pytest.mark.usefixtures("impatient")
async def test_a_page_that_alone_cannot_be_read_is_tried_less_and_less_often(
    stage: Stage, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def broken(view: JobsView, *_: object) -> NoReturn:
        tried.append(view)
        raise sa.exc.OperationalError("SELECT", {}, error_of(sqlite3.SQLITE_IOERR, LOST))

    monkeypatch.setattr(JobsView, "paint", broken)
    monkeypatch.setattr(channel, "INTERVAL", 3600)
    monkeypatch.setattr(channel, "LONGEST_PAUSE", 3600)
    await Page(live, JobsView(JobFilter())).until(LOST)
    for _ in range(10):
        await stage.access.reading.another_try()
    assert len(tried) == 2


async def test_while_nothing_can_be_read_requests_do_not_wait_to_find_out(stage: Stage) -> None:
    with unreadable(stage.access.database) as reads:
        with pytest.raises(ReadFailed):
            await stage.access._try_to_read()
        before = reads.number
        for _ in range(100):
            with pytest.raises(ReadFailed, match=LOST):
                await stage.access.read(lambda snapshot: snapshot.revision)
        assert reads.number - before < 10, "more than who tries now and then whether it is over"
    await read_again(stage)
    assert await stage.access.read(lambda snapshot: snapshot.revision) == 0


@pytest.mark.usefixtures("impatient")
async def test_what_gives_up_late_does_not_bring_back_a_trouble_that_has_passed(stage: Stage) -> None:
    """A connection over a network that was cut may wait for longer than the cut."""
    begun, goes_on = threading.Event(), threading.Event()

    def hang(_: Snapshot) -> NoReturn:
        begun.set()
        assert goes_on.wait(10)
        raise sa.exc.OperationalError("SELECT", {}, error_of(sqlite3.SQLITE_IOERR, LOST))

    hanging = asyncio.create_task(stage.access.read(hang))
    assert await asyncio.to_thread(begun.wait, 10)
    with unreadable(stage.access.database), pytest.raises(ReadFailed):
        await stage.access.read(lambda snapshot: snapshot.revision)
    assert stage.access.trouble
    await read_again(stage)
    goes_on.set()
    with pytest.raises(ReadFailed):
        await hanging
    assert stage.access.trouble is None


async def read_again(stage: Stage) -> None:
    """Waits until the trouble is over."""
    over = asyncio.Event()
    async with asyncio.timeout(10):
        with stage.access.reading.listening(over.set):
            while stage.access.trouble:
                await over.wait()
                over.clear()


STREAMS = [
    "/jobs/1",
    "/queue",
    "/jobs",
    "/jobs/1/log",
    "/jobs/1/steps/one",
    "/jobs/3",
    "/documents",
    "/documents/1",
    "/system",
    "/definitions",
    "/definitions/trial",
]


def test_every_stream_tells_of_it_and_goes_on_afterwards(theatre: Theatre) -> None:
    """Whether it is opened meanwhile, as by a page that was in the background, or was open before."""
    theatre.play("start", steps=["one"], name="First")
    (step_id,) = theatre.play("plan", items=["item"])
    theatre.play("claim", step_id=step_id)
    theatre.play("save", step_id=step_id, worker_id=3, addresses=["a"])
    theatre.play("lose_the_database")
    with ExitStack() as open_streams:
        streams = {path: open_streams.enter_context(stream(theatre, f"{path}/stream?since=1")) for path in STREAMS}
        for path, messages in streams.items():
            assert "#liveness" not in through(messages, LOST), path
        theatre.play("find_the_database")
        for path, messages in streams.items():
            assert f'data-view="{path}"' in through(messages, "#liveness")
            through(messages, NO_TROUBLE)
        theatre.play("lose_the_database")
        theatre.play("log", step_id=step_id, messages=["said meanwhile"])
        for messages in streams.values():
            through(messages, LOST)
        theatre.play("find_the_database")
        for messages in streams.values():
            through(messages, NO_TROUBLE)


def through(messages: Iterator[str], text: str) -> str:
    """All that is sent until there is that text."""
    sent = ""
    while text not in sent:
        sent += next(messages)
    return sent


async def test_what_was_deleted_meanwhile_is_told_as_that(live: Live) -> None:
    page = Page(live, SoughtView("/jobs/4711", lambda snapshot: addresses.job_view(snapshot, 4711, {})))
    assert "What this page showed has been deleted." in await page.until("#liveness")


ADDRESSES = [*STREAMS, "/fragments/statistics", "/fragments/jobs/1", "/api/jobs", "/api/jobs/1", "/jobs/1/log.txt"]


def test_what_cannot_be_read_is_refused_with_the_way_out(pages: Pages) -> None:
    pages.play("start", steps=["one"])
    with unreadable(pages.app.state.access.database):
        for path in ADDRESSES:
            answer = pages.get(path, headers={"accept": "text/html"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
            assert f"cannot be read: {LOST}; " in answer.text
            if not path.startswith("/api"):
                assert "work goes on by itself" in banner(answer.text)
                assert "Once that is put right, try again" in answer.text
