"""Procrastinate at work: draws tickets as there is room for what they stand for, and hands them to the runner.

A ticket is drawn for a moment only: once the work items it stands for are claimed it is used up, and from then on the
lease is what guards them. What somebody has drawn who died before that is given back by the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from procrastinate.exceptions import ProcrastinateException

from app.queue.changes import MuchChanged, StepReleased, WorkAdded
from app.queue.clock import Clock
from app.queue.step_monitor import StepMonitor
from app.queue.store.workforce import note_not_offered
from app.queue.ticket_office import Order, Share, TicketOffice
from app.queue.tickets import CHUNK, ITEMS, LATER, PLAN, Ticket, queue_of
from app.queue.writer import Commit, WriteFailed, Writer
from app.work.lease import BEATS
from app.work.tickets_in_hand import TicketsInHand

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds after which tickets are looked for although nothing was heard: those that were given back, for one."""
AGAIN_AFTER = 0.5
"""Seconds until Procrastinate's worker is run again when it has ended."""
BEAT = 2.0
"""Seconds between two heartbeats of Procrastinate's worker, at most: whatever its lease and theirs, the others must not
take it for dead while it lives."""
STOPPING = 5.0
"""Seconds that giving back what was drawn may take at the end; then it is left to the others."""
UNTIL_STORED = 0.02
"""Seconds by which a ticket for later may fall due after what it says: its transaction takes that long."""
MOST_AT_ONCE = 50
"""Tickets in one draw."""
IN_HAND = 2_000
"""Tickets that Procrastinate may count as running; there is rarely room for as many."""
_PLANS, _LOOP, _PROCESS = "plans", "loop", "process"
_ITEMS = (_LOOP, _PROCESS)


@dataclass(slots=True)
class _Queues:
    """Queues that there is room for together. `hopeful`: there may be a ticket in them."""

    names: tuple[str, ...]
    hopeful: bool = True
    stood_for: float = CHUNK
    """Work items that the last tickets stood for, each; what goes beyond the room would be kept from others."""

    @property
    def may_have_some(self) -> bool:
        return self.hopeful and bool(self.names)


@dataclass(slots=True)
class TicketDrawer:
    """Draws tickets for `on_loop` and `in_process`, the step types that are offered, until its block ends. `url`: of
    the database, as libpq has it. `lease`: seconds of silence after which others give back what was drawn here."""

    url: str
    tickets: TicketsInHand
    monitor: StepMonitor
    writer: Writer
    on_loop: Collection[str]
    in_process: Collection[str]
    lease: float
    clock: Clock
    _queues: dict[str, _Queues] = field(init=False)
    _look: asyncio.Event = field(default_factory=asyncio.Event)
    _used_up: set[int] = field(default_factory=set)
    _in_process: dict[int, bool] = field(default_factory=dict)
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)
    _noting: asyncio.Task[None] | None = None
    _plans_first: bool = True
    _drawing: bool = False
    """Whether tickets for work items are on the way."""
    _look_at: float = 0.0
    """When tickets are looked for whatever was heard."""

    def __post_init__(self) -> None:
        self._queues = {
            _PLANS: _Queues(tuple(queue_of(PLAN, name) for name in (*self.on_loop, *self.in_process))),
            _LOOP: _Queues(tuple(queue_of(ITEMS, name) for name in self.on_loop)),
            _PROCESS: _Queues(tuple(queue_of(ITEMS, name) for name in self.in_process)),
        }
        self.tickets.look = self._look.set
        self.tickets.may_be_more = lambda: self._drawing or any(self._queues[kind].may_have_some for kind in _ITEMS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with self.monitor.listening(self._hear):
            task = asyncio.create_task(self._run(), name="engine")
            try:
                yield
            finally:
                self.tickets.close()
                for timer in self._timers:
                    timer.cancel()
                ending = [each for each in (task, self._noting) if each]
                for each in ending:
                    each.cancel()
                await asyncio.wait(ending, timeout=STOPPING)
                task.cancel()  # if it still waits for the database

    async def _run(self) -> None:
        """Procrastinate's worker ends when it loses the database, one way or another: then it is run again."""
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # it tells of every ticket; what matters we tell
        while not self.tickets.closed:
            try:
                await self._work()
            except (ProcrastinateException, OSError) as trouble:
                reason = str(trouble.__cause__ or trouble).strip()
                log.warning("tickets cannot be drawn for now", reason=reason)
            except Exception:
                log.exception("drawing tickets failed")
            if not self.tickets.closed:
                await asyncio.sleep(AGAIN_AFTER)

    async def _work(self) -> None:
        office = TicketOffice(self.url, self)
        app = office.app

        @app.task(name=ITEMS, queue="items", pass_context=True)
        async def items(context, step: int, most: int, again: bool = False) -> None:  # type: ignore[no-untyped-def]
            queue = self._queues[_LOOP]
            queue.stood_for += (most - queue.stood_for) / 4
            await self._hold(Ticket(context.job.id, step, most, again), context.job.queue)

        @app.task(name=PLAN, queue="plan", pass_context=True)
        async def plan(context, plan: int) -> None:  # type: ignore[no-untyped-def]
            await self._hold(Ticket(context.job.id, plan), context.job.queue)

        for queues in self._queues.values():
            queues.hopeful = True
        async with office.opened():
            rescuing = asyncio.create_task(self._rescue(office), name="rescue of tickets")
            try:
                await app.run_worker_async(
                    name="stepglass",
                    concurrency=IN_HAND,
                    listen_notify=False,  # what was committed is heard already, many at a time
                    install_signal_handlers=False,
                    update_heartbeat_interval=min(BEAT, self.lease / BEATS),
                    stalled_worker_timeout=self._dead_after,
                    shutdown_graceful_timeout=0,
                )
            finally:
                rescuing.cancel()
                await asyncio.gather(rescuing, return_exceptions=True)
                with suppress(ProcrastinateException):
                    await office.give_back_drawn()

    @property
    def _dead_after(self) -> float:
        return max(self.lease, BEATS * BEAT)

    async def _hold(self, ticket: Ticket, queue: str) -> None:
        self._in_process[ticket.id] = queue in self._queues[_PROCESS].names
        try:
            if await self.tickets.used_up(ticket):
                self._used_up.add(ticket.id)
        finally:
            del self._in_process[ticket.id]

    def is_used_up(self, ticket_id: int) -> bool:
        if ticket_id not in self._used_up:
            return False
        self._used_up.discard(ticket_id)
        return True

    async def order(self) -> Order | None:
        clock = asyncio.get_running_loop().time
        while not self.tickets.closed:
            self._look.clear()
            if clock() >= self._look_at:
                self._look_at = clock() + LOOK_EVERY
                for queues in self._queues.values():
                    queues.hopeful = True
            if order := self._order():
                self._drawing = order.a.kind in _ITEMS
                return order
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), max(0.0, self._look_at - clock()))
        return None

    def _order(self) -> Order | None:
        """Plans and work items take turns. Work items of both kinds are drawn together, so that one order holds for all
        of them."""
        room = self._room()
        turns = [(_PLANS,), _ITEMS]
        for turn in turns if self._plans_first else reversed(turns):
            kinds = [kind for kind in turn if self._queues[kind].may_have_some and room[kind] > 0]
            if kinds:
                self._plans_first = turn is not turns[0]
                for kind in kinds:
                    self._queues[kind].hopeful = False  # what is heard from now on counts
                return Order(*(Share(kind, self._queues[kind].names, room[kind]) for kind in kinds))
        return None

    def _room(self) -> dict[str, int]:
        """How many tickets of each kind to draw now."""
        room, held = self.tickets.room(), self.tickets.held
        items = sum(ticket.most for ticket in held if not self._in_process.get(ticket.id))
        chunks = sum(self._in_process.get(ticket.id, False) for ticket in held)
        # Those that no process is free for keep no slot from what could begin on the loop.
        slots = max(0, room.slots - items - min(chunks, room.chunks))
        for_loop = slots / self._queues[_LOOP].stood_for
        return {
            _PLANS: MOST_AT_ONCE,
            _LOOP: min(MOST_AT_ONCE, int(for_loop) or int(slots > 0)),
            _PROCESS: min(MOST_AT_ONCE, slots, max(0, room.chunks - chunks)),
        }

    def drew(self, order: Order, queues: Sequence[str]) -> None:
        self._drawing = False
        for share in order.shares:
            if len(queues) == order.most or sum(queue in share.queues for queue in queues) == share.number:
                self._queues[share.kind].hopeful = True
        if not queues:
            self.tickets.wake()  # nothing waits: what comes may be claimed at once

    def _hear(self, commit: Commit) -> None:
        for change in commit.changes:
            match change:
                case StepReleased():
                    self._hope(_PLANS)
                    self._note_not_offered()
                case WorkAdded(_, due_at) if (delay := due_at - self.clock.now()) > 0:
                    self._hope_later(delay + LATER + UNTIL_STORED)
                case WorkAdded(items=number):
                    self._hope(*_ITEMS)
                    if number:
                        self._note_not_offered()
                case MuchChanged():
                    self._hope(*self._queues)
                    self._note_not_offered()

    def _hope(self, *kinds: str) -> None:
        for kind in kinds:
            self._queues[kind].hopeful = True
        self._look.set()

    def _hope_later(self, delay: float) -> None:
        def now() -> None:
            self._timers.discard(timer)
            self._hope(*_ITEMS)

        timer = asyncio.get_running_loop().call_later(delay, now)
        self._timers.add(timer)

    def _note_not_offered(self) -> None:
        """Soon, for all that are released meanwhile."""
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note(), name="steps that nobody offers")

    async def _note(self) -> None:
        await asyncio.sleep(LOOK_EVERY)
        with suppress(WriteFailed):
            await self.writer(note_not_offered, {*self.on_loop, *self.in_process})

    async def _rescue(self, office: TicketOffice) -> None:
        while True:
            await asyncio.sleep(self.lease / BEATS)
            try:
                tickets = await office.rescue(self._dead_after)
            except (ProcrastinateException, OSError) as trouble:
                log.warning("tickets of the dead could not be looked for", reason=str(trouble.__cause__ or trouble))
                continue
            if tickets:
                log.warning("tickets were given back that a silent process had drawn", tickets=tickets)
                self._hope(*self._queues)
