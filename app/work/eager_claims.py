"""Eager claims: what is handed in while a runner has nothing to do is claimed in the transaction that adds it.

Otherwise it would wait for one more transaction, and where Procrastinate hands out the work for two, although nobody
else wants the place. A runner that knows of nothing to claim offers its room, and takes the offer back before it claims
anything by itself. An offer holds for one transaction.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from app.queue.changes import ItemsStopped, WorkAdded, WorkStopped
from app.queue.store.claim import ClaimedStep
from app.queue.store.eager import ClaimedEagerly, claim_eagerly, makes_claimable
from app.queue.writer import Commit, Followed, Transaction, Writer
from app.work.lanes import Lane, share_out
from app.work.lease import Lease
from app.work.step_type import StepType
from app.work.tickets_in_hand import Room


@dataclass(frozen=True, slots=True)
class _Offer:
    owner: str
    room: Room


class EagerClaims:
    """`begin` is called with what was claimed under the `lease`, when that is stored; `hear` then with what other
    processes have stopped of it meanwhile; `answered` whenever an offer was used, whatever came of it."""

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        step_types: Mapping[str, type[StepType[Any]]],
        begin: Callable[[ClaimedEagerly], None],
        hear: Callable[[Commit], None],
        answered: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._step_types = step_types
        self._begin = begin
        self._hear = hear
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._offers: deque[_Offer] = deque()
        """The one that stands: whichever thread takes it out has it."""
        self._settled = asyncio.Event()
        self._settled.set()
        self._meanwhile: list[Commit] = []
        """Commits of others, from the first that stops something on, since the offer was made."""
        writer.follow_up = self._follow_up

    def offer(self, room: Room) -> None:
        """Nothing is known that could be claimed, and there is room for so much. Only after `withdraw`."""
        self._meanwhile.clear()
        self._settled.clear()
        self._offers.append(_Offer(self._lease.name, room))

    def withdraw(self) -> bool:
        """No offer stands from now on. False: it is being used, and its answer is on the way."""
        if self._take():
            self._settled.set()
        return self._settled.is_set()

    async def close(self) -> None:
        """Takes the last offer back, or waits for what became of it."""
        self.withdraw()
        await self._settled.wait()

    def heard(self, commit: Commit) -> None:
        """Others are heard of as soon as they have committed, and that may be before our own commit is. What follows a
        stop, such as a retry, is to be heard after it again."""
        stops = (isinstance(change, WorkStopped | ItemsStopped) for change in commit.changes)
        if commit.by and not self._settled.is_set() and (self._meanwhile or any(stops)):
            self._meanwhile.append(commit)

    def _take(self) -> _Offer | None:
        try:
            return self._offers.pop()
        except IndexError:
            return None

    def _follow_up(self, transaction: Transaction) -> Followed | None:
        """In the thread of the writer."""
        looked_for = any(isinstance(change, WorkAdded) and not change.items for change in transaction.changes)
        if not (looked_for or makes_claimable(transaction)) or not (offer := self._take()):
            return None
        if looked_for:  # what may begin now and has waited goes first, and it takes a look at all of it
            return lambda commit: self._answer(offer.owner, None, commit)
        try:
            shares = partial(self._shares, offer.room)
            claimed = claim_eagerly(transaction, offer.owner, self._step_types, offer.room.slots, shares)
        except BaseException:
            self._loop.call_soon_threadsafe(self._answer, offer.owner, None, None)
            raise
        return lambda commit: self._answer(offer.owner, claimed, commit)

    def _answer(self, owner: str, claimed: ClaimedEagerly | None, commit: Commit | None) -> None:
        self._settled.set()
        try:
            if claimed and commit and owner == self._lease.name:
                self._begin(claimed)
                for heard in self._meanwhile:
                    if heard.revision > commit.revision:
                        self._hear(heard)
        finally:
            self._answered()

    def _shares(self, room: Room, steps: Sequence[ClaimedStep], added: Mapping[int, int]) -> dict[int, int]:
        """As many as there is room for: those of a higher priority first, and evenly among equals."""
        shares: dict[int, int] = {}
        slots, chunks = room.slots, room.chunks
        lanes = sorted((Lane(step, self._step_types[step.type]) for step in steps), key=lambda lane: -lane.priority)
        for _, equals in groupby(lanes, key=lambda lane: lane.priority):
            peers = list(equals)
            for lane, most in share_out([lane for lane in peers if not lane.on_loop], min(slots, chunks)):
                shares[lane.step.step_id] = share = min(most, added[lane.step.step_id])
                slots -= share
                chunks -= share
            for lane, most in share_out([lane for lane in peers if lane.on_loop], slots):
                shares[lane.step.step_id] = share = min(most, added[lane.step.step_id])
                slots -= share
        return shares
