"""A view that is still to be found, since the database cannot be read just now.

Its stream can be opened all the same: the page hears what is wrong with the storage, and goes on once that is over.
"""

from __future__ import annotations

from collections.abc import Callable

from app.queue.changes import Change
from app.queue.snapshot import Snapshot
from app.web.screens import Easel, Screen, View


class SoughtView:
    """Stands for the view of that address until it is found."""

    def __init__(self, url: str, find: Callable[[Snapshot], View]) -> None:
        self.url = url
        self._find = find
        self._found: View | None = None

    def concerns(self, change: Change) -> bool:
        return self._found is None or self._found.concerns(change)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        """Raises UnknownJob or UnknownDocument if there is no such view."""
        if self._found is None:
            self._found = self._find(snapshot)
        return self._found.paint(easel, snapshot)
