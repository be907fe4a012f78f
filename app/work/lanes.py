"""Lanes: the steps that have work, and how much of each to claim next.

One lane per running step. Free capacity is shared out among the lanes, so that a run of 100,000 items does not keep a
later run of 3 waiting: among runs of one priority, the lanes that have waited longest come first. Those of a higher
priority come before all others, which get what these leave.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import groupby
from typing import Any

import structlog

from app.queue.store.claim import ClaimedItem, ClaimedStep
from app.work.step_type import Settings, StepType

log = structlog.get_logger(__name__)

CHUNK_SECONDS = 0.05
"""A process gets about this much work at a time: long enough to make the way worth it, too short to wait for."""
MAX_CHUNK = 50


class Lane:
    """One running step: its code, its settings, and whether it is known to have items that can be claimed."""

    def __init__(self, step: ClaimedStep, step_type: type[StepType[Any]] | None) -> None:
        self.step = step
        self.type = step_type and _variant(step_type, step.settings)
        """None if it is unknown here: then the work items wait for somebody who offers it."""
        self.on_loop = self.type is not None and inspect.iscoroutinefunction(self.type.run)
        self.priority = step.priority
        self.limited = False
        """Whether a limit kept its last claim from taking more."""
        self.has_work = True
        self.due_at: float | None = None
        """When the next item is due, in seconds of the steady clock: the other one may be set meanwhile."""
        self.served = 0
        """When it got a place last, by the count of `Lanes`: who has waited longest comes first."""
        self.served_before = 0
        self.filled = 0
        """Counts the times that work was added: tells a claim that found nothing whether that is still so."""
        self.allowed: int | None = None
        """How many items may be claimed where tickets say so; None: as many as there are."""
        self._pace: float | None = None
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """Raises ValueError if the step type does not accept the settings."""
        if self._settings is None:
            assert self.type is not None
            self._settings = self.type.settings_type.model_validate(self.step.settings)
        return self._settings

    @property
    def timeout(self) -> float | None:
        """Seconds that one work item may take."""
        return self.step.timeout or (self.type.timeout if self.type else None)

    @property
    def chunk(self) -> int:
        """How many items a process gets at a time: one, until they are known to be quick."""
        return 1 if self._pace is None else max(1, min(MAX_CHUNK, int(CHUNK_SECONDS / max(self._pace, 1e-6))))

    def took(self, seconds: float, items: int) -> None:
        """Learns how long items take: quickly that they are slow, slowly that they are quick."""
        pace = seconds / max(items, 1)
        self._pace = pace if self._pace is None or pace > self._pace else 0.7 * self._pace + 0.3 * pace

    def can_be_claimed(self, now: float) -> bool:
        if self.allowed is not None:
            return self.type is not None and (self.allowed > 0 or (self.limited and self.has_work))
        return self.type is not None and (self.has_work or (self.due_at is not None and self.due_at <= now))


class Lanes:
    """The lanes by step id. `by_tickets`: only what `allow` allows is claimed."""

    def __init__(
        self,
        step_types: Mapping[str, type[StepType[Any]]],
        clock: Callable[[], float] = time.time,
        by_tickets: bool = False,
    ) -> None:
        self._step_types = step_types
        self._clock = clock
        self._by_tickets = by_tickets
        self._lanes: dict[int, Lane] = {}
        self._unknown: set[int] = set()
        self._served = 0
        self._due: asyncio.TimerHandle | None = None
        self._priorities: dict[int, int] = {}
        """Of runs of which it has changed."""

    def get(self, step_id: int) -> Lane | None:
        return self._lanes.get(step_id)

    def step_type(self, name: str) -> type[StepType[Any]] | None:
        return self._step_types.get(name)

    def open(self, step: ClaimedStep, is_empty: bool = False) -> None:
        """`is_empty`: it is known to have no items yet, and needs no asking before it is filled."""
        if step.step_id not in self._lanes:
            lane = self._lanes[step.step_id] = Lane(step, self.step_type(step.type))
            lane.priority = self._priorities.get(step.manager_id, step.priority)
            lane.allowed = 0 if self._by_tickets else None
            lane.has_work = not is_empty or step.step_id in self._unknown
        self._unknown.discard(step.step_id)

    def close(self, step_id: int) -> None:
        self._lanes.pop(step_id, None)
        self._unknown.discard(step_id)

    def fill(self, step_id: int, due_at: float) -> None:
        """The step has new items, the earliest due at `due_at`."""
        lane = self._lanes.get(step_id)
        if lane is None:
            self._unknown.add(step_id)
            return
        if self._by_tickets and due_at > self._clock():
            return  # there will be a ticket
        lane.filled += 1
        if due_at <= self._clock():
            lane.has_work = True
        else:
            due = self._steady(due_at)
            lane.due_at = min(due, lane.due_at or due)

    def ask_for(self, step_ids: Iterable[int]) -> None:
        """There is something to be claimed of these: a lane is to be opened for each that is running."""
        self._unknown.update(step_id for step_id in step_ids if step_id not in self._lanes)

    def allow(self, numbers: Mapping[int, int]) -> None:
        """So many items may be claimed of each step, and none of the others."""
        for step_id, lane in self._lanes.items():
            lane.allowed = numbers.get(step_id, 0)

    def drained(self, step_id: int, due_at: float | None, mark: int) -> None:
        """A claim took all that was due; the next is due at `due_at`. Not so if work was added since `mark`."""
        lane = self.get(step_id)
        if lane is not None and lane.filled == mark:
            lane.has_work = False
            lane.due_at = None if due_at is None else self._steady(due_at)

    def answered(self, step_id: int, got_some: bool, limited: bool) -> None:
        """A claim was made: whom a limit left with nothing keeps the place in the row that it had."""
        if lane := self.get(step_id):
            lane.limited = limited
            if limited and not got_some:
                lane.served = lane.served_before

    def prioritise(self, manager_id: int, priority: int) -> None:
        """The run goes before others, or after them."""
        self._priorities[manager_id] = priority
        for lane in self._lanes.values():
            if lane.step.manager_id == manager_id:
                lane.priority = priority

    def forget_run(self, manager_id: int) -> None:
        self._priorities.pop(manager_id, None)

    def unknown(self) -> list[int]:
        """Steps that have work but whose lane is not open yet."""
        return sorted(self._unknown)

    def forget_unknown(self, step_ids: Iterable[int]) -> None:
        """These have been asked for: either they have a lane now, or they are gone."""
        self._unknown.difference_update(step_ids)

    def marks(self, step_ids: Iterable[int]) -> dict[int, int]:
        return {step_id: self._lanes[step_id].filled for step_id in step_ids}

    def wanted(self, free_slots: int, free_chunks: int, most_in_chunk: int) -> dict[int, int]:
        """How many items to claim of which step, the first to be served first: never more than `free_slots` in all, and
        for processes no more than `free_chunks` chunks of at most `most_in_chunk`. 0 of those that a limit kept waiting
        and that have heard of it again, with a ticket or without: they are to find out why they wait now."""
        now = time.monotonic()
        ready = sorted(
            (lane for lane in self._lanes.values() if lane.can_be_claimed(now)),
            key=lambda lane: (-lane.priority, lane.served),
        )
        wanted = {lane.step.step_id: 0 for lane in ready}
        for _, equals in groupby(ready, key=lambda lane: lane.priority):
            peers = [lane for lane in equals if lane.allowed != 0]
            for lane, chunks in share_out([lane for lane in peers if not lane.on_loop], free_chunks):
                most = min(free_slots, chunks * min(lane.chunk, most_in_chunk))
                if most := most if lane.allowed is None else min(most, lane.allowed):
                    wanted[lane.step.step_id] = most
                    free_slots -= most
                    free_chunks -= chunks
            for lane, most in share_out([lane for lane in peers if lane.on_loop], free_slots):
                share = most if lane.allowed is None else min(most, lane.allowed)
                wanted[lane.step.step_id] = share
                free_slots -= share
        for lane in ready:
            if wanted[lane.step.step_id]:
                self._serve(lane)
            elif not lane.limited:
                del wanted[lane.step.step_id]
        return wanted

    def _serve(self, lane: Lane) -> None:
        self._served += 1
        lane.served_before, lane.served = lane.served, self._served

    def next_due(self) -> float | None:
        """Of all of them, in times to come; seconds of the steady clock. What is due already waits for something else,
        of which we are told."""
        now = time.monotonic()
        dues = (lane.due_at for lane in self._lanes.values() if lane.due_at is not None and lane.type is not None)
        return min((due_at for due_at in dues if due_at > now), default=None)

    def wake_when_due(self, wake: Callable[[], None]) -> None:
        """Calls `wake` when the next work item is due. Must be called on the event loop."""
        self.wake_no_more()
        due_at = self.next_due()
        if due_at is not None:
            # A little late rather than early: woken before the time, one would look, find nothing, and be woken again.
            delay = max(0.0, due_at - time.monotonic()) + 0.001
            self._due = asyncio.get_running_loop().call_later(delay, wake)

    def wake_no_more(self) -> None:
        if self._due:
            self._due.cancel()

    def close_all_but(self, step_ids: Container[int]) -> None:
        """The others have ended."""
        for step_id in [each for each in self._lanes if each not in step_ids]:
            self.close(step_id)

    def _steady(self, at: float) -> float:
        return time.monotonic() + at - self._clock()


def by_step(items: Iterable[ClaimedItem]) -> list[tuple[int, list[ClaimedItem]]]:
    """The work items of each step (by id), in their order."""
    by_step: dict[int, list[ClaimedItem]] = {}
    for item in items:
        by_step.setdefault(item.step_id, []).append(item)
    return list(by_step.items())


def _variant(step_type: type[StepType[Any]], settings: Mapping[str, Any]) -> type[StepType[Any]]:
    """The class that does the work. Settings that are not accepted any more are told by each work item, not here."""
    try:
        return step_type.variant(step_type.settings_type.model_validate(settings))
    except ValueError:
        return step_type
    except Exception:  # the code of a step type
        log.exception("a step type could not say which variant of it does the work", step_type=step_type.name)
        return step_type


def share_out(lanes: list[Lane], free: int) -> list[tuple[Lane, int]]:
    """Shares `free` places out as evenly as it goes; the first lanes, those that have waited longest, get what is left
    over. Places that get free one by one would else go to the oldest step alone, for as long as it has work."""
    if not lanes or free <= 0:
        return []
    each, left = divmod(free, len(lanes))
    shares = ((lane, each + (1 if number < left else 0)) for number, lane in enumerate(lanes))
    return [(lane, share) for lane, share in shares if share]
