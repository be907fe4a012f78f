"""Work made of nothing, the same again for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.steps.test_job_generator import TestJobGenerator, TestJobGeneratorSettings

from .conftest import MakeStage, RecordingContext

QUICK = {"log_delay_ms": 0}


async def made(stage: MakeStage, attempt: int = 1, **settings: Any) -> tuple[dict[str, Any], RecordingContext]:
    on_stage = stage(TestJobGenerator, **QUICK, **settings)
    on_stage.context.attempt = attempt
    return await on_stage.run(), on_stage.context


def failed(results: dict[str, Any]) -> set[str]:
    return {name for name, result in results.items() if isinstance(result, RuntimeError)}


async def test_each_worker_logs_its_lines(stage: MakeStage) -> None:
    results, context = await made(stage, worker_count=3, log_count=4)
    assert results == {f"worker {number}": {"lines": 4} for number in (1, 2, 3)}
    assert [message.partition(":")[0] for _, message in context.lines[:4]] == [f"line {n} of 4" for n in (1, 2, 3, 4)]
    assert len(context.lines) == 12


async def test_most_lines_are_info_some_warn_few_error(stage: MakeStage) -> None:
    _, context = await made(stage, worker_count=1, log_count=5000)
    shares = [len(context.messages(level)) / 5000 for level in ("info", "warn", "error")]
    assert shares == pytest.approx([0.80, 0.15, 0.05], abs=0.02)


async def test_children_have_children_in_the_same_step_down_to_the_depth(stage: MakeStage) -> None:
    results, _ = await made(stage, worker_count=3, log_count=1, child_count=2, recursion_depth=2)
    assert len(results) == 3 + 6 + 12
    assert {"worker 1", "worker 1.2", "worker 1.2.1"} <= set(results)
    assert "worker 1.2.1.1" not in results


async def test_the_same_seed_gives_the_same_lines_and_failures(stage: MakeStage) -> None:
    settings = {"worker_count": 50, "log_count": 3, "failure_rate": 0.3, "seed": 7}
    first, said = await made(stage, **settings)
    second, said_again = await made(stage, **settings)
    assert failed(first) == failed(second) and said.lines == said_again.lines
    assert 5 < len(failed(first)) < 25
    other, _ = await made(stage, **{**settings, "seed": 8})
    assert failed(other) != failed(first)


async def test_another_attempt_draws_anew(stage: MakeStage) -> None:
    settings = {"worker_count": 50, "log_count": 1, "failure_rate": 0.5}
    first, _ = await made(stage, **settings)
    again, _ = await made(stage, attempt=2, **settings)
    assert failed(first) != failed(again)


@pytest.mark.parametrize(("rate", "failures"), [(0.0, 0), (1.0, 20)])
async def test_none_fail_at_zero_and_all_at_one_after_all_their_lines(
    stage: MakeStage, rate: float, failures: int
) -> None:
    results, context = await made(stage, worker_count=20, log_count=2, failure_rate=rate)
    assert len(failed(results)) == failures
    assert len(context.lines) == 40


async def test_cancelled_work_stops_without_failing(stage: MakeStage) -> None:
    on_stage = stage(TestJobGenerator, **QUICK, worker_count=1, failure_rate=1.0)
    on_stage.context.cancelled = True
    assert await on_stage.run() == {"worker 1": {"lines": 0}}


@pytest.mark.parametrize("wrong", [{"failure_rate": 1.5}, {"worker_count": -1}, {"log_delay_ms": -1}, {"seed": "x"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TestJobGeneratorSettings.model_validate(wrong)
