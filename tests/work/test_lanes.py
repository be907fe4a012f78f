"""Which step gets the next free place, and which class does its work."""

from __future__ import annotations

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
