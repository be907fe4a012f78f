"""Views of a step, of a work item, and of lists of jobs. The queue and a run have rooms of their own."""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.changes import Change, LogGrew, RunChanged, RunDeleted, StepChanged
from app.queue.models import Kind
from app.queue.snapshot import JobFilter, Snapshot
from app.web import dom
from app.web.logs.query import END, LogQuery, LogZoom
from app.web.painting import jobs, steps
from app.web.screens import Easel, Screen, compose, concerns_run, icon_of
from app.web.templating import moment

JOBS_PER_PAGE = 50
ITEMS_ON_STEP_PAGE = 20


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a run: its work items, those that need attention first, and its log."""

    manager_id: int
    name: str
    log: LogQuery = END

    @property
    def url(self) -> str:
        return self.log.url(dom.step_url(self.manager_id, self.name))

    def concerns(self, change: Change) -> bool:
        if isinstance(change, StepChanged | LogGrew):
            return change.manager_id == self.manager_id and change.step_name == self.name
        return isinstance(change, RunChanged | RunDeleted) and change.manager_id == self.manager_id

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        run, step = snapshot.run(self.manager_id), snapshot.step(self.manager_id, self.name)
        items = snapshot.jobs(JobFilter(Kind.WORKER, None, run.id, step.name), ITEMS_ON_STEP_PAGE)
        painter = easel.painter
        head = steps.StepHead(step, len(run.steps))
        every_item = dom.jobs_url(kind=Kind.WORKER, manager_id=run.id, step=step.name) if items.next else None
        children = {
            "trail": painter.same("trail.html", "trail", run_id=run.id, run_name=run.name),
            "head": steps.paint_title(painter, head),
            "items": jobs.paint_list(painter, dom.job(step.id, "items"), items.jobs, items.total),
            "all_items": painter.same(
                "item_list_all.html", "all-items", url=every_item, total=items.total, scope=f"step:{step.id}"
            ),
            "log": easel.log(snapshot, LogZoom.of_step(step), self.log),
        }
        title = f"{step.status}: {step.name}, {run.name} #{run.id}"
        return compose(
            painter, self, snapshot, title, "step", children, icon_of(step.status), job_id=step.id, status=step.status
        )


@dataclass(frozen=True, slots=True)
class ItemView:
    """One work item: its attempts with their errors, what it was given, what it made, what it said."""

    worker_id: int
    manager_id: int
    step_name: str
    log: LogQuery = END

    @property
    def url(self) -> str:
        return self.log.url(dom.job_url(self.worker_id))

    def concerns(self, change: Change) -> bool:
        return StepView(self.manager_id, self.step_name).concerns(change)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        item = snapshot.item(self.worker_id)
        run = snapshot.run(item.job.manager_id)
        painter, job = easel.painter, item.job
        children = {
            "trail": painter.same("trail.html", "trail", run_id=run.id, run_name=run.name, step_name=job.step_name),
            "head": painter.once(jobs.paint_item_title, jobs.JobRow(job)),
            "attempts": jobs.paint_attempts(painter, item),
            "data": jobs.paint_data(painter, item),
            "documents": jobs.paint_documents(painter, item),
            "log": easel.log(snapshot, LogZoom.of_item(item, run), self.log),
        }
        title = f"{job.status}: {job.name}"
        return compose(
            painter, self, snapshot, title, "item", children, icon_of(job.status), job_id=job.id, status=job.status
        )


@dataclass(frozen=True, slots=True)
class RunLogView:
    """The log of a whole run: those of its steps, one after the other."""

    manager_id: int
    log: LogQuery = END

    @property
    def url(self) -> str:
        return self.log.url(LogZoom.run_path(self.manager_id))

    def concerns(self, change: Change) -> bool:
        return concerns_run(change, self.manager_id)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        run = snapshot.run(self.manager_id)
        children = {
            "trail": easel.painter.same("trail.html", "trail", run_id=run.id, run_name=run.name),
            "log": easel.log(snapshot, LogZoom.of_run(run), self.log),
        }
        title = f"Log of {run.name} #{run.id}"
        return compose(
            easel.painter,
            self,
            snapshot,
            title,
            "run_log",
            children,
            icon_of(run.status),
            job_id=run.id,
            status=run.status,
            run=run,
        )


LogView = StepView | ItemView | RunLogView


@dataclass(frozen=True, slots=True)
class JobsView:
    """The list behind a number: the jobs of a kind and status, of all runs, of one, or of one step."""

    matching: JobFilter
    cursor: str | None = None

    @property
    def url(self) -> str:
        return dom.jobs_url(**self._query, cursor=self.cursor)

    @property
    def _query(self) -> dict[str, object]:
        return {
            "kind": self.matching.kind,
            "status": self.matching.status,
            "manager_id": self.matching.manager_id,
            "step": self.matching.step_name,
            "definition": self.matching.definition,
            "q": self.matching.text,
            "tag": self.matching.tag,
            "from": dom.minute(self.matching.since),
            "to": dom.minute(self.matching.until),
            "failure": dom.failure(self.matching.failure),
            "open": "true" if self.matching.open else None,
        }

    def concerns(self, change: Change) -> bool:
        return self.matching.manager_id is None or concerns_run(change, self.matching.manager_id)

    def paint(self, easel: Easel, snapshot: Snapshot) -> Screen:
        page = snapshot.jobs(self.matching, JOBS_PER_PAGE, self.cursor)
        painter = easel.painter
        older = page.next and dom.jobs_url(**self._query, cursor=page.next)
        first = self.cursor and dom.jobs_url(**self._query)
        children = {
            "caption": painter.piece(
                "job_list_caption.html",
                "jobs-caption",
                page=page,
                words=self.words,
                bulk_fields=self._bulk_fields,
                noun=self._noun,
            ),
            "jobs": jobs.paint_list(painter, "jobs", page.jobs, page.total),
            "empty": painter.piece("job_list_empty.html", "jobs-empty", page=page),
            "pager": painter.same("pager.html", "pager", older=older, newest=first),
        }
        return compose(painter, self, snapshot, f"{page.total:,} {self.words}", "jobs", children)

    @property
    def _bulk_fields(self) -> list[tuple[str, object]]:
        """What a form sends that freezes this list; nothing if jobs of several kinds are in it, one part of another."""
        if self.matching.kind is None and not self.matching.open:
            return []
        return [(name, value) for name, value in self._query.items() if value]

    @property
    def _noun(self) -> str:
        return f"{jobs.KIND_WORDS[self.matching.kind]}s" if self.matching.kind else "failures"

    @property
    def words(self) -> str:
        """Which jobs these are: failed work items of step import_files of run 12."""
        kind = f"{jobs.KIND_WORDS[self.matching.kind]}s" if self.matching.kind else "jobs"
        if self.matching.open:
            kind = f"open failures{f' ({kind})' if self.matching.kind else ''}"
        parts = [self.matching.status, kind]
        parts.append(f"of step {self.matching.step_name}" if self.matching.step_name else None)
        parts.append(f"of run {self.matching.manager_id}" if self.matching.manager_id else None)
        parts.append(f"of {self.matching.definition}" if self.matching.definition else None)
        parts.append(f"with \u201c{self.matching.text}\u201d in the name" if self.matching.text else None)
        parts.append(f"tagged {self.matching.tag}" if self.matching.tag else None)
        parts.append(f"from {moment(self.matching.since)}" if self.matching.since is not None else None)
        parts.append(f"to {moment(self.matching.until)}" if self.matching.until is not None else None)
        parts.append("with other messages" if self.matching.failure == "" else None)
        parts.append(f"with the message \u201c{self.matching.failure}\u201d" if self.matching.failure else None)
        return " ".join(part for part in parts if part)
