"""A run that is being followed, wherever it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from app.web.json_shapes import Line, Tree

TAIL = 8
"""How many of the newest log lines are shown."""

PACE = 0.1
"""Seconds between two looks at a run that keeps changing."""


class Running(Protocol):
    """One run: what becomes of it, and the way to cancel it."""

    def watch(self) -> AsyncIterator[tuple[Tree, Sequence[Line]]]:
        """The run and its newest log lines, now and whenever something has changed; ends with the run."""

    async def cancel(self) -> None: ...
