"""Bulk actions: what they are, and which jobs they leave alone, and why.

The preview counts by these rules, and the action itself asks them again for every single job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from app.queue.models import Kind
from app.queue.status import ACTIVE, FINAL, Status

DEFINITION = "bulk_action"
"""What the runs that carry bulk actions out are runs of. It has no file: nobody can start it but by a preview."""
REPORT = "bulk_report"
"""The step type that sums up what was done; that of the other step has the name of the definition."""
CHUNK = 100
"""Jobs of one work item."""


class BulkAction(StrEnum):
    """What can be done to many jobs at once."""

    RETRY = "retry"  # what failed runs again
    CANCEL = "cancel"  # what has not ended never starts, or is stopped
    ACKNOWLEDGE = "acknowledge"  # what failed is no open failure any more
    DELETE = "delete"  # runs that are over go, with all they own


class Outcome(StrEnum):
    """What became of a job of a frozen set."""

    DONE = "done"
    SKIPPED = "skipped"  # for a reason that is said
    FAILED = "failed"  # the action itself could not be carried out


class FrozenState(NamedTuple):
    """All of a job that the rules ask for, as it was when the set was frozen."""

    kind: Kind
    status: Status
    failed: bool
    is_open: bool


def refusal(action: BulkAction, job: FrozenState, asked: str) -> str | None:
    """Why the action leaves a job alone; None if it does not. `asked`: the status that the list was asked for: who
    looks at what was cancelled and presses retry means that."""
    match action:
        case BulkAction.RETRY if job.failed or (job.status is Status.CANCELLED and asked == Status.CANCELLED):
            return None
        case BulkAction.RETRY:
            return "it has not failed" if job.kind is Kind.WORKER else "nothing of it has failed"
        case BulkAction.CANCEL:
            return None if job.status in ACTIVE else "it had ended"
        case BulkAction.ACKNOWLEDGE if job.is_open:
            return None
        case BulkAction.ACKNOWLEDGE:
            return "its failures were acknowledged" if job.failed else "nothing of it has failed"
        case BulkAction.DELETE if job.kind is not Kind.MANAGER:
            return "only whole runs are deleted"
        case BulkAction.DELETE:
            return None if job.status in FINAL else "it is not over; cancel it first"


@dataclass(frozen=True, slots=True)
class Choice:
    """What an action would do to a frozen set: to how many jobs, and how many it leaves alone, by reason."""

    action: BulkAction
    acts: int
    skipped: tuple[tuple[str, int], ...]


def choices(numbers: Iterable[tuple[FrozenState, int]], asked: str) -> tuple[Choice, ...]:
    """Every action that makes sense for these jobs, of which so many are in each state."""
    states = list(numbers)
    kinds = {state.kind for state, _ in states}
    offered = [each for each in BulkAction if each is not BulkAction.DELETE or kinds == {Kind.MANAGER}]
    return tuple(_choice(action, states, asked) for action in offered)


def _choice(action: BulkAction, states: list[tuple[FrozenState, int]], asked: str) -> Choice:
    acts = 0
    skipped: dict[str, int] = {}
    for state, number in states:
        reason = refusal(action, state, asked)
        if reason is None:
            acts += number
        else:
            skipped[reason] = skipped.get(reason, 0) + number
    return Choice(action, acts, tuple(sorted(skipped.items())))
