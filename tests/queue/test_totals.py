"""Totals of a step: what its work has used in all, kept with it and told at its end."""

from __future__ import annotations

import math

import pytest

from app.queue.run_plan import StepPlan
from app.queue.snapshot import LogFilter
from app.queue.store.totals import add_to_totals
from app.queue.totals import MOST_NAMES, added, amounts, told
from tests.queue.conftest import Queue


async def test_what_is_used_adds_up_and_is_told_when_the_step_ends(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial"), StepPlan("two", "trial", depends=()))
    step_id, other = await queue.plan_all("a")
    await queue.write(add_to_totals, step_id, {"input_tokens": 1000, "cost": 0.25})
    await queue.write(add_to_totals, step_id, {"input_tokens": 500, "requests": 1})
    assert queue.run(manager_id).steps[0].totals == (("input_tokens", 1500), ("cost", 0.25), ("requests", 1))
    for each in (step_id, other):
        await queue.complete(*await queue.claim(each))
    lines = [line.message for line in queue.read(lambda snapshot: snapshot.log(LogFilter(manager_id), 100)).lines]
    assert "in all: input tokens 1,500, cost 0.25, requests 1" in lines
    assert len([line for line in lines if line.startswith("in all")]) == 1, "the other step has used nothing"


async def test_what_is_heard_after_the_end_still_counts_and_is_seen(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all("a")
    await queue.complete(*await queue.claim(step_id))
    assert queue.run(manager_id).steps[0].totals == ()
    await queue.write(add_to_totals, step_id, {"requests": 1})
    assert queue.run(manager_id).steps[0].totals == (("requests", 1),)
    await queue.write(add_to_totals, 4711, {"requests": 1})


def test_names_and_amounts_are_bounded() -> None:
    many = added({}, {str(number): 1 for number in range(1000)})
    assert len(many) == MOST_NAMES and added(many, {"0": 1, "new": 1}) == {**many, "0": 2}
    for odd in (math.nan, math.inf, "5", True, None):
        with pytest.raises(ValueError, match="is not an amount"):
            amounts({"x": odd})  # type: ignore[dict-item]
    assert told([("a_b", 1234567), ("c", 0.1 + 0.2)]) == "a b 1,234,567, c 0.3"
