"""What has a slot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.queue.store.claim import ClaimedItem, ClaimedStep


@dataclass(frozen=True, slots=True)
class Occupied:
    """A slot that is taken. `pid`: of the worker process, None on the event loop. `waits`: another one is before it."""

    step: ClaimedStep
    item: ClaimedItem
    pid: int | None
    waits: bool


def attempts(running: Iterable[Occupied]) -> dict[int, int]:
    """The attempt that is being made of each work item: the last one, where another is only about to end."""
    return {each.item.id: each.item.attempt for each in sorted(running, key=lambda each: each.item.attempt)}
