"""Runs that are over, kept once they were read: almost nothing of them can still change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from app.queue.records import RunRecord

ROOM = 256
"""Runs. A page shows 20."""

State = tuple[object, ...]
"""All that may still change of a run that is over. The same state means the same record."""


class KeptRuns:
    """Keeps the records used last, each with the state it was read in. Several reader threads share it."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._runs: OrderedDict[int, tuple[State, RunRecord]] = OrderedDict()
        self._lock = Lock()

    def those_in(self, states: dict[int, State]) -> dict[int, RunRecord]:
        """The runs that are kept in just these states."""
        found = {}
        with self._lock:
            for manager_id, state in states.items():
                kept = self._runs.get(manager_id)
                if kept is not None and kept[0] == state:
                    self._runs.move_to_end(manager_id)
                    found[manager_id] = kept[1]
        return found

    def keep(self, runs: Iterable[tuple[State, RunRecord]]) -> None:
        with self._lock:
            for state, run in runs:
                self._runs[run.id] = (state, run)
                self._runs.move_to_end(run.id)
            while len(self._runs) > self._room:
                self._runs.popitem(last=False)
