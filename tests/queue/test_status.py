"""The status rules, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.queue.run_plan import RETRY_LIMITS, UNLIMITED, FailureAction, OnError, Retry, Tolerance
from app.queue.status import (
    FINAL,
    Status,
    StepState,
    Verdict,
    attempt_verdict,
    manager_verdict,
    start_verdict,
    step_verdict,
    tolerance_verdict,
    waiting_reason,
)

ANY = Tolerance()


def counts(**numbers: int) -> dict[Status, int]:
    return {Status(name): number for name, number in numbers.items()}


@pytest.mark.parametrize(
    ("planned", "of", "status", "reason"),
    [
        (True, counts(), "completed", "nothing to do"),
        (True, counts(completed=1), "completed", "the only work item succeeded"),
        (True, counts(completed=1204), "completed", "all 1,204 succeeded"),
        (True, counts(completed=18, failed=2), "completed", "2 of 20 failed"),
        (True, counts(failed=1), "failed", "the only work item failed"),
        (True, counts(failed=20), "failed", "all 20 work items failed"),
        (True, counts(cancelled=3), "cancelled", "3 work items cancelled"),
        (True, counts(cancelled=3, completed=1), "completed", "3 of 4 cancelled"),
        (True, counts(cancelled=3, failed=1), "completed", "1 of 4 failed, 3 cancelled"),
    ],
)
def test_a_step_ends_by_its_counts(planned: bool, of: dict[Status, int], status: str, reason: str) -> None:
    assert step_verdict(planned, of, ANY) == Verdict(Status(status), reason)


@pytest.mark.parametrize(
    ("planned", "of"),
    [(False, counts()), (False, counts(completed=3)), (True, counts(pending=1)), (True, counts(running=1, failed=9))],
)
def test_a_step_goes_on_until_it_is_planned_and_all_its_items_are_final(planned: bool, of: dict[Status, int]) -> None:
    assert step_verdict(planned, of, ANY) is None


def test_a_warning_is_part_of_the_sentence() -> None:
    tolerance = Tolerance(1, FailureAction.MARK_WARNING)
    verdict = step_verdict(True, counts(completed=18, failed=2), tolerance)
    assert verdict == Verdict(Status.COMPLETED, "2 of 20 failed, more than the 1 tolerated")


@pytest.mark.parametrize(
    ("action", "allowed", "in_step", "in_run", "reason"),
    [
        ("stop_all", 2, 1, 3, "3 failed, tolerance 2"),
        ("stop_all", 2, 1, 2, None),
        ("stop_all", 0, 1, 1, "1 failed, tolerance 0"),
        ("continue", 2, 2, 9, None),
        ("continue", 2, 3, 9, "3 failed, tolerance 2"),
        ("mark_warning", 0, 9, 9, None),
        ("stop_all", UNLIMITED, 99, 99, None),
    ],
)
def test_failures_are_borne_up_to_the_tolerance(
    action: str, allowed: int, in_step: int, in_run: int, reason: str | None
) -> None:
    verdict = tolerance_verdict(Tolerance(allowed, FailureAction(action)), in_step, in_run)
    assert verdict == (Verdict(Status.FAILED, reason) if reason else None)


def step(name: str, status: str, *depends: str, on_error: str = "fail", always_run: bool = False) -> StepState:
    return StepState(name, Status(status), depends, OnError(on_error), always_run)


@pytest.mark.parametrize(
    ("before", "status", "reason"),
    [
        (step("a", "completed"), "running", "planning work items"),
        (step("a", "failed"), "skipped", "step a failed"),
        (step("a", "failed", on_error="retry"), "skipped", "step a failed"),
        (step("a", "failed", on_error="continue"), "running", "planning work items"),
        (step("a", "skipped"), "skipped", "step a was skipped"),
        (step("a", "cancelled"), "skipped", "step a was cancelled"),
    ],
)
def test_what_becomes_of_a_step_depends_on_the_one_before(before: StepState, status: str, reason: str) -> None:
    assert start_verdict(step("b", "pending", "a"), {"a": before}) == Verdict(Status(status), reason)


def test_a_step_waits_for_all_it_depends_on_and_says_for_which() -> None:
    others = {"a": step("a", "running"), "b": step("b", "completed"), "c": step("c", "pending")}
    waiting = step("d", "pending", "a", "b", "c")
    assert start_verdict(waiting, others) is None
    assert waiting_reason(waiting, others) == "waiting for steps a, c"


def test_a_step_that_always_runs_runs_after_a_failure() -> None:
    verdict = start_verdict(step("b", "pending", "a", always_run=True), {"a": step("a", "failed")})
    assert verdict is not None
    assert verdict.status is Status.RUNNING


@pytest.mark.parametrize(
    ("steps", "status", "reason"),
    [
        ([step("a", "completed")], "completed", "the only step completed"),
        ([step("a", "completed"), step("b", "failed")], "failed", "step b failed"),
        ([step("a", "failed", on_error="continue"), step("b", "completed")], "completed", None),
        ([step("a", "failed"), step("b", "skipped")], "failed", "step a failed"),
        ([step("a", "completed"), step("b", "skipped")], "completed", "1 skipped of 2 steps"),
    ],
)
def test_a_run_ends_by_its_steps(steps: list[StepState], status: str, reason: str | None) -> None:
    verdict = manager_verdict(steps)
    assert verdict is not None
    assert verdict.status == status
    assert reason is None or verdict.reason == reason


def test_a_failed_item_is_tried_again_only_if_the_step_says_so_and_it_may_help() -> None:
    once, thrice = Retry.by_default(OnError.FAIL), Retry.by_default(OnError.RETRY)
    assert attempt_verdict(once, 1, False, 100.0, 0.5) is None
    assert attempt_verdict(thrice, 1, True, 100.0, 0.5) is None
    assert attempt_verdict(thrice, 3, False, 100.0, 0.5) is None
    again = attempt_verdict(thrice, 1, False, 100.0, 0.5)
    assert again == (Verdict(Status.PENDING, "retries after 2 s, attempt 2 of 3"), 102.0)


def test_delays_grow_up_to_the_longest_and_jitter_leaves_a_random_part_out() -> None:
    retry = Retry(attempts=6, first_delay=3.0, factor=4.0, longest_delay=60.0)
    assert [retry.delay(attempt, 0.7) for attempt in range(1, 6)] == [3.0, 12.0, 48.0, 60.0, 60.0]
    half = replace(retry, jitter=0.5)
    assert [half.delay(2, chance) for chance in (0.0, 0.5, 1.0)] == [12.0, 9.0, 6.0]


def test_who_asks_to_wait_longer_is_obeyed_for_up_to_a_day() -> None:
    def after(asked: float) -> tuple[str, float]:
        again = attempt_verdict(Retry(attempts=2, first_delay=5.0), 1, False, 0.0, 0.0, asked)
        assert again is not None
        return again[0].reason, again[1]

    assert after(4.0) == ("retries after 5 s, attempt 2 of 2", 5.0)
    assert after(90.0) == ("retries after 90 s as it was asked to, attempt 2 of 2", 90.0)
    assert after(1e9) == ("retries after 86,400 s as it was asked to, attempt 2 of 2", 86_400.0)


@pytest.mark.parametrize("field", RETRY_LIMITS)
def test_a_value_beyond_its_limits_is_refused_with_its_name(field: str) -> None:
    for value in (RETRY_LIMITS[field][0] - 1, RETRY_LIMITS[field][1] + 1):
        with pytest.raises(ValueError, match=f"retry: {field} must be from"):
            Retry(**{field: value})


@given(st.dictionaries(st.sampled_from(list(Status)), st.integers(0, 5)), st.integers(-1, 5))
def test_a_step_verdict_is_final_and_explained(of: dict[Status, int], allowed: int) -> None:
    verdict = step_verdict(True, of, Tolerance(allowed, FailureAction.MARK_WARNING))
    active = of.get(Status.PENDING, 0) + of.get(Status.RUNNING, 0)
    assert (verdict is None) == bool(active)
    assert verdict is None or (verdict.status in FINAL and verdict.reason)
