"""The view of the queue: how much there is of everything, and the runs with their steps, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from app.queue.changes import Change
from app.queue.models import Kind
from app.queue.records import Counts, RunPage
from app.queue.snapshot import RunFilter, Snapshot
from app.queue.status import Status
from app.web import dom
from app.web.painting import runs, statistics, throughput
from app.web.screens import CALM, Easel, Screen, compose, icon_of, last_ended, paint_announcement
from app.web.templating import moment

RUNS_PER_PAGE = 20
ALL_RUNS = RunFilter()


@dataclass(frozen=True, slots=True)
class FilterChip:
    """One condition of the filter, and the address of the list without it."""

    words: str
    without: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue, or the part of it that matches.

    `cursor`: where an older page starts. `newest`: the id of the newest run to be shown; newer ones wait behind a link,
    so that nothing moves what the reader looks at.
    """

    matching: RunFilter = ALL_RUNS
    cursor: str | None = None
    newest: int | None = None

    @property
    def url(self) -> str:
        return self._at(self.matching, self.cursor, self.newest)

    @property
    def first_url(self) -> str:
        """The newest runs, and whatever starts."""
        return self._at(self.matching)

    def concerns(self, change: Change) -> bool:
        return True  # it shows every job

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        everything = snapshot.statistics()
        page = snapshot.runs(self.matching, RUNS_PER_PAGE, self.cursor, self.newest)
        painter = easel.painter
        children = {
            "pauses": painter.same("pauses.html", "pauses", pauses=snapshot.pauses()),
            "statistics": painter.once(statistics.paint_statistics, everything),
            "throughput": painter.once(throughput.paint_throughput, snapshot.minutes(throughput.MINUTES)),
            "caption": painter.piece("run_list_caption.html", "runs-caption", view=self, total=page.total),
            "news": painter.piece("run_list_news.html", "news", view=self, page=page, hold=self._held_at(page)),
            "runs": runs.paint_list(painter, easel.shelf, snapshot, page),
            "empty": painter.piece("run_list_empty.html", "runs-empty", page=page, view=self),
            "pager": painter.same("pager.html", "pager", older=self._older(page), newest=self._newest),
            "announcement": paint_announcement(painter, page.runs),
        }
        title = _busy(everything.manager) or "Queue"
        return compose(painter, self, snapshot, title, "queue", children, _icon(everything.manager, page))

    @property
    def choices(self) -> tuple[Status, ...]:
        """The statuses that a run can have."""
        return tuple(status for status in Status if status is not Status.SKIPPED)

    @property
    def is_filtered(self) -> bool:
        return self.matching != ALL_RUNS

    @property
    def is_held(self) -> bool:
        """Whether this would be the newest runs, if the reader had not asked to keep the list as it was."""
        return self.newest is not None and self.cursor is None

    @property
    def since(self) -> str | None:
        return dom.minute(self.matching.since)

    @property
    def until(self) -> str | None:
        return dom.minute(self.matching.until)

    @property
    def chips(self) -> list[FilterChip]:
        return list(self._chips())

    @property
    def scope(self) -> str:
        """What the number of runs counts over."""
        rest = replace(self.matching, status=None)
        if rest == ALL_RUNS:
            return "all"
        only_definition = rest == RunFilter(definition=self.matching.definition)
        return f"definition:{self.matching.definition}" if only_definition else "filter"

    @property
    def list_url(self) -> str:
        """The same runs as a plain list of jobs."""
        return dom.jobs_url(kind=Kind.MANAGER, **_query(self.matching))

    @property
    def bulk_fields(self) -> list[tuple[str, object]]:
        """What a form sends that freezes the list of these runs."""
        fields = {"kind": Kind.MANAGER, **_query(self.matching)}
        return [(name, value) for name, value in fields.items() if value]

    def _chips(self) -> Iterator[FilterChip]:
        matching = self.matching
        if matching.status:
            yield self._chip(matching.status, status=None)
        if matching.definition:
            yield self._chip(f"of {matching.definition}", definition=None)
        if matching.tag:
            yield self._chip(f"tagged {matching.tag}", tag=None)
        if matching.text:
            yield self._chip(f"named \u201c{matching.text}\u201d", text=None)
        if matching.since is not None:
            yield self._chip(f"from {moment(matching.since)}", since=None)
        if matching.until is not None:
            yield self._chip(f"to {moment(matching.until)}", until=None)

    def _chip(self, words: str, **without: Any) -> FilterChip:
        return FilterChip(words, self._at(replace(self.matching, **without)))

    def _held_at(self, page: RunPage) -> str | None:
        """This first page, as it is now: runs that start later wait behind a link."""
        if self.cursor or self.newest is not None or not page.runs:
            return None
        return self._at(self.matching, newest=page.runs[0].id)

    def _older(self, page: RunPage) -> str | None:
        if not page.next:
            return None
        newest = self.newest if self.cursor or self.newest is not None else page.runs[0].id
        return self._at(self.matching, page.next, newest)

    @property
    def _newest(self) -> str | None:
        return self.first_url if self.cursor else None

    @staticmethod
    def _at(matching: RunFilter, cursor: str | None = None, newest: int | None = None) -> str:
        return dom.with_query("/queue", {**_query(matching), "cursor": cursor, "newest": newest})


def _query(matching: RunFilter) -> dict[str, object]:
    return {
        "status": matching.status,
        "definition": matching.definition,
        "tag": matching.tag,
        "q": matching.text,
        "from": dom.minute(matching.since),
        "to": dom.minute(matching.until),
    }


def _busy(managers: Counts) -> str:
    """3 running, 1 failed"""
    numbers = ((managers.running, "running"), (managers.failed, "failed"))
    return ", ".join(f"{number:,} {word}" for number, word in numbers if number)


def _icon(managers: Counts, page: RunPage) -> str:
    """Running while anything is, then how the latest of these runs ended."""
    if managers.running or managers.pending:
        return icon_of(Status.RUNNING)
    ended = last_ended(page.runs)
    return icon_of(ended.status) if ended else CALM
