"""Which step gets the next free place, and which class does its work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.queue.store.claim import ClaimedStep
from app.work.lanes import Lane, Lanes
from app.work.step_type import Settings, StepType
from tests.work.trial_steps import InProcess, OnLoop


def claimed(step_id: int, type: str, **settings: Any) -> ClaimedStep:
    return ClaimedStep(step_id, 1, f"step {step_id}", type, settings, {}, None, None)


@pytest.mark.parametrize("type", ["on_loop", "in_process"])
def test_places_that_get_free_one_by_one_go_round(type: str) -> None:
    """A step that waits for hours keeps nobody else waiting: it is one of those who take turns."""
    lanes = Lanes({each.name: each for each in (OnLoop, InProcess)})
    for step_id in (1, 2, 3):
        lanes.open(claimed(step_id, type))
    served = [tuple(lanes.wanted(1, 1, 1)) for _ in range(6)]
    assert served == [(1,), (2,), (3,)] * 2
    lanes.open(claimed(4, type))
    assert tuple(lanes.wanted(1, 1, 1)) == (4,), "who has come anew has waited longest"


def test_places_are_shared_out_evenly() -> None:
    lanes = Lanes({"on_loop": OnLoop})
    for step_id in (1, 2, 3):
        lanes.open(claimed(step_id, "on_loop"))
    assert sorted(lanes.wanted(8, 0, 1).values()) == [2, 3, 3]


def test_a_step_without_items_is_not_asked_for_any_before_it_has_some() -> None:
    lanes = Lanes({"on_loop": OnLoop})
    lanes.fill(2, 0.0)  # heard of before it was opened
    for step_id in (1, 2):
        lanes.open(claimed(step_id, "on_loop"), is_empty=True)
    assert lanes.wanted(4, 0, 1) == {2: 4}
    lanes.fill(1, 0.0)
    assert lanes.wanted(4, 0, 1) == {1: 2, 2: 2}


def test_a_higher_priority_comes_first_and_the_others_get_the_rest() -> None:
    lanes = Lanes({each.name: each for each in (OnLoop, InProcess)})
    for step_id, type in enumerate(["on_loop", "in_process", "on_loop"], start=1):
        lanes.open(claimed(step_id, type))
    lanes.open(replace(claimed(4, "on_loop"), manager_id=2, priority=3))
    assert lanes.wanted(8, 4, 1) == {4: 8}
    lanes.drained(4, None, 0)
    assert lanes.wanted(8, 4, 1) == {1: 2, 2: 4, 3: 2}
    lanes.prioritise(1, 4)
    lanes.fill(4, 0.0)
    assert lanes.wanted(1, 0, 1) == {1: 1}
    lanes.open(replace(claimed(5, "on_loop"), priority=0))
    assert lanes.wanted(1, 0, 1) == {5: 1}, "of a run whose priority has changed"


def test_whom_a_limit_left_with_nothing_is_the_next() -> None:
    lanes = Lanes({"on_loop": OnLoop})
    for step_id in (1, 2):
        lanes.open(claimed(step_id, "on_loop"))
    assert list(lanes.wanted(4, 0, 1)) == [1, 2]
    for step_id, got_some in ((1, True), (2, False)):
        lanes.answered(step_id, got_some, limited=True)
        lanes.drained(step_id, None, 0)
    assert lanes.wanted(4, 0, 1) == {}
    for step_id in (1, 2):
        lanes.fill(step_id, 0.0)
    assert list(lanes.wanted(4, 0, 1)) == [2, 1]
    assert lanes.wanted(0, 0, 1) == {2: 0, 1: 0}, "they find out why they wait"


def test_by_tickets_whom_a_limit_kept_waiting_asks_why_when_it_hears_of_work_and_no_other_does() -> None:
    lanes = Lanes({"on_loop": OnLoop}, lambda: 100.0, by_tickets=True)
    for step_id in (1, 2, 3):
        lanes.open(claimed(step_id, "on_loop"))
    lanes.allow({1: 9, 2: 1})
    assert lanes.wanted(4, 0, 1) == {1: 2, 2: 1}
    lanes.answered(2, False, limited=True)
    lanes.drained(2, None, 0)
    lanes.allow({1: 9})
    lanes.fill(2, 101.0)  # it will have a ticket by then
    lanes.fill(3, 0.0)
    assert lanes.wanted(4, 0, 1) == {1: 4}, "whoever has no ticket takes no share"
    lanes.fill(2, 0.0)
    assert lanes.wanted(4, 0, 1) == {1: 4, 2: 0}


def test_processes_and_the_loop_take_turns_under_one_limit() -> None:
    lanes = Lanes({each.name: each for each in (OnLoop, InProcess)})
    lanes.open(claimed(1, "in_process"))
    lanes.open(claimed(2, "on_loop"))
    served = []
    for _ in range(4):
        first, *others = lanes.wanted(4, 2, 1)
        served.append(first)
        lanes.answered(first, True, limited=True)
        for each in others:
            lanes.answered(each, False, limited=True)
    assert served == [1, 2, 1, 2]


def test_nothing_is_claimed_of_a_step_type_that_is_unknown_here() -> None:
    lanes = Lanes({"on_loop": OnLoop})
    lanes.open(claimed(1, "nowhere"))
    assert lanes.wanted(4, 4, 1) == {}


class Either(Settings):
    waits: bool = False


class Computing(StepType[Either]):
    name = "either"
    summary = "Waits, or computes."
    settings_type = Either

    @classmethod
    def variant(cls, settings: Either) -> type[StepType[Either]]:
        return Waiting if settings.waits else cls

    def plan(self, context):  # type: ignore[no-untyped-def]
        return []

    def run(self, context, item):  # type: ignore[no-untyped-def]
        return None


class Waiting(Computing):
    async def run(self, context, item):  # type: ignore[no-untyped-def]
        return None


def test_settings_may_choose_the_class_that_does_the_work() -> None:
    waits, computes = (Lane(claimed(1, "either", waits=each), Computing) for each in (True, False))
    assert (waits.type, waits.on_loop) == (Waiting, True)
    assert (computes.type, computes.on_loop) == (Computing, False)
    outdated = Lane(claimed(1, "either", gone=True), Computing)
    assert outdated.type is Computing, "its work items will say what is wrong"
