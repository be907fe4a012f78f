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
    RETRY = "retry"  # as `fail`; a work item is tried 3 times, unless `retry` says how often


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
class Retry:
    """How often a work item is tried in all, and the seconds from the end of one attempt to the next: `first_delay`
    after the first, then `factor` times as long each time, up to `longest_delay`. `jitter`: the share of a delay of
    which a random part is left out, so that those that failed together do not come back together. Raises ValueError."""

    attempts: int = 1
    first_delay: float = 2.0
    factor: float = 2.0
    longest_delay: float = 600.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in RETRY_LIMITS.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise ValueError(f"retry: {name} must be from {least:,} to {most:,}, not {value!r}")

    @classmethod
    def by_default(cls, on_error: OnError) -> Retry:
        """What holds when nothing else is said."""
        return cls(attempts=3 if on_error is OnError.RETRY else 1)

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds from the end of `attempt` to the next. `chance`: a random number from 0 to 1."""
        full = min(self.longest_delay, self.first_delay * self.factor ** (attempt - 1))
        return full * (1 - self.jitter * chance)


RETRY_LIMITS: dict[str, tuple[float, float]] = {
    "attempts": (1, 100),
    "first_delay": (0, 86_400),
    "factor": (1, 100),
    "longest_delay": (0, 86_400),
    "jitter": (0, 1),
}
"""The least and the most that each field of Retry may be."""


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
    step_timeout: float | None = None
    """Seconds that the whole step may take, its planning included."""
    retry: Retry | None = None
    """None: what `on_error` says."""

    @property
    def retries(self) -> Retry:
        return self.retry or Retry.by_default(self.on_error)


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
