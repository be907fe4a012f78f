"""The view of the server itself. It is painted anew when the queue changes; from the database it reads only who works,
who hands out the work, and what people did to what is no run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from app.queue.changes import (
    Change,
    DefinitionsChanged,
    OwnersChanged,
    PauseChanged,
    RunChanged,
    RunDeleted,
    ScheduleChanged,
    StepChanged,
)
from app.queue.owner_reading import limits_that_hold
from app.queue.snapshot import Snapshot
from app.queue.whereabouts import told
from app.web.painting.actions import paint_people
from app.web.screens import Easel, Screen, compose
from app.web.system_facts import SystemFacts

_PARTS = ("server", "writing", "slots", "processes", "scheduling", "step_types", "settings")

MOST_ACTIONS = 20
_BY_PEOPLE = DefinitionsChanged | PauseChanged
MOST_ENDED = 5
"""Processes that have ended which are still shown."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class SystemView:
    """The server that answers. `facts`: where to ask."""

    facts: Callable[[], SystemFacts] = field(compare=False, repr=False)

    @property
    def url(self) -> str:
        return "/system"

    def concerns(self, change: Change) -> bool:
        by_work = RunChanged | RunDeleted | StepChanged | ScheduleChanged | OwnersChanged
        return isinstance(change, by_work | _BY_PEOPLE)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        facts = self.facts()
        children = {
            part: easel.painter.piece(
                f"system_{part}.html", f"system-{part.replace('_', '-')}", facts=facts, size=size, epoch=epoch
            )
            for part in _PARTS
        }
        people = snapshot.actions_of_no_run(None, MOST_ACTIONS)
        children["people"] = paint_people(easel.painter, people, on_card=True)
        owners = snapshot.owners(MOST_ENDED)
        children["owners"] = easel.painter.piece(
            "system_owners.html",
            "system-owners",
            owners=owners,
            limits=limits_that_hold(owners),
            is_shared=facts.database.kind == "PostgreSQL",
            tickets=snapshot.tickets(),
            told=told,
        )
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
