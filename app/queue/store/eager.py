"""eager: of the work items that a transaction adds, whoever has room for them claims some before it is committed.

What is left is told to all as ever, and has its tickets. What was claimed is told to nobody: nobody is to look for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from app.queue.changes import Change, WorkAdded, distinct
from app.queue.store.claim import ClaimedItem, ClaimedStep, claim_of, steps_of
from app.queue.store.owners import OwnerLost, as_owner
from app.queue.writer import Transaction

Shares = Callable[[Sequence[ClaimedStep], Mapping[int, int]], Mapping[int, int]]
"""How many work items of which step are wanted, of these steps, to which so many were added (by id)."""


@dataclass(frozen=True, slots=True)
class ClaimedEagerly:
    """Work items that were claimed, and the steps that they are of."""

    items: list[ClaimedItem]
    steps: list[ClaimedStep]


def adds_work(transaction: Transaction) -> bool:
    """Whether the transaction, as far as it has come, adds work items that may begin at once."""
    return any(map(_adds_work, transaction.changes))


def claim_eagerly(transaction: Transaction, by: str, shares: Shares) -> ClaimedEagerly | None:
    """Claims of what the transaction adds. `by`: whose the work items are from now on; None if that owner was taken for
    dead."""
    try:
        return as_owner(transaction, by, _claim, by, shares)
    except OwnerLost:
        return None


def _claim(transaction: Transaction, by: str, shares: Shares) -> ClaimedEagerly:
    changes = distinct(transaction.changes)
    added = {change.step_id: change for change in changes if _adds_work(change)}
    transaction.changes[:] = [change for change in changes if not _adds_work(change)]
    steps = steps_of(transaction, list(added))
    wanted = shares(steps, {step_id: change.items for step_id, change in added.items()})
    claimed = claim_of(transaction, [step for step in steps if step.step_id in wanted], wanted, by)
    taken = Counter(item.step_id for item in claimed.items)
    left = (replace(change, items=change.items - taken[change.step_id]) for change in added.values())
    transaction.changes += [change for change in left if change.items]
    return ClaimedEagerly(claimed.items, [step for step in steps if taken[step.step_id]])


def _adds_work(change: Change) -> TypeGuard[WorkAdded]:
    """Not that there may be some, and not what is due later."""
    return isinstance(change, WorkAdded) and change.items > 0 and change.due_at == 0.0
