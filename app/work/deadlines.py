"""The clock of the time limits of runs and steps. When one may be over the store is asked, which knows of pauses.

Nobody waits longer than the limit itself: a clock that was set back does not make it longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from app.queue.store.claim import Deadline

MOST_AT_ONCE = 86_400.0
"""Seconds that a timer waits at the most."""


class Deadlines:
    """One timer per run that has limits, for the earliest of them. `is_due` is called with a run's id, and with the
    time that has been reached, whatever the clock says."""

    def __init__(self, is_due: Callable[[int, float], None], clock: Callable[[], float] = time.time) -> None:
        self._is_due = is_due
        self._clock = clock
        self._timers: dict[int, tuple[Deadline, asyncio.TimerHandle | None]] = {}

    def watch(self, manager_id: int, deadline: Deadline | None) -> None:
        """The time of the run, or of a step of it, will be over then, unless that of another is earlier."""
        if deadline is None:
            return
        known, timer = self._timers.get(manager_id, (None, None))
        if timer is None or known is None or deadline.at < known.at:
            self._set(manager_id, deadline)

    def look_again(self, manager_id: int) -> None:
        """The run may have been resumed, or retried."""
        if manager_id in self._timers:
            self._set(manager_id, Deadline(self._clock(), 0.0))

    def asked(self, manager_id: int, following: Deadline | None) -> None:
        """The store has ended what was to be ended, and says when to ask again; None: when something changes."""
        if manager_id in self._timers:
            self.watch(manager_id, following)

    def forget(self, manager_id: int) -> None:
        """The run is over."""
        _, timer = self._timers.pop(manager_id, (None, None))
        if timer:
            timer.cancel()

    def close(self) -> None:
        for manager_id in tuple(self._timers):
            self.forget(manager_id)

    def _set(self, manager_id: int, deadline: Deadline) -> None:
        self.forget(manager_id)
        left = min(max(0.0, deadline.at - self._clock()), deadline.limit)
        reached = deadline.at if left <= MOST_AT_ONCE else 0.0
        # A little late rather than early: asked before the time, the store would end nothing.
        delay = min(left, MOST_AT_ONCE) + 0.001
        timer = asyncio.get_running_loop().call_later(delay, self._ring, manager_id, reached)
        self._timers[manager_id] = (deadline, timer)

    def _ring(self, manager_id: int, reached: float) -> None:
        self._timers[manager_id] = (self._timers[manager_id][0], None)
        self._is_due(manager_id, reached)
