"""Changes: the committed facts that somebody may want to see or act on. A closed list, named in the past tense."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from app.queue.status import Status


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A run started, ended, was put off, or goes on."""

    manager_id: int
    status: Status


@dataclass(frozen=True, slots=True)
class RunDeleted:
    """A run is gone from all lists and numbers, with everything it owned. `status`: how it had ended."""

    manager_id: int
    status: Status


@dataclass(frozen=True, slots=True)
class StepChanged:
    """A step, or the numbers of its work items or documents, changed."""

    manager_id: int
    step_id: int
    step_name: str
    status: Status


@dataclass(frozen=True, slots=True)
class LogGrew:
    """A step's log has new lines."""

    manager_id: int
    step_id: int
    step_name: str
    status: Status


@dataclass(frozen=True, slots=True)
class DocumentsChanged:
    """Documents were made, changed or removed, by whatever step."""

    ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class PageTextSaved:
    """The page is about to write a definition; the digest of what it says."""

    digest: str


@dataclass(frozen=True, slots=True)
class DefinitionsChanged:
    """A definition was switched on or off, or the files of the definitions are others."""


@dataclass(frozen=True, slots=True)
class StepReleased:
    """A step waits for nothing but somebody to plan it."""

    step_id: int


@dataclass(frozen=True, slots=True)
class WorkAdded:
    """A step has work items to be claimed, the earliest at `due_at` (0: at once). `items`: how many have been added;
    0: nobody has counted, the step is to be looked at again. `goes_on`: as its turn came, and others are to follow."""

    step_id: int
    due_at: float
    items: int = field(default=0, compare=False)
    goes_on: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class WorkStopped:
    """Work items or whole steps ended while somebody may still be at work on them: whoever it is must stop."""

    step_id: int
    worker_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class ScheduleChanged:
    """A definition's schedule was set, paused or resumed, or one of its ticks was dealt with."""

    definition: str


@dataclass(frozen=True, slots=True)
class ItemsStopped:
    """Work items ended while somebody may still be at work on them, and their step goes on."""

    step_id: int
    worker_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class OwnersChanged:
    """A process began or ended to work, or its heartbeat is missed, or there again."""


@dataclass(frozen=True, slots=True)
class PriorityChanged:
    """A run goes before others, or after them."""

    manager_id: int
    priority: int


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """Something was paused or resumed. `scope`: as it is stored (see `pauses`)."""

    scope: str


@dataclass(frozen=True, slots=True)
class MuchChanged:
    """Other processes have changed something, and it is not known what."""


Change = (
    RunChanged
    | RunDeleted
    | StepChanged
    | LogGrew
    | DocumentsChanged
    | DefinitionsChanged
    | PageTextSaved
    | ScheduleChanged
    | PauseChanged
    | OwnersChanged
    | PriorityChanged
    | StepReleased
    | WorkAdded
    | WorkStopped
    | ItemsStopped
    | MuchChanged
)


def distinct(changes: Iterable[Change]) -> list[Change]:
    """The changes of one transaction without repetitions, in the order of their last mention."""
    last: dict[Change, Change] = {}
    for change in changes:
        earlier = last.pop(change, None)
        if isinstance(change, WorkAdded) and isinstance(earlier, WorkAdded):
            change = _together(earlier, change)
        last[change] = change
    return list(last)


def _together(one: WorkAdded, other: WorkAdded) -> WorkAdded:
    items = one.items + other.items if one.items and other.items else 0
    return replace(other, items=items, goes_on=one.goes_on or other.goes_on)
