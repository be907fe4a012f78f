"""A channel: one view, its latest paint, and everybody who looks at it.

The first change is painted at once. Changes that follow within `INTERVAL` of the start of a paint are painted
together, and the last of them always is. A paint is read, rendered and compared in a reader thread; the result is
encoded once and handed to every subscriber.

While the database cannot be read the subscribers stay: they hear of that, get no sign of life, and all that they have
missed once it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time_ns

import structlog

from app.queue.database import ReadFailed
from app.queue.snapshot import Snapshot, UnknownDocument, UnknownJob
from app.queue.storage import Storage
from app.web.live.frames import Ring, frame
from app.web.live.subscriber import Subscriber
from app.web.live.turns import Painted, Turns
from app.web.pieces import Swap, diff
from app.web.screens import Easel, Screen, View, paint_gone

INTERVAL = 0.1
"""Seconds from one paint to the next, when each begins in time."""
LONGEST_PAUSE = 5.0
"""Seconds, at most, until a view is tried again that cannot be read, though the database can."""
LATE = 1.0
"""Seconds after which a change that is not painted yet keeps its page from being called live."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is sent besides paints. `storage`: what is wrong with the storage, if anything; `alive`: that, with the sign
    of life if there is one."""

    alive: str
    storage: str


class Channel:
    """Made by the hub; lives on the event loop. `reading`: whether the database can be read."""

    def __init__(
        self,
        view: View,
        easel: Easel,
        turns: Turns,
        reading: Storage,
        greeting: Callable[[], Greeting],
        painted: Screen | None,
    ) -> None:
        self.view = view
        self.subscribers: set[Subscriber] = set()
        self._easel = easel
        self._turns = turns
        self._reading = reading
        self._greeting = greeting
        self._ring = Ring(f"{time_ns():x}")
        self._screen = painted
        self._whole: bytes | None = None
        self._heard = 1
        self._shown = 0
        """How much had been heard when the latest paint began."""
        self._dirty_since = monotonic()
        self._quiet = False
        """Whether the subscribers were last greeted without a sign of life."""
        self._painting: asyncio.Task[None] | None = None

    def hear(self) -> None:
        """Something that concerns the view was committed."""
        if not self._dirty:
            self._dirty_since = monotonic()
        self._heard += 1
        if self.subscribers:
            self._wake()

    def join(
        self, subscriber: Subscriber, greeting: Greeting, last_id: str | None, since: int | None, heard: int
    ) -> None:
        """Adds a subscriber and queues what brings it to the present: nothing, what it missed, or the whole view.

        `since` is the revision of the page that opened the stream, `heard` that of the latest commit heard of.
        """
        self.subscribers.add(subscriber)
        missed = self._ring.after(last_id)
        if last_id is None and since is not None and self._shows_the_same(since, heard):
            missed = []
        if missed is not None:
            subscriber.synchronised = True
            for made in missed:
                subscriber.put(made)
        elif not self._dirty and self._screen:
            self._synchronise(subscriber, self._screen)
        self.greet(subscriber, greeting)
        if self._dirty:
            self._wake()

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def beat(self, greeting: Greeting) -> None:
        """Tells every subscriber that the stream lives, and cuts those that have stopped reading."""
        for subscriber in tuple(self.subscribers):
            subscriber.beat()
        self.greet_all(greeting)

    def greet_all(self, greeting: Greeting) -> None:
        for subscriber in tuple(self.subscribers):
            self.greet(subscriber, greeting)

    def greet(self, subscriber: Subscriber, greeting: Greeting) -> None:
        # The id says how far a reader is; one that is still to get the whole view must not claim to be anywhere. Nor
        # is there a sign of life for it, or for anybody while a change is late: it would be one of old numbers.
        if not subscriber.synchronised:
            subscriber.put(frame(greeting.storage, None))
            return
        told = greeting.storage if self._late else greeting.alive
        self._quiet = told == greeting.storage
        subscriber.put(frame(told, self._ring.last_id))

    @property
    def _dirty(self) -> bool:
        """Whether something may have changed that was not painted yet."""
        return self._shown < self._heard

    @property
    def _late(self) -> bool:
        """Whether that has been so for too long, or nobody knows for how long it will be."""
        return self._dirty and (self._reading.stops_work or monotonic() - self._dirty_since > LATE)

    def close(self) -> None:
        if self._painting:
            self._painting.cancel()

    def _shows_the_same(self, since: int, heard: int) -> bool:
        """Whether a page painted at revision `since` shows what the channel's latest paint shows.

        It does if both were painted at one revision, or if nothing that concerns the view came between. A page may have
        read a commit that was not heard of yet: that one may still concern the view, and its lines be appended twice.
        """
        if self._screen is None:
            return False
        return since == self._screen.revision or (not self._dirty and self._screen.revision < since <= heard)

    def _wake(self) -> None:
        if self._painting is None:
            self._painting = asyncio.get_running_loop().create_task(self._paint_until_clean())

    async def _paint_until_clean(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            due = loop.time()
            while self._dirty and self.subscribers:
                await self._repaint_when_it_can_be_read()
                due = max(due + INTERVAL, loop.time())  # a paint that began late does not make the next one late
                await asyncio.sleep(due - loop.time())
        except Exception:
            # Whoever is cut comes back, and asks for the truth again; a fault that stays is answered there.
            log.exception("painting failed", view=self.view.url)
            for subscriber in tuple(self.subscribers):
                subscriber.drop()
        finally:
            self._painting = None

    async def _repaint_when_it_can_be_read(self) -> None:
        with suppress(ReadFailed):
            return await self._repaint()
        pause = 0.0
        with self._reading.owing():
            while self.subscribers:
                await self._reading.another_try()
                await asyncio.sleep(pause)
                with suppress(ReadFailed):
                    return await self._repaint()
                pause = min(2 * pause + INTERVAL, LONGEST_PAUSE)  # others can be read: it is this view that cannot

    async def _repaint(self) -> None:
        before, heard, began = self._screen, 0, 0.0

        def begin() -> None:
            nonlocal heard, began
            heard, began = self._heard, monotonic()

        screen, message = await self._turns.paint(begin, lambda snapshot: self._paint(snapshot, before))
        self._screen, self._whole, self._shown, self._dirty_since = screen, None, heard, began
        if message:
            made = self._ring.add(message)
            for subscriber in tuple(self.subscribers):
                if subscriber.synchronised:
                    subscriber.put(made)
        new = [subscriber for subscriber in self.subscribers if not subscriber.synchronised]
        for subscriber in new:
            self._synchronise(subscriber, screen)
        if to_greet := tuple(self.subscribers) if self._quiet else new:
            self._show_life(to_greet)

    def _show_life(self, subscribers: Iterable[Subscriber]) -> None:
        """To those that were greeted without a sign of life before this paint."""
        greeting = self._greeting()
        self._quiet = greeting.alive == greeting.storage
        if not self._quiet:
            made = frame(greeting.alive, self._ring.last_id)
            for subscriber in subscribers:
                subscriber.put(made)

    def _paint(self, snapshot: Snapshot, before: Screen | None) -> Painted:
        """In a reader thread: the view as it is now, and the message that brings a page from `before` to it."""
        try:
            screen = self.view.paint(self._easel, snapshot)
        except (UnknownJob, UnknownDocument) as unknown:
            if before is None:  # nobody was ever shown it
                raise
            screen = paint_gone(self._easel, self.view, snapshot, isinstance(unknown, UnknownDocument))
        return screen, self._message(list(_differences(before, screen))) if before else ""

    def _message(self, swaps: list[Swap]) -> str:
        template = self._easel.painter.environment.get_template("fragments/swaps.html")
        return template.render(swaps=swaps).strip() if swaps else ""

    def _synchronise(self, subscriber: Subscriber, screen: Screen) -> None:
        if self._whole is None:
            self._whole = frame(self._message([Swap.whole(piece) for piece in screen.pieces]), self._ring.last_id)
        subscriber.put(self._whole)
        subscriber.synchronised = True


def _differences(before: Screen, after: Screen) -> Iterator[Swap]:
    for old, new in zip(before.pieces, after.pieces, strict=True):
        yield from diff(old, new)
