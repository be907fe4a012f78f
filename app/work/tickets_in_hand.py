"""The tickets in hand: what a runner may claim where Procrastinate hands out the work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.queue.database import Database
from app.queue.step_monitor import StepMonitor
from app.queue.store import plan
from app.queue.store.claim import Claimed, claim
from app.queue.store.plan import ClaimedPlan
from app.queue.tickets import Ticket, claim_by_tickets, claim_plans_by_tickets
from app.queue.writer import Writer
from app.work.lease import Lease
from app.work.step_type import StepType


@dataclass(frozen=True, slots=True)
class Room:
    """What could be begun now: work items in all, and chunks of them in processes."""

    slots: int
    chunks: int


class TicketsInHand:
    """Between who draws tickets and the runner, which claims by them."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Ticket, asyncio.Future[bool]]] = {}
        self._closed = False
        self.wake: Callable[[], None] = lambda: None
        """Called when there is a ticket to claim by; set by the runner."""
        self.room: Callable[[], Room] = lambda: Room(0, 0)
        """Set by the runner."""
        self.look: Callable[[], None] = lambda: None
        """Called when there may be room for more; set by who draws."""
        self.may_be_more: Callable[[], bool] = lambda: True
        """Whether there may be tickets for work items that nobody has drawn; set by who draws."""

    async def used_up(self, ticket: Ticket) -> bool:
        """Holds a ticket until it is used up; False if that does not come to pass."""
        if self._closed:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._held[ticket.id] = ticket, future
        self.wake()
        try:
            return await future
        finally:
            self._held.pop(ticket.id, None)

    def close(self) -> None:
        """Nothing more is claimed: what is in hand goes back."""
        self._closed = True
        for _, future in self._held.values():
            if not future.done():
                future.set_result(False)
        self.look()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def held(self) -> list[Ticket]:
        return [ticket for ticket, future in self._held.values() if not future.done()]

    @property
    def plans(self) -> list[Ticket]:
        """Those for planning."""
        return [ticket for ticket in self.held if not ticket.most]

    def items(self) -> dict[int, int]:
        """How many work items of which step may be claimed."""
        numbers: dict[int, int] = {}
        for ticket in self.held:
            if ticket.most:
                numbers[ticket.step_id] = numbers.get(ticket.step_id, 0) + ticket.most
        return numbers

    async def claim(self, lease: Lease, wanted: Mapping[int, int]) -> Claimed:
        held: dict[int, list[Ticket]] = {}
        for ticket in self.held:
            if ticket.most:
                held.setdefault(ticket.step_id, []).append(ticket)
        claimed, used = await lease.write(claim_by_tickets, wanted, lease.name, held)
        self._use_up(used)
        return claimed

    async def claim_plans(self, lease: Lease) -> list[ClaimedPlan]:
        tickets = self.plans
        plans = await lease.write(claim_plans_by_tickets, lease.name, tickets)
        self._use_up([ticket.id for ticket in tickets])
        return plans

    def _use_up(self, ids: list[int]) -> None:
        for ticket_id in ids:
            _, future = self._held.get(ticket_id, (None, None))
            if future and not future.done():
                future.set_result(True)


def claim_items(tickets: TicketsInHand | None, lease: Lease, wanted: Mapping[int, int]) -> Awaitable[Claimed]:
    """Claims what is wanted (see `claim`). Raises OwnerLost or WriteFailed: then the tickets are as they were."""
    return tickets.claim(lease, wanted) if tickets else lease.write(claim, wanted, lease.name)


def claim_plans(
    tickets: TicketsInHand | None, lease: Lease, most: int, offered: Collection[str]
) -> Awaitable[list[ClaimedPlan]]:
    """Claims the steps to plan that there are tickets for; without tickets, whichever wait. Raises as `claim_items`."""
    return tickets.claim_plans(lease) if tickets else lease.write(plan.claim_plans, most, lease.name, offered)


@asynccontextmanager
async def drawing_tickets(
    tickets: TicketsInHand | None,
    database: Database,
    monitor: StepMonitor,
    writer: Writer,
    step_types: Mapping[str, type[StepType[Any]]],
    lease: float,
) -> AsyncIterator[None]:
    """Until the end of the block, Procrastinate draws tickets for these step types; without `tickets`, it is not even
    loaded."""
    if tickets is None:
        yield
        return
    from app.work.ticket_drawer import TicketDrawer

    on_loop = {name for name, each in step_types.items() if inspect.iscoroutinefunction(each.run)}
    in_process = step_types.keys() - on_loop
    drawer = TicketDrawer(
        database.libpq_url, tickets, monitor, writer, sorted(on_loop), sorted(in_process), lease, database.clock
    )
    async with drawer.running():
        yield
