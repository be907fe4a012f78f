"""What an address asks of a log, and whose log it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.queue.log_reading import parse_place
from app.queue.models import Kind, Level
from app.queue.records import ItemRecord, LogLine, RunRecord, StepRecord
from app.web import dom

Place = tuple[int, int]
"""A step and a line of its log."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which part of a log is shown. `level`: lines at least that severe, without it all but those of debugging; `text`:
    lines that contain it; one of `after`, `before` and `line`, or none: the end of the log, which follows it. With
    `line` the lines around it are shown, with `text` in them or not."""

    level: Level | None = None
    text: str | None = None
    after: str | None = None
    before: str | None = None
    line: str | None = None
    wrap: bool = True

    @property
    def follows(self) -> bool:
        """Whether it shows the end of the log, wherever that comes to be."""
        return self.after is None and self.before is None and self.line is None

    @property
    def least(self) -> Level:
        """The least severe level that is shown. Who wants lines of debugging asks for them."""
        return self.level or Level.INFO

    @property
    def selects(self) -> bool:
        """Whether lines are picked from among those that belong together."""
        return self.least in (Level.WARN, Level.ERROR) or (self.text is not None and self.line is None)

    def but(self, **changes: Any) -> LogQuery:
        return replace(self, **changes)

    def anywhere(self, **changes: Any) -> LogQuery:
        """The same lines, at the end of the log or at the place given."""
        return replace(self, **{"after": None, "before": None, "line": None, **changes})

    def url(self, path: str) -> str:
        named = {"level": self.level, "q": self.text, "after": self.after, "before": self.before, "line": self.line}
        return dom.with_query(path, {**named, "wrap": None if self.wrap else "off"})


END = LogQuery()


@dataclass(frozen=True, slots=True)
class LogZoom:
    """Whose log: that of a run, of a step, or of a work item. `path`: the page it is on."""

    kind: Kind
    owner_id: int
    name: str
    path: str
    download: str
    manager_id: int
    steps: tuple[StepRecord, ...]

    @classmethod
    def of_run(cls, run: RunRecord) -> LogZoom:
        path = cls.run_path(run.id)
        return cls(Kind.MANAGER, run.id, f"run {run.name}", path, f"{path}.txt", run.id, run.steps)

    @classmethod
    def of_step(cls, step: StepRecord) -> LogZoom:
        path = dom.step_url(step.manager_id, step.name)
        return cls(Kind.STEP, step.id, f"step {step.name}", path, f"{path}/log.txt", step.manager_id, (step,))

    @classmethod
    def of_item(cls, item: ItemRecord, run: RunRecord) -> LogZoom:
        job, path = item.job, dom.job_url(item.job.id)
        steps = tuple(step for step in run.steps if step.id == job.step_id)
        return cls(Kind.WORKER, job.id, f"work item {job.name}", path, f"{path}/log.txt", run.id, steps)

    @property
    def worker_id(self) -> int | None:
        return self.owner_id if self.kind is Kind.WORKER else None

    @property
    def has_steps(self) -> bool:
        """Whether a line is only known by its step and its number."""
        return self.kind is Kind.MANAGER

    @property
    def wider(self) -> list[tuple[str, str]]:
        """The logs that this one is part of: what they are called here, and where they are."""
        of_step = ("Log of the step", dom.step_url(self.manager_id, self.steps[0].name))
        of_run = ("Log of the run", LogZoom.run_path(self.manager_id))
        return {Kind.MANAGER: [], Kind.STEP: [of_run], Kind.WORKER: [of_step, of_run]}[self.kind]

    @staticmethod
    def run_path(manager_id: int) -> str:
        return f"{dom.job_url(manager_id)}/log"

    @property
    def scope(self) -> str:
        """What its numbers count over."""
        return f"{self.kind}:{self.owner_id}"

    def place(self, step_id: int, line: int) -> str:
        """The line in an address."""
        return f"{step_id}.{line}" if self.has_steps else str(line)

    def parse(self, place: str) -> Place:
        """Raises BadPlace."""
        step_id, line = parse_place(place)
        return (step_id if step_id is not None and self.has_steps else self.steps[0].id), line

    def line_id(self, line: LogLine) -> str:
        return dom.anchor(line.line, line.step_id if self.has_steps else None)
