"""What was acknowledged, written down by who heard it, and compared with what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from app.queue import audit
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.records import JobRecord
from app.queue.snapshot import JobFilter, RunFilter, Snapshot
from app.queue.status import FINAL, Status

EVERY = 1_000_000


@dataclass
class Journal:
    """`path`: where the work itself writes."""

    path: Path
    acknowledged: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By who asked: what, of which run or of a part of it. The answer said that it is done."""
    unanswered: set[str] = field(default_factory=set)
    started: list[int] = field(default_factory=list)
    endings: dict[int, tuple[str, int, Any]] = field(default_factory=dict)
    """By job: the end that a client saw: status, attempt, time."""
    retried: set[int] = field(default_factory=set)
    """Runs that somebody asked to retry, answered or not: what had ended in them may have begun again."""
    deleted: set[int] = field(default_factory=set)
    """Runs that somebody asked to delete, answered or not."""
    gone: set[int] = field(default_factory=set)
    """Those of which the answer said that they are."""

    def saw(self, job: dict[str, Any]) -> None:
        """A client was shown a job."""
        if job["status"] in FINAL:
            self.endings[job["id"]] = (job["status"], job["attempt"], job["finished_at"])

    def retries(self, manager_id: int, ids: set[int]) -> None:
        """`ids`: everything that was seen of that run."""
        self.retried.add(manager_id)
        for job_id in ids | {manager_id}:
            self.endings.pop(job_id, None)

    def differences(self, database: Database) -> list[str]:
        """Everything in which what is stored is not what was acknowledged, or not sound by itself."""
        with Snapshot.of(database) as snapshot:
            runs = {run.id: run for run in snapshot.runs(RunFilter(), EVERY).runs}
            items = {item.id: item for item in snapshot.jobs(JobFilter(kind=Kind.WORKER), EVERY).jobs}
            actions = Counter(action.who for action in snapshot.actions(None, EVERY))
        steps = {step.id: run.id for run in runs.values() for step in run.steps}
        return [
            *(f"check: {drift}" for drift in audit.check(database)),
            *(f"run {each} was started, and is gone" for each in self.started if each not in {*runs, *self.deleted}),
            *(f"run {each} was deleted, and is there" for each in self.gone if each in runs),
            *self._actions_that_differ(actions),
            *self._endings_that_differ({run.id: (run.status, 0, run.finished_at) for run in runs.values()}, items),
            *self._double_ends(items, steps),
        ]

    def _actions_that_differ(self, actions: Counter[str]) -> Iterator[str]:
        for who, (what, manager_id) in self.acknowledged.items():
            if actions[who] != 1 and manager_id not in self.deleted:  # the record goes with the run
                yield f"{who} was told that {what} of run {manager_id} is done, which is recorded {actions[who]} times"
        for who in self.unanswered:
            if actions[who] > 1:
                yield f"{who} asked once, which is recorded {actions[who]} times"

    def _endings_that_differ(
        self, runs: dict[int, tuple[Status, int, float | None]], items: dict[int, JobRecord]
    ) -> Iterator[str]:
        stored: dict[int, tuple[Status, int, float | None]] = {**runs}
        stored |= {item.id: (item.status, item.attempt, item.finished_at) for item in items.values()}
        for job_id, (status, attempt, at) in self.endings.items():
            if job_id not in stored:
                continue  # deleted with its run
            now_status, now_attempt, now_at = stored[job_id]
            if (status, attempt) != (now_status, now_attempt) or now_at is None or abs(now_at - _seconds(at)) > 0.001:
                yield f"job {job_id} was seen {status} ({attempt}, {at}), and is {now_status} ({now_attempt}, {now_at})"

    def _double_ends(self, items: dict[int, JobRecord], steps: dict[int, int]) -> Iterator[str]:
        """Of what the work wrote itself: no attempt came to two ends, and what is stored is one that did."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line, number in Counter(line.rsplit(" ", 1)[0] for line in lines).items():
            if number > 1:
                yield f"attempt {line} ended {number} times"
        ends = set(lines)
        for item in items.values():
            if item.status is Status.COMPLETED and item.step_id in steps:
                end = f"{item.step_id} {item.name} {item.attempt} completed"
                if end not in ends:
                    yield f"work item {item.id} is completed, but nobody wrote {end!r}"


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
