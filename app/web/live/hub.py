"""The hub: hears of every commit, and keeps the views that somebody looks at true."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import jinja2
from sse_starlette import EventSourceResponse

from app.queue.changes import MuchChanged
from app.queue.storage import Trouble
from app.queue.writer import Commit
from app.web import dom
from app.web.access import Access
from app.web.live.browsers import Browsers
from app.web.live.channel import Channel, Greeting
from app.web.live.subscriber import Subscriber
from app.web.live.turns import Turns
from app.web.pieces import Painter, Swap
from app.web.screens import Easel, Screen, View

HEARTBEAT = 5.0
"""Seconds between two signs of life. The page's style sheet calls a stream lost after somewhat more than two."""
LINGER = 30.0
"""Seconds that a channel outlives its last subscriber, so that a reload finds it."""
FAREWELL = 2.0
"""Seconds that streams get to end by themselves when the server stops."""
OFFERED = 16
"""Painted pages that are kept until their streams are opened, moments later."""


class Live:
    """All channels. Enter `running()` for the time of the server."""

    def __init__(
        self, access: Access, jinja: jinja2.Environment, heartbeat: float = HEARTBEAT, linger: float = LINGER
    ) -> None:
        self.easel = Easel(Painter(jinja))
        """What pages and streams are painted with; shared, so that what one has painted the other need not."""
        self._access = access
        self._turns = Turns(access)
        jinja.globals["storage_trouble"] = lambda: access.trouble
        self._told: tuple[Trouble | None, str] | None = None
        """The latest trouble of the storage, and the message that says so."""
        self._heartbeat = heartbeat
        self._linger = linger
        self._channels: dict[str, Channel] = {}
        self._browsers = Browsers()
        self._offered: OrderedDict[str, Screen] = OrderedDict()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Live]:
        access = self._access
        with (
            access.monitor.listening(self._hear),
            access.writer.storage.listening(self._greet_all),
            access.reading.listening(self._greet_all),
        ):
            tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._end_with_the_server())]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                for channel in self._channels.values():
                    channel.close()
                self._turns.close()

    @property
    def channels(self) -> int:
        """How many views are kept."""
        return len(self._channels)

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(len(channel.subscribers) for channel in tuple(self._channels.values()))

    def subscribe(self, view: View, last_id: str | None, since: int | None, browser: str | None = None) -> Subscriber:
        """Opens a stream of the view for a page painted at revision `since`, or for one that comes back with the id of
        the last message it got."""
        channel = self._channels.get(view.url) or self._open(view)
        subscriber = Subscriber(lambda leaving: self._leave(channel, leaving, browser))
        channel.join(subscriber, self._greeting(), last_id, since, self._access.monitor.revision)
        if browser:
            self._browsers.opened(browser, subscriber)
        return subscriber

    def offer(self, view: View, screen: Screen) -> None:
        """Takes a view that was just painted for a page, whose stream will be opened next and can go on from here."""
        channel = self._channels.get(view.url)
        if channel and channel.subscribers:
            return
        if channel:
            self._forget(channel)
        self._offered[view.url] = screen
        while len(self._offered) > OFFERED:
            self._offered.popitem(last=False)

    def _open(self, view: View) -> Channel:
        offered = self._offered.pop(view.url, None)
        channel = Channel(view, self.easel, self._turns, self._access.reading, self._greeting, offered)
        self._channels[view.url] = channel
        return channel

    def _hear(self, commit: Commit) -> None:
        anything = any(isinstance(change, MuchChanged) for change in commit.changes)
        for channel in self._channels.values():
            if anything or any(map(channel.view.concerns, commit.changes)):
                channel.hear()

    def _leave(self, channel: Channel, subscriber: Subscriber, browser: str | None) -> None:
        channel.leave(subscriber)
        if browser:
            self._browsers.left(browser, subscriber)
        if not channel.subscribers:
            asyncio.get_running_loop().call_later(self._linger, self._forget, channel)

    def _forget(self, channel: Channel) -> None:
        if not channel.subscribers and self._channels.get(channel.view.url) is channel:
            channel.close()
            del self._channels[channel.view.url]

    async def _beat(self) -> None:
        """Without a sign of life from the database there is none for the page, which then says since when."""
        said = 0.0
        while True:
            await asyncio.sleep(self._heartbeat)
            true_until = self._access.monitor.true_until()
            if true_until != said:
                said, greeting = true_until, self._greeting()
                for channel in tuple(self._channels.values()):
                    channel.beat(greeting)

    def _greet_all(self) -> None:
        """The storage is in trouble, or works again: every page hears of it at once."""
        greeting = self._greeting()
        for channel in tuple(self._channels.values()):
            channel.greet_all(greeting)

    def _greeting(self) -> Greeting:
        """The sign of life, with the time up to which the page is known to be true; and the trouble of the storage.
        While that time stands there is no sign of life: the page would take it for one that its numbers are true."""
        true_until, storage = self._access.monitor.true_until(), self._about_the_storage()
        if true_until < self._access.database.clock.now() - self._heartbeat:
            return Greeting(storage, storage)
        liveness = self.easel.painter.piece("liveness.html", dom.LIVENESS, at=true_until)
        return Greeting(f"{self._message(Swap(dom.LIVENESS, 'outerHTML', liveness.html))}{storage}", storage)

    def _about_the_storage(self) -> str:
        """Made when there is something new: every stream that is opened gets it."""
        trouble = self._access.trouble
        if not self._told or self._told[0] != trouble:
            # Morphed, so that what stays as it is is not read out again.
            storage = Swap.whole(self.easel.painter.piece("storage.html", dom.STORAGE))
            self._told = trouble, self._message(storage)
        return self._told[1]

    def _message(self, swap: Swap) -> str:
        template = self.easel.painter.environment.get_template("fragments/swaps.html")
        return template.render(swaps=[swap]).strip()

    async def _end_with_the_server(self) -> None:
        """One watcher for all streams: they end when the server is told to stop, and so do not keep it from
        stopping."""
        await EventSourceResponse._listen_for_exit_signal()
        subscribers = [each for channel in self._channels.values() for each in channel.subscribers]
        for subscriber in subscribers:
            subscriber.end()
        await asyncio.sleep(FAREWELL)
        for subscriber in subscribers:
            subscriber.drop()
