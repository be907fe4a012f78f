"""The hub: the first change at once, a burst together, the last one always, and nothing twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.queue.snapshot import JobFilter, RunFilter
from app.web.live import channel as channels
from app.web.live import subscriber as subscribers
from app.web.live import turns
from app.web.live.browsers import STREAMS
from app.web.live.hub import Live
from app.web.live.subscriber import Subscriber
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.screens import Screen
from app.web.views import JobsView
from tests.web.conftest import HeldUp
from tests.web.stage import Stage

QUEUE = QueueView()
NOTHING = channels.Greeting("alive", "")


class Reader:
    """Reads a stream message by message; fails a test that waits for one that does not come."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.frames: AsyncIterator[bytes] = subscriber.frames()
        self._messages: list[str] = []
        self.last_id: str | None = None

    async def next(self) -> str:
        """The next message that is of the view."""
        while True:
            if not self._messages:
                received = await asyncio.wait_for(anext(self.frames), 10)
                self._messages = received.decode().split("\n\n")[:-1]
            message = self._messages.pop(0)
            if found := re.search(r"^id: (\S+)$", message, re.MULTILINE):
                self.last_id = found.group(1)
            if 'hx-target="#storage"' not in message:
                return message

    async def until(self, text: str) -> str:
        while True:
            message = await self.next()
            if text in message:
                return message

    def rest(self) -> list[str]:
        """What waits to be read, signs of life aside."""
        waiting, self.subscriber._waiting = self.subscriber._waiting, []
        messages = self._messages + [each.decode() for each in waiting]
        return [message for message in messages if 'hx-target="#storage"' not in message]


def join(live: Live, last_id: str | None = None, since: int | None = None, view: QueueView = QUEUE) -> Reader:
    return Reader(live.subscribe(view, last_id, since))


def is_whole(message: str) -> bool:
    return 'hx-target="#view" hx-swap="outerMorph"' in message and 'id="statistics"' in message


async def settle(live: Live) -> None:
    """Waits until every channel has painted what it knows of."""
    while tasks := [each._painting for each in live._channels.values() if each._painting]:
        await asyncio.gather(*tasks)


async def test_a_reader_without_a_page_first_gets_the_whole_view(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    assert is_whole(await join(live).next())


async def test_a_change_reaches_the_reader(live: Live, stage: Stage) -> None:
    reader = join(live)
    await reader.next()
    manager_id = await stage.start(["one"])
    message = await reader.until(f'id="job-{manager_id}"')
    assert 'hx-target="#runs" hx-swap="beforeend"' in message


async def test_only_what_changed_is_sent(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    (step_id,) = await stage.plan(["a", "b"])
    reader = join(live)
    await reader.next()
    await stage.claim(step_id)
    message = await reader.next()
    targets = set(re.findall(r'hx-target="#([^"]*)"', message))
    assert f'id="count-step-{step_id}-worker-running"' in message
    assert not any("log" in target or "fold" in target or "cancelled" in target for target in targets)


async def test_a_burst_is_painted_together_and_its_end_always(
    live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.start(["one"])
    (step_id,) = await stage.plan([f"item {number}" for number in range(300)])
    reader = join(live)
    await reader.next()
    await settle(live)
    clock = asyncio.get_running_loop().time
    before, began = stage.access.reads, clock()
    monkeypatch.setattr(channels, "INTERVAL", 0.3)
    for _ in range(300):
        await stage.claim(step_id)
    await reader.until('data-scope="all" data-kind="worker" data-status="running">300</data>')
    await settle(live)
    assert stage.access.reads - before < 3 + 2 * (clock() - began) / 0.3  # however slow the database is
    assert reader.rest() == []


async def test_the_first_change_is_painted_at_once(live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = join(live)
    await reader.next()
    await settle(live)
    monkeypatch.setattr(channels, "INTERVAL", 3600)
    await stage.start(["one"])
    await reader.until('id="job-1"')


async def test_a_page_that_shows_the_present_gets_nothing(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    painted = await stage.access.read(lambda snapshot: QUEUE.paint(live.easel, snapshot))
    live.offer(QUEUE, painted)
    reader = join(live, since=painted.revision)
    await settle(live)
    await stage.start(["two"], name="Second")
    message = await reader.next()
    assert not is_whole(message)
    assert 'hx-swap="beforebegin"' in message


async def test_changes_between_the_page_and_its_stream_are_not_missed(live: Live, stage: Stage) -> None:
    painted = await stage.access.read(lambda snapshot: QUEUE.paint(live.easel, snapshot))
    live.offer(QUEUE, painted)
    await stage.start(["one"])
    assert 'id="job-1"' in await join(live, since=painted.revision).next()


async def test_a_page_from_before_the_last_paint_gets_the_whole_view(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    first = join(live)
    await first.next()
    await settle(live)
    assert is_whole(await join(live, since=0).next())


async def test_a_page_from_a_moment_not_heard_of_yet_gets_the_whole_view(live: Live, stage: Stage) -> None:
    first = join(live)
    await first.next()
    await settle(live)
    assert is_whole(await join(live, since=stage.access.monitor.revision + 1).next())


async def test_who_comes_back_gets_exactly_what_it_missed(live: Live, stage: Stage) -> None:
    reader = join(live)
    await reader.next()
    await stage.start(["one"], name="First")
    await reader.until("First")
    watcher = join(live)
    await watcher.next()
    await settle(live)
    live._channels[QUEUE.url].leave(reader.subscriber)
    await stage.start(["one"], name="Second")
    await watcher.until("Second")
    back = join(live, last_id=reader.last_id, since=0)
    message = await back.next()
    assert "Second" in message
    assert not is_whole(message)
    await settle(live)
    assert back.rest() == []


async def test_the_id_of_a_server_that_is_gone_gets_the_whole_view(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    watcher = join(live)
    await watcher.next()
    await settle(live)
    assert is_whole(await join(live, last_id="earlier-7", since=stage.access.monitor.revision).next())


async def test_a_reader_that_is_to_get_the_whole_view_claims_no_place_before_it(live: Live) -> None:
    reader = join(live)
    greeting = (await anext(reader.frames)).split(b"\n\n")[0]
    assert b"#storage" in greeting
    assert b"id:" not in greeting
    assert b"#liveness" not in greeting, "its numbers would be called true"


async def test_a_slow_reader_is_cut_and_the_others_are_not(
    live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers, "MAX_QUEUED", 3)
    slow = join(live)
    monkeypatch.setattr(subscribers, "MAX_QUEUED", 256)
    fast = join(live)
    for number in range(4):
        await stage.start(["one"], name=f"Run {number}")
        await fast.until(f"Run {number}")
    assert slow.subscriber.is_cut
    assert not fast.subscriber.is_cut
    await stage.start(["one"], name="Afterwards")
    await fast.until("Afterwards")


async def test_a_reader_that_takes_nothing_is_cut_at_a_heartbeat(live: Live) -> None:
    reader = join(live)
    await settle(live)
    channel = live._channels[QUEUE.url]
    for _ in range(subscribers.STALLED_BEATS):
        assert not reader.subscriber.is_cut
        channel.beat(NOTHING)
    assert reader.subscriber.is_cut
    assert not channel.subscribers


async def test_idle_pages_read_nothing(live: Live, stage: Stage) -> None:
    await stage.start(["one"])
    readers = [join(live) for _ in range(20)]
    for reader in readers:
        await reader.next()
    await settle(live)
    before = stage.access.reads
    for _ in range(50):
        live._channels[QUEUE.url].beat(NOTHING)
        for reader in readers:
            await asyncio.wait_for(anext(reader.frames), 10)
    assert stage.access.reads == before


async def test_all_readers_of_a_view_share_one_paint(live: Live, stage: Stage) -> None:
    readers = [join(live) for _ in range(50)]
    for reader in readers:
        await reader.next()
    await settle(live)
    before = stage.access.reads
    await stage.start(["one"])
    for reader in readers:
        await reader.until('id="job-1"')
    await settle(live)
    assert stage.access.reads - before <= 2


async def test_a_view_of_another_run_is_not_painted(live: Live, stage: Stage) -> None:
    watched = await stage.start(["one"], name="Watched")
    reader = Reader(live.subscribe(RunView(watched), None, None))
    await reader.next()
    await settle(live)
    before = stage.access.reads
    await stage.start(["one"], name="Other")
    await settle(live)
    assert stage.access.reads == before


async def test_a_channel_is_kept_while_somebody_watches_and_forgotten_afterwards(live: Live) -> None:
    reader = join(live)
    await reader.next()
    channel = live._channels[QUEUE.url]
    live._forget(channel)
    assert live.channels == 1
    reader.subscriber.drop()
    live._forget(channel)
    assert live.channels == 0


async def test_different_views_have_different_channels(live: Live) -> None:
    live.subscribe(JobsView(JobFilter()), None, None)
    live.subscribe(QUEUE, None, None)
    live.subscribe(QueueView(RunFilter(definition="trial")), None, None)
    live.subscribe(QueueView(), None, None)
    assert live.channels == 3


async def test_a_paint_that_fails_cuts_its_readers_and_no_others(live: Live, stage: Stage) -> None:
    lost = live.subscribe(RunView(4711), None, None)
    reader = join(live)
    await reader.next()
    await settle(live)
    assert lost.is_cut
    assert not reader.subscriber.is_cut


async def test_views_are_painted_one_after_the_other(live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN", 3600)
    at_once: list[int] = []
    paints = _count_paints(monkeypatch, at_once)
    readers = [Reader(live.subscribe(view, None, None)) for view in _different_views(10)]
    for reader in readers:
        await reader.next()
    await settle(live)
    assert len(at_once) >= 10
    assert max(at_once) == 1
    assert paints == []


async def test_what_changes_while_a_view_waits_for_its_turn_is_painted_in_it(
    live: Live, stage: Stage, held_up: HeldUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN", 3600)
    reader = join(live)
    await reader.next()
    await settle(live)
    slow = Reader(live.subscribe(JobsView(JobFilter()), None, None))
    await held_up.begun()
    paints = stage.access.reads
    await stage.start(["one"], name="First")
    await asyncio.sleep(0)
    await stage.start(["one"], name="Second")
    held_up.release()
    message = await reader.next()
    await slow.next()
    await settle(live)
    assert "First" in message
    assert "Second" in message
    assert stage.access.reads <= paints + 2  # that of the queue, and of the list again


async def test_views_that_change_together_are_painted_from_one_snapshot(
    live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TOGETHER", 3600)
    monkeypatch.setattr(turns, "TURN", 3600)
    readers = [Reader(live.subscribe(view, None, None)) for view in _different_views(10)]
    for reader in readers:
        await reader.next()
    await settle(live)
    before = stage.access.reads
    await stage.start(["one"])
    for reader in readers:
        await reader.next()
    await settle(live)
    assert stage.access.reads == before + 1


async def test_views_that_wait_longer_than_a_snapshot_lasts_are_painted_from_another(
    live: Live, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TOGETHER", 0)
    readers = [Reader(live.subscribe(view, None, None)) for view in _different_views(10)]
    for reader in readers:
        await reader.next()
    await settle(live)
    before = stage.access.reads
    await stage.start(["one"])
    for reader in readers:
        await reader.next()
    await settle(live)
    assert stage.access.reads == before + 10


async def test_a_page_opened_while_its_view_is_painted_anew_gets_nothing_twice(
    live: Live, stage: Stage, held_up: HeldUp
) -> None:
    first = Reader(live.subscribe(JobsView(JobFilter()), None, None))
    held_up.release()
    await first.next()
    await settle(live)
    held_up.hold()
    await stage.start(["one"])
    await held_up.begun()
    # A page that is loaded now shows the new run already, though the stream has not told of it yet.
    late = Reader(live.subscribe(JobsView(JobFilter()), None, stage.access.monitor.revision))
    held_up.release()
    message = await late.next()
    assert 'hx-swap="beforebegin"' not in message
    assert 'hx-swap="beforeend"' not in message


async def test_a_view_that_takes_long_to_paint_lets_the_others_pass(live: Live, held_up: HeldUp) -> None:
    slow = Reader(live.subscribe(JobsView(JobFilter()), None, None))
    await asyncio.sleep(0)
    await join(live).next()
    held_up.release()
    await slow.next()


async def test_two_thousand_readers_of_a_view_all_get_a_change(live: Live, stage: Stage) -> None:
    readers = [join(live) for _ in range(2000)]
    for reader in readers:
        await reader.next()
    await settle(live)
    before = stage.access.reads
    await stage.start(["one"], name="Seen by all")
    messages = {await reader.until("Seen by all") for reader in readers}
    await settle(live)
    assert len(messages) == 1
    assert stage.access.reads - before <= 2


async def test_one_stream_too_many_of_a_browser_ends_its_oldest(live: Live, stage: Stage) -> None:
    tabs = [Reader(live.subscribe(QUEUE, None, None, "firefox")) for _ in range(STREAMS)]
    elsewhere = [Reader(live.subscribe(QUEUE, None, None, browser)) for browser in (None, "chromium")]
    for reader in (*tabs, *elsewhere):
        await reader.next()
    await settle(live)
    live.subscribe(QUEUE, None, None, "firefox")
    with pytest.raises(StopAsyncIteration):
        await tabs[0].next()
    await stage.start(["one"], name="Meanwhile")
    for reader in (*tabs[1:], *elsewhere):
        await reader.until("Meanwhile")
    back = Reader(live.subscribe(QUEUE, tabs[0].last_id, None, "firefox"))
    assert not is_whole(await back.until("Meanwhile"))
    with pytest.raises(StopAsyncIteration):
        await tabs[1].next()


def _different_views(number: int) -> list[QueueView]:
    return [QueueView(RunFilter(text=f"no {each}")) for each in range(number)]


def _count_paints(monkeypatch: pytest.MonkeyPatch, at_once: list[int]) -> list[QueueView]:
    """The queue views that are being painted; `at_once` gets how many they are at the start of each paint."""
    painting: list[QueueView] = []
    paint = QueueView.paint

    def counted(view: QueueView, *arguments: Any) -> Screen:
        painting.append(view)
        at_once.append(len(painting))
        try:
            return paint(view, *arguments)
        finally:
            painting.remove(view)

    monkeypatch.setattr(QueueView, "paint", counted)
    return painting
