"""The view of the server itself. It is painted anew when the queue changes; from the database it reads only what people
did to what is no run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from app.queue.changes import (
    Change,
    DefinitionsChanged,
    PauseChanged,
    RunChanged,
    RunDeleted,
    ScheduleChanged,
    StepChanged,
)
from app.queue.snapshot import Snapshot
from app.web.painting.actions import paint_people
from app.web.screens import Easel, Screen, compose
from app.web.system_facts import SystemFacts

_PARTS = ("server", "writing", "slots", "processes", "scheduling", "step_types", "settings")

MOST_ACTIONS = 20
_BY_PEOPLE = DefinitionsChanged | PauseChanged
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class SystemView:
    """The server that answers. `facts`: where to ask."""

    facts: Callable[[], SystemFacts] = field(compare=False, repr=False)

    @property
    def url(self) -> str:
        return "/system"

    def concerns(self, change: Change) -> bool:
        return isinstance(change, RunChanged | RunDeleted | StepChanged | ScheduleChanged | _BY_PEOPLE)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        facts = self.facts()
        children = {
            part: easel.painter.piece(
                f"system_{part}.html", f"system-{part.replace('_', '-')}", facts=facts, size=size, epoch=epoch
            )
            for part in _PARTS
        }
        children["people"] = paint_people(easel.painter, snapshot.actions_of_no_run(None, MOST_ACTIONS), on_card=True)
        return compose(easel.painter, self, snapshot, "System", "system", children)


def size(number: int | None) -> str:
    """12.3 MiB"""
    if number is None:
        return "unknown"
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number:,} bytes" if unit == 0 else f"{value:,.1f} {_UNITS[unit]}"


def epoch(at: datetime) -> float:
    """As the filters for times want it."""
    return at.timestamp()
