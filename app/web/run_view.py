"""The view of a run: when its steps ran, how they are, what failed, what was slow, how it was started."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.changes import Change
from app.queue.snapshot import Snapshot
from app.web import dom
from app.web.painting import failures, runs, timeline
from app.web.painting.actions import paint_actions
from app.web.painting.jobs import paint_slowest
from app.web.painting.logs import RUN_PANEL
from app.web.screens import Easel, Screen, compose, concerns_run, icon_of, paint_announcement

MOST_GROUPS = 30
MOST_ACTIONS = 10
SLOWEST = 10


@dataclass(frozen=True, slots=True)
class RunView:
    """One run."""

    manager_id: int

    @property
    def url(self) -> str:
        return dom.job_url(self.manager_id)

    def concerns(self, change: Change) -> bool:
        return concerns_run(change, self.manager_id)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        run = snapshot.run(self.manager_id)
        text = snapshot.definition_text(run.id)
        painter = easel.painter
        groups = snapshot.failures(run.id, MOST_GROUPS) if run.counts.failed else ()
        slowest = snapshot.slowest(run.id, SLOWEST)
        children = {
            "head": runs.paint_title(painter, runs.RunHead(run), snapshot.kin(run.id)),
            "actions": paint_actions(painter, run.id, snapshot.actions(run.id, MOST_ACTIONS)),
            "timeline": timeline.paint_timeline(painter, run),
            "steps": runs.paint_steps(painter, easel.shelf, snapshot, run, RUN_PANEL, on_run_page=True),
            "failures": failures.paint_failures(painter, run, groups),
            "slowest": paint_slowest(painter, run.id, slowest),
            "settings": painter.piece("run_settings.html", dom.job(run.id, "settings"), run=run, text=text),
            "announcement": paint_announcement(painter, (run,)),
        }
        title = f"{run.status}: {run.name} #{run.id}"
        icon = icon_of(run.status)
        return compose(painter, self, snapshot, title, "run", children, icon, job_id=run.id, status=run.status)
