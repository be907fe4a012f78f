"""What has a slot."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.store.claim import ClaimedItem, ClaimedStep


@dataclass(frozen=True, slots=True)
class Occupied:
    """A slot that is taken. `pid`: of the worker process, None on the event loop. `waits`: another one is before it."""

    step: ClaimedStep
    item: ClaimedItem
    pid: int | None
    waits: bool
