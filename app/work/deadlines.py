"""The clock of the time limits of runs and steps. When one may be over the store is asked, which knows of pauses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

MOST_AT_ONCE = 86_400.0
"""Seconds that a timer waits at the most; the system's clock may be set meanwhile."""


class Deadlines:
    """One timer per run that has limits, for the earliest of them. `is_due` is called with a run's id."""

    def __init__(self, is_due: Callable[[int], None]) -> None:
        self._is_due = is_due
        self._timers: dict[int, tuple[float, asyncio.TimerHandle | None]] = {}

    def watch(self, manager_id: int, at: float | None) -> None:
        """The time of the run, or of a step of it, will be over then, unless that of another is earlier."""
        if at is None:
            return
        known, timer = self._timers.get(manager_id, (None, None))
        if timer is None or known is None or at < known:
            self._set(manager_id, at)

    def look_again(self, manager_id: int) -> None:
        """The run may have been resumed, or retried."""
        if manager_id in self._timers:
            self._set(manager_id, time.time())

    def asked(self, manager_id: int, following: float | None) -> None:
        """The store has ended what was to be ended, and says when to ask again; None: when something changes."""
        known = self._timers.get(manager_id)
        if known is not None and known[1] is None and following is not None:
            self._set(manager_id, following)

    def forget(self, manager_id: int) -> None:
        """The run is over."""
        _, timer = self._timers.pop(manager_id, (0.0, None))
        if timer:
            timer.cancel()

    def close(self) -> None:
        for manager_id in tuple(self._timers):
            self.forget(manager_id)

    def _set(self, manager_id: int, at: float) -> None:
        self.forget(manager_id)
        # A little late rather than early: asked before the time, the store would end nothing.
        delay = min(max(0.0, at - time.time()) + 0.001, MOST_AT_ONCE)
        timer = asyncio.get_running_loop().call_later(delay, self._ring, manager_id)
        self._timers[manager_id] = (at, timer)

    def _ring(self, manager_id: int) -> None:
        self._timers[manager_id] = (self._timers[manager_id][0], None)
        self._is_due(manager_id)
