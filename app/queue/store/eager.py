"""eager: of what a transaction makes claimable, whoever has room for it claims some before it is committed.

What is left is told to all as ever, and has its tickets. What was claimed is told to nobody: nobody is to look for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from app.queue.changes import Change, StepReleased, WorkAdded, distinct
from app.queue.store.claim import ClaimedItem, ClaimedStep, claim_of, steps_of
from app.queue.store.owners import OwnerLost, as_owner
from app.queue.store.plan import ClaimedPlan, claim_plans
from app.queue.writer import Transaction

Shares = Callable[[Sequence[ClaimedStep], Mapping[int, int]], Mapping[int, int]]
"""How many work items of which step are wanted, of these steps, to which so many were added (by id)."""


@dataclass(frozen=True, slots=True)
class ClaimedEagerly:
    """What was claimed: steps to plan, and work items with the steps that they are of."""

    plans: list[ClaimedPlan]
    items: list[ClaimedItem]
    steps: list[ClaimedStep]


def makes_claimable(transaction: Transaction) -> bool:
    """Whether there is, as far as the transaction has come, something in it to claim."""
    return any(isinstance(change, StepReleased) or _adds_work(change) for change in transaction.changes)


def claim_eagerly(
    transaction: Transaction, by: str, offered: Collection[str], most_plans: int, shares: Shares
) -> ClaimedEagerly | None:
    """Claims of what the transaction makes claimable. `by`: whose it is from now on; None if that owner was taken for
    dead. `offered`: the step types that the owner works on."""
    try:
        return as_owner(transaction, by, _claim, by, offered, most_plans, shares)
    except OwnerLost:
        return None


def _claim(
    transaction: Transaction, by: str, offered: Collection[str], most_plans: int, shares: Shares
) -> ClaimedEagerly:
    changes = distinct(transaction.changes)
    released = {change.step_id for change in changes if isinstance(change, StepReleased)}
    added = {change.step_id: change.items for change in changes if _adds_work(change)}
    transaction.changes.clear()

    plans = claim_plans(transaction, most_plans, by, offered, only=released) if released else []
    # Of what is limited others may have waited for longer: whoever claims as ever sees them all.
    steps = [step for step in steps_of(transaction, list(added)) if step.type in offered and not step.limits]
    wanted = shares(steps, added)
    items = claim_of(transaction, [step for step in steps if step.step_id in wanted], wanted, by).items

    planned, taken = {plan.step.step_id for plan in plans}, Counter(item.step_id for item in items)
    left = [left for change in changes if (left := _left(change, planned, taken))]
    transaction.changes[:] = left + transaction.changes
    return ClaimedEagerly(plans, items, [step for step in steps if taken[step.step_id]])


def _left(change: Change, planned: Collection[int], taken: Mapping[int, int]) -> Change | None:
    """What there is to tell of a change, when some of what it made claimable is claimed."""
    if isinstance(change, StepReleased):
        return None if change.step_id in planned else change
    if _adds_work(change):
        number = change.items - taken.get(change.step_id, 0)
        return replace(change, items=number) if number else None
    return change


def _adds_work(change: Change) -> TypeGuard[WorkAdded]:
    """Not that there may be some, and not what is due later."""
    return isinstance(change, WorkAdded) and change.items > 0 and change.due_at == 0.0
