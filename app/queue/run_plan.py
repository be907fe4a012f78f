"""What a run is made of, settled before it starts: the definition with every parameter put in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.queue.limits import UNLIMITED as NO_LIMITS
from app.queue.limits import Limits


class OnError(StrEnum):
    """What a failed step means to its run."""

    FAIL = "fail"  # the run fails; steps that depend on it are skipped
    CONTINUE = "continue"  # the step stays failed, the steps after it run all the same
    RETRY = "retry"  # a failed work item is tried again, up to 3 attempts in all; then as `fail`


class FailureAction(StrEnum):
    """What happens when more work items have failed than the tolerance allows."""

    STOP_ALL = "stop_all"  # counted over the run: the step and the run fail, everything else is cancelled
    CONTINUE = "continue"  # counted per step: that step fails and its rest is cancelled; `on_error` decides the rest
    MARK_WARNING = "mark_warning"  # counted per step: nothing stops, the step's sentence says so


UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many failed work items are borne. `max_child_failures`: 0 = none, -1 = any number."""

    max_child_failures: int = UNLIMITED
    failure_action: FailureAction = FailureAction.STOP_ALL

    def exceeded_by(self, failures: int) -> bool:
        return self.max_child_failures != UNLIMITED and failures > self.max_child_failures


@dataclass(frozen=True, slots=True)
class StepPlan:
    name: str
    type: str
    description: str = ""
    depends: tuple[str, ...] = ()
    on_error: OnError = OnError.FAIL
    always_run: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    """Seconds that one work item may take."""
    limits: Limits = NO_LIMITS
    """Of its work items, in all runs of the definition together."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    definition: str
    """The definition's id."""
    name: str
    steps: tuple[StepPlan, ...]
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    tolerance: Tolerance = Tolerance()
    timeout: float | None = None
    """Seconds that the whole run may take."""
    priority: int = 0
    """Of two runs that have work, the one with the higher priority goes first."""
    limits: Limits = NO_LIMITS
    """Of the work items of all runs of the definition together."""
    concurrency: int = 1
    """How many runs of the definition may be in progress at once."""
    text: str = ""
    """The definition file as it was when the run started."""
    rerun_of: int | None = None
    """The run that this one repeats."""
    taken: tuple[str, ...] = ()
    """Steps that do not run, since their results are taken from `rerun_of`."""
