"""The status rules: pure functions from what is known to what is so, each with the sentence that says why.

::

    work item   pending -> running -> completed | failed | cancelled        (failed, cancelled -> pending by a retry)
    step        pending -> running -> completed | failed | cancelled        or pending -> skipped | cancelled
    run         running -> completed | failed | cancelled

A final status never changes again, with one named exception: a retry. It makes failed work items pending, and their
step and run go on with them; what was cancelled or skipped because of the failure is evaluated again.

Nothing else decides a status; the store writes what these functions say, in the transaction that caused it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from app.queue.run_plan import FailureAction, OnError, Retry, Tolerance

MAX_ATTEMPTS = 3
"""How often a work item may be lost with the server that ran it, whatever its step says of attempts."""
MOST_ASKED = 86_400.0
"""Seconds of a wait that was asked for which are granted: a day."""


class Status(StrEnum):
    PENDING = "pending"  # waits: for a slot, for another step, or for its next attempt
    RUNNING = "running"  # at work
    COMPLETED = "completed"  # done; a step or run may have borne some failures
    FAILED = "failed"  # did not do what it was for
    CANCELLED = "cancelled"  # stopped before it was done, by a person or because others failed
    SKIPPED = "skipped"  # steps only: never started, because of what happened before it


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED})
ACTIVE = (Status.PENDING, Status.RUNNING)

Counts = Mapping[Status, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status and the sentence that explains it."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class StepState:
    """What the rules need to know of a step."""

    name: str
    status: Status
    depends: Sequence[str] = ()
    on_error: OnError = OnError.FAIL
    always_run: bool = False
    taken_from: int | None = None
    """The run whose results stand for this step, in a run from a later step on."""


def step_verdict(planned: bool, counts: Counts, tolerance: Tolerance) -> Verdict | None:
    """How a running step ends, or None while it goes on: planning must be done and every work item final."""
    if not planned or counts.get(Status.PENDING, 0) or counts.get(Status.RUNNING, 0):
        return None
    failed, cancelled = counts.get(Status.FAILED, 0), counts.get(Status.CANCELLED, 0)
    completed = counts.get(Status.COMPLETED, 0)
    total = completed + failed + cancelled
    if total == 0:
        return Verdict(Status.COMPLETED, "nothing to do")
    if failed == total:
        return Verdict(Status.FAILED, "the only work item failed" if total == 1 else f"all {total:,} work items failed")
    if cancelled and not completed and not failed:
        return Verdict(Status.CANCELLED, f"{_items(cancelled)} cancelled")
    return Verdict(Status.COMPLETED, _completed_sentence(total, failed, cancelled, tolerance))


def _completed_sentence(total: int, failed: int, cancelled: int, tolerance: Tolerance) -> str:
    if not failed and not cancelled:
        return "the only work item succeeded" if total == 1 else f"all {total:,} succeeded"
    parts = [f"{failed:,} of {total:,} failed"] if failed else []
    if cancelled:
        parts.append(f"{cancelled:,} of {total:,} cancelled" if not failed else f"{cancelled:,} cancelled")
    if tolerance.exceeded_by(failed):
        parts.append(f"more than the {tolerance.max_child_failures:,} tolerated")
    return ", ".join(parts)


def tolerance_verdict(tolerance: Tolerance, step_failures: int, run_failures: int) -> Verdict | None:
    """The end of a step whose failures are beyond the tolerance, or None while they are borne.

    `stop_all` counts the failures of the whole run, the other actions those of the step.
    """
    failures = run_failures if tolerance.failure_action is FailureAction.STOP_ALL else step_failures
    if tolerance.failure_action is FailureAction.MARK_WARNING or not tolerance.exceeded_by(failures):
        return None
    return Verdict(Status.FAILED, f"{failures:,} failed, tolerance {tolerance.max_child_failures:,}")


def start_verdict(step: StepState, others: Mapping[str, StepState]) -> Verdict | None:
    """What becomes of a pending step: running, skipped, or None while it waits for the steps it depends on."""
    needed = [others[name] for name in step.depends]
    if any(other.status not in FINAL for other in needed):
        return None
    if not step.always_run:
        for other in needed:
            if why := _why_not_after(other):
                return Verdict(Status.SKIPPED, why)
    return Verdict(Status.RUNNING, "planning work items")


def _why_not_after(other: StepState) -> str | None:
    if other.taken_from is not None:
        return None
    if other.status is Status.FAILED and other.on_error is not OnError.CONTINUE:
        return f"step {other.name} failed"
    if other.status in (Status.SKIPPED, Status.CANCELLED):
        return f"step {other.name} was {other.status}"
    return None


def starts_after_all(steps: Mapping[str, StepState]) -> set[str]:
    """The pending steps that will start, or may, when what is running has ended: no step before them forbids it."""
    states = dict(steps)
    while True:
        pending = [state for state in states.values() if state.status is Status.PENDING]
        skipped = [state for state in pending if (verdict := start_verdict(state, states)) and _skips(verdict)]
        if not skipped:
            return {state.name for state in pending}
        states |= {state.name: replace(state, status=Status.SKIPPED) for state in skipped}


def _skips(verdict: Verdict) -> bool:
    return verdict.status is Status.SKIPPED


def waiting_reason(step: StepState, others: Mapping[str, StepState]) -> str:
    """Why a pending step has not started."""
    names = [name for name in step.depends if others[name].status not in FINAL]
    return f"waiting for step{'s' if len(names) > 1 else ''} {', '.join(names)}"


def manager_verdict(steps: Sequence[StepState]) -> Verdict | None:
    """How a run ends, or None while any of its steps is not final. A step's own status is never touched by it."""
    if any(step.status not in FINAL for step in steps):
        return None
    failed = [step for step in steps if step.status is Status.FAILED]
    fatal = [step.name for step in failed if step.on_error is not OnError.CONTINUE]
    if fatal:
        return Verdict(Status.FAILED, f"step{'s' if len(fatal) > 1 else ''} {', '.join(fatal)} failed")
    if failed:
        return Verdict(Status.COMPLETED, f"{len(failed)} of {len(steps)} steps failed and did not stop it")
    of_its_own = [step for step in steps if step.taken_from is None]
    cancelled, skipped = _count(of_its_own, Status.CANCELLED), _count(of_its_own, Status.SKIPPED)
    if cancelled and cancelled + skipped == len(of_its_own):
        return Verdict(
            Status.CANCELLED, "its only step was cancelled" if len(steps) == 1 else "its steps were cancelled"
        )
    odd = [f"{number} {status}" for number, status in ((skipped, "skipped"), (cancelled, "cancelled")) if number]
    if taken := [step.taken_from for step in steps if step.taken_from is not None]:
        odd.append(f"{len(taken)} taken from run {taken[0]}")
    if odd:
        return Verdict(Status.COMPLETED, f"{', '.join(odd)} of {len(steps)} steps")
    return Verdict(
        Status.COMPLETED, "the only step completed" if len(steps) == 1 else f"all {len(steps)} steps completed"
    )


def attempt_verdict(
    retry: Retry, attempt: int, permanent: bool, now: float, chance: float, asked: float | None = None
) -> tuple[Verdict, float] | None:
    """The next attempt of a failed work item and when it is due, or None if it stays failed. `chance`: a random number
    from 0 to 1. `asked`: seconds that whoever turned the work down asked to wait."""
    if permanent or attempt >= retry.attempts:
        return None
    delay, why = retry.delay(attempt, chance), ""
    if asked is not None and asked > delay:
        delay, why = min(asked, MOST_ASKED), " as it was asked to"
    return Verdict(
        Status.PENDING, f"retries after {_seconds(delay)}{why}, attempt {attempt + 1} of {retry.attempts}"
    ), now + delay


def stopped_reason(why: str) -> str:
    """What is said of a work item that was cancelled because its step or run ended. Those that a person cancelled with
    their run said "cancelled: cancelled by ann" once, and rows that are there still do; no retry asks for these."""
    return why if why.startswith("cancelled") else f"cancelled: {why}"


def _seconds(delay: float) -> str:
    return f"{delay:,.0f} s" if delay >= 100 else f"{delay:.3g} s"


def _count(steps: Sequence[StepState], status: Status) -> int:
    return sum(step.status is status for step in steps)


def _items(number: int) -> str:
    return f"{number:,} work item{'s' if number != 1 else ''}"
