"""Screens: what a view is painted into, and what every view shares.

A view is what one page shows, named by its address with its query. It is read from one snapshot and painted into a
few trees of pieces. The page, its stream and nothing else show views; who has the address and the snapshot has the
page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.queue.changes import Change, LogGrew, RunChanged, RunDeleted, StepChanged
from app.queue.records import RunRecord
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.web import dom
from app.web.logs.query import LogQuery, LogZoom
from app.web.logs.searches import Searches
from app.web.painting.log_view import LogPaint, paint_log
from app.web.pieces import Painter, Piece
from app.web.shelf import Shelf

CALM = "calm"
"""The icon of a page with nothing to tell."""


@dataclass(frozen=True, slots=True)
class Easel:
    """What painting a view takes: a painter, and what was painted before."""

    painter: Painter
    shelf: Shelf = field(default_factory=Shelf)
    searches: Searches = field(default_factory=Searches)

    def log(self, snapshot: Snapshot, zoom: LogZoom, query: LogQuery) -> Piece:
        """The view of a log."""
        return paint_log(LogPaint(self.painter, self.shelf, self.searches, snapshot, zoom, query))


@dataclass(frozen=True, slots=True)
class Screen:
    """A painted view: the page's title and icon and its live part, as of one revision."""

    title: Piece
    icon: Piece
    view: Piece
    revision: int

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.title, self.icon, self.view


class View(Protocol):
    """One page's content. Equal views are one view: all who look at it share its paints."""

    @property
    def url(self) -> str: ...

    def concerns(self, change: Change) -> bool:
        """Whether the change may alter what this view shows."""

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        """Raises UnknownJob or UnknownDocument if what it shows does not exist."""


def concerns_run(change: Change, manager_id: int) -> bool:
    return isinstance(change, RunChanged | RunDeleted | StepChanged | LogGrew) and change.manager_id == manager_id


def last_ended(shown: tuple[RunRecord, ...]) -> RunRecord | None:
    return max((run for run in shown if run.finished_at), key=lambda run: run.finished_at or 0, default=None)


def paint_announcement(painter: Painter, shown: tuple[RunRecord, ...]) -> Piece:
    """The one sentence that screen readers hear of by themselves: how the latest run ended."""
    return painter.piece("announcement.html", "announcement", run=last_ended(shown))


def paint_gone(easel: Easel, view: View, snapshot: Snapshot, was_document: bool) -> Screen:
    """What an open page shows when what it showed has been deleted. Asked for anew, it is not found."""
    return compose(easel.painter, view, snapshot, "Deleted", "gone", {}, was_document=was_document)


def icon_of(status: Status | None) -> str:
    """The icon of a page about a job of that status."""
    return (
        {
            Status.PENDING: "running",
            Status.RUNNING: "running",
            Status.COMPLETED: "completed",
            Status.FAILED: "failed",
        }.get(status, CALM)
        if status
        else CALM
    )


def compose(
    painter: Painter,
    view: View,
    snapshot: Snapshot,
    title: str,
    name: str,
    children: Mapping[str, Piece | None],
    icon: str = CALM,
    **context: object,
) -> Screen:
    """The screen of a view from its painted parts; `name` is that of its template."""
    titled = painter.same("title.html", dom.TITLE, title=title)
    iconed = painter.same("icon.html", dom.ICON, icon=icon)
    revision = snapshot.revision
    body = painter.piece(f"view_{name}.html", dom.VIEW, children, view=view, revision=revision, **context)
    return Screen(titled, iconed, body, revision)
