"""Definitions, as lists and their own pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.queue.definition_reading import DefinitionState
from app.queue.records import Paused
from app.web import dom
from app.web.access import DefinitionSummary, TextProblem
from app.web.pieces import Painter, Piece
from app.web.shown_schedules import ShownSchedule


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A definition, and what the queue knows of it. `place`: where it stands in the list."""

    place: int
    definition: DefinitionSummary
    state: DefinitionState
    schedule: ShownSchedule | None = None
    paused: Paused | None = None

    @property
    def url(self) -> str:
        return dom.definition_url(self.definition.id)

    @property
    def standing(self) -> tuple[str, str]:
        """Whether it can be started: the word, and the status whose shape and colour it has."""
        if not self.definition.valid:
            return "not valid", "failed"
        if not self.enabled:
            return "disabled", "skipped"
        return "enabled", "completed"

    @property
    def enabled(self) -> bool:
        """Both its file and the persons let it run."""
        return self.definition.enabled and self.state.switched_off_at is None

    @property
    def can_start(self) -> bool:
        return self.definition.valid and self.enabled

    @property
    def is_full(self) -> bool:
        """As many of its runs are in progress as it allows."""
        return len(self.state.in_progress) >= self.definition.concurrency


def paint_list(painter: Painter, rows: Sequence[DefinitionRow]) -> Piece:
    """Not a list of pieces that come and go: a page that was painted just after a file changed may hear of that again,
    and what it is told then must be harmless."""
    children = {f"row{row.place}": painter.once(paint_row, row) for row in rows}
    return painter.piece("definition_list.html", "definitions", children, names=list(children))


def paint_row(painter: Painter, row: DefinitionRow) -> Piece:
    return painter.piece("definition_row.html", f"definition-{row.place}", row=row)


@dataclass(frozen=True, slots=True)
class MarkedLine:
    """A line of a text, with what is wrong there."""

    number: int
    text: str
    problems: tuple[TextProblem, ...]


def marked(definition: DefinitionSummary) -> list[MarkedLine]:
    """The lines of the definition's text; none if nothing in it is to be marked."""
    by_line: dict[int, list[TextProblem]] = {}
    for problem in definition.problems:
        if problem.line is not None:
            by_line.setdefault(problem.line, []).append(problem)
    if not by_line:
        return []
    lines = definition.text.split("\n")
    return [MarkedLine(number, line, tuple(by_line.get(number, ()))) for number, line in enumerate(lines, start=1)]
