"""The views of definitions: all of them, and one with its latest runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.queue.changes import Change, DefinitionsChanged, PauseChanged, RunChanged, RunDeleted, ScheduleChanged
from app.queue.snapshot import Snapshot
from app.web import dom, shown_schedules
from app.web.access import Catalog
from app.web.painting import definitions
from app.web.painting.actions import paint_people
from app.web.painting.definitions import DefinitionRow
from app.web.screens import Easel, Screen, compose

LATEST_RUNS = 10
MOST_ACTIONS = 10


def _concerns(change: Change) -> bool:
    return isinstance(change, DefinitionsChanged | RunChanged | RunDeleted | ScheduleChanged | PauseChanged)


@dataclass(frozen=True, slots=True)
class DefinitionsView:
    """Every definition: whether it can be used, what runs of it, and how its last run ended."""

    catalog: Catalog = field(compare=False, repr=False)

    @property
    def url(self) -> str:
        return dom.DEFINITIONS_URL

    def concerns(self, change: Change) -> bool:
        return _concerns(change)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        found = self.catalog.definitions()
        states = snapshot.definition_states(each.id for each in found)
        schedules = shown_schedules.of_all(snapshot, found)
        rows = [
            DefinitionRow(place, each, states[each.id], schedules.get(each.id), snapshot.paused(each.id))
            for place, each in enumerate(found)
        ]
        painter = easel.painter
        children = {
            "troubles": painter.piece("definition_troubles.html", "troubles", troubles=self.catalog.troubles),
            "list": definitions.paint_list(painter, rows),
        }
        return compose(painter, self, snapshot, "Definitions", "definitions", children)


@dataclass(frozen=True, slots=True)
class DefinitionView:
    """One definition: what it says, what is wrong with it, the form that starts it, its latest runs."""

    id: str
    catalog: Catalog = field(compare=False, repr=False)

    @property
    def url(self) -> str:
        return dom.definition_url(self.id)

    def concerns(self, change: Change) -> bool:
        return _concerns(change)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        painter = easel.painter
        named = [each for each in self.catalog.definitions() if each.id == self.id]
        if not named:
            return compose(painter, self, snapshot, "Deleted", "definition_gone", {})
        shown = min(named, key=lambda each: not each.valid)
        schedule = shown_schedules.of_one(snapshot, shown)
        row = DefinitionRow(0, shown, snapshot.definition_states([self.id])[self.id], schedule)
        children = {
            "head": painter.piece(
                "definition_head.html", "head", row=row, editor=self.catalog.editor, paused=snapshot.paused(self.id)
            ),
            "start": painter.piece("definition_start.html", "start", row=row),
            "schedule": painter.piece("definition_schedule_place.html", "schedule", row=row),
            "runs": painter.piece(
                "definition_runs.html", "latest-runs", row=row, runs=snapshot.latest_runs(self.id, LATEST_RUNS)
            ),
            "people": paint_people(painter, snapshot.actions_of_no_run(self.id, MOST_ACTIONS)),
            "text": painter.piece("definition_text.html", "text", definition=shown, marked=definitions.marked(shown)),
        }
        return compose(painter, self, snapshot, shown.name, "definition", children)
