"""The step monitor: hears of every commit, and tells those who watch. It never polls.

Other processes' commits reach it in their order, but its own reach it at once: so it may hear of a commit before it
hears of an earlier one.

Two kinds of listeners: the runner and the hub hear the changes themselves; programs that follow `/api/events` hear
`job_update` facts, which say what changed in the words of the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import structlog

from app.queue.changes import Change, LogGrew, MuchChanged, RunChanged, RunDeleted, StepChanged
from app.queue.status import Status
from app.queue.writer import Commit

log = structlog.get_logger(__name__)

Listener = Callable[[Commit], None]


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A fact for programs. `refresh_logs`: the step's log has new lines. `deleted`: the run is gone; its status was the
    last it had."""

    context: Literal["job", "job_step"]
    job_id: int
    step_name: str | None
    status: Status
    refresh_logs: bool
    deleted: bool = False


class StepMonitor:
    """Hands every commit to its listeners, on the event loop, in the order of the commits."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._ahead: set[int] = set()
        self.revision = 0
        """Of the last commit heard of, with all before it."""
        self.true_until: Callable[[], float] = time.time
        """Up to when (seconds since the epoch) nothing can have been committed that was not heard of. Where others
        commit too, that is not always now."""

    def hear(self, commit: Commit) -> None:
        self._advance(commit)
        for listener in tuple(self._listeners):
            try:
                listener(commit)
            except Exception:
                # One listener's fault must not keep the others, nor the callers of the writer, from hearing.
                log.exception("a listener of the step monitor failed", listener=repr(listener))

    def tell(self, change: Change) -> None:
        """Something that shows may have changed, although there was no commit to hear of."""
        self.hear(Commit(self.revision, [change], "others"))

    def _advance(self, commit: Commit) -> None:
        if any(isinstance(change, MuchChanged) for change in commit.changes):
            self.revision = max(self.revision, commit.revision)
        self._ahead.add(commit.revision)
        while self.revision + 1 in self._ahead:
            self.revision += 1
        if min(self._ahead) <= self.revision:
            self._ahead = {ahead for ahead in self._ahead if ahead > self.revision}

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


def job_updates(changes: list[Change]) -> list[JobUpdate]:
    """The facts that a program may want to know of these changes, one per run and step."""
    runs: dict[int, JobUpdate] = {}
    steps: dict[int, JobUpdate] = {}
    for change in changes:
        if isinstance(change, RunChanged):
            runs[change.manager_id] = JobUpdate("job", change.manager_id, None, change.status, False)
        elif isinstance(change, RunDeleted):
            runs[change.manager_id] = JobUpdate("job", change.manager_id, None, change.status, False, deleted=True)
        elif isinstance(change, StepChanged | LogGrew):
            known = steps.get(change.step_id)
            grew = isinstance(change, LogGrew) or (known is not None and known.refresh_logs)
            steps[change.step_id] = JobUpdate("job_step", change.manager_id, change.step_name, change.status, grew)
    return [*steps.values(), *runs.values()]
