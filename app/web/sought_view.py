"""A view that is still to be found, since the database cannot be read just now.

Its stream can be opened all the same: the page hears what is wrong with the storage, and goes on once that is over. Who
asks has had the page before: what is not found then has been deleted.
"""

from __future__ import annotations

from collections.abc import Callable

from app.queue.changes import Change
from app.queue.snapshot import Snapshot, UnknownDocument, UnknownJob
from app.web.screens import Easel, Screen, View, paint_gone


class SoughtView:
    """Stands for the view of that address until it is found."""

    def __init__(self, url: str, find: Callable[[Snapshot], View]) -> None:
        self.url = url
        self._find = find
        self._found: View | None = None

    def concerns(self, change: Change) -> bool:
        return self._found is None or self._found.concerns(change)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        if self._found is None:
            try:
                self._found = self._find(snapshot)
            except (UnknownJob, UnknownDocument) as unknown:
                return paint_gone(easel, self, snapshot, isinstance(unknown, UnknownDocument))
        return self._found.paint(easel, snapshot)
