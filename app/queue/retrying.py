"""What a retry would do: which work items it means, and which steps go on because of them.

The verb (`store.retry`) and the preview on the page both ask here, so that what is foreseen is what is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, false, func, select
from sqlalchemy.engine import Connection

from app.queue.deletions import is_being_deleted
from app.queue.status import FINAL, Status, StepState, starts_after_all, stopped_reason
from app.queue.tables import manager_job, step_counter, step_job, worker_job


@dataclass(frozen=True, slots=True)
class Again:
    """What is to run again: everything of a run that failed, of a step of it, one work item, or one failure group.

    `cancelled`: what a person cancelled, too."""

    manager_id: int
    step_id: int | None = None
    worker_id: int | None = None
    pattern: str | None = None
    """That of a failure group of the step."""
    cancelled: bool = False
    worker_ids: tuple[int, ...] | None = None
    """Only these work items of the step."""

    @property
    def is_whole(self) -> bool:
        """Whether whole steps are meant, and not some of their work items."""
        return self.worker_id is None and self.worker_ids is None and self.pattern is None

    @property
    def job_id(self) -> int:
        return self.worker_id or self.step_id or self.manager_id

    def covers(self, step: Any) -> bool:
        return self.step_id in (None, step.id)

    def chosen(self, step_id: int) -> Mapping[Status, ColumnElement[bool]]:
        """The work items of a step that are meant, whatever else becomes of the step, by the status they have now."""
        meant = worker_job.c.step_id == step_id
        if self.worker_id is not None:
            meant &= worker_job.c.id == self.worker_id
        if self.worker_ids is not None:
            # Found by their ids alone: an index of the step would lead past all the others of it.
            meant = worker_job.c.id.in_(self.worker_ids) & (worker_job.c.step_id + 0 == step_id)
        failed = meant if self.pattern is None else meant & (worker_job.c.failure_pattern == self.pattern)
        cancelled = {Status.CANCELLED: meant} if self.cancelled and self.pattern is None else {}
        return {Status.FAILED: failed, **cancelled}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a retry would do at the moment of a snapshot. `total` and `kept` are those of the whole run: its work items,
    and those that have succeeded. `steps`: those that are over and would be evaluated again."""

    items: int
    total: int
    kept: int
    steps: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        return not self.items and not self.steps


run_of = select(manager_job).where(manager_job.c.id == bindparam("of_manager"))
steps_of_run = select(step_job).where(step_job.c.manager_id == bindparam("of_manager")).order_by(step_job.c.position)
_counts = (
    select(step_counter.c.status, func.sum(step_counter.c.number))
    .join(step_job, step_job.c.id == step_counter.c.step_id)
    .where(step_job.c.manager_id == bindparam("of_manager"))
    .group_by(step_counter.c.status)
)


def foresee(connection: Connection, again: Again) -> Foreseen:
    """Counts what `store.retry` would do with the same request."""
    run = connection.execute(run_of, {"of_manager": again.manager_id}).one_or_none()
    if run is None or is_being_deleted(connection, again.manager_id):
        return Foreseen(0, 0, 0, ())
    steps = connection.execute(steps_of_run, {"of_manager": run.id}).all()
    moved = {step.id: _count_chosen(connection, again, step.id) for step in steps if again.covers(step)}
    over = reopened(run, steps, again, {step_id for step_id, number in moved.items() if number})
    items = sum(moved.values()) + sum(_count_stopped(connection, run, again, step) for step in over)
    counts = {status: int(number) for status, number in connection.execute(_counts, {"of_manager": run.id})}
    return Foreseen(items, sum(counts.values()), counts[Status.COMPLETED], tuple(step.name for step in over))


def _count_chosen(connection: Connection, again: Again, step_id: int) -> int:
    return sum(
        _count(connection, meant & (worker_job.c.status == status)) for status, meant in again.chosen(step_id).items()
    )


def _count_stopped(connection: Connection, run: Any, again: Again, step: Any) -> int:
    """Those that were cancelled because of the failure, and are not meant by themselves."""
    if not was_stopped(run, step):
        return 0
    chosen = again.chosen(step.id).get(Status.CANCELLED, false()) if again.covers(step) else false()
    return _count(connection, stopped_with(step) & (worker_job.c.status == Status.CANCELLED) & ~chosen)


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(worker_job).where(condition)).scalar_one())


def was_stopped(run: Any, step: Any) -> bool:
    """Whether work items of the step may have been cancelled because it, or its run, failed."""
    return step.status is Status.FAILED or stopped_by_failure(run, step)


def stopped_with(step: Any) -> ColumnElement[bool]:
    """The work items that were cancelled when the step ended."""
    of_step: ColumnElement[bool] = worker_job.c.step_id == step.id
    return of_step & (worker_job.c.reason == stopped_reason(step.reason))


def reopened(run: Any, steps: Sequence[Any], again: Again, moved: set[int]) -> list[Any]:
    """The steps that were over and are not any more, in their order. `moved`: those with work items that are meant."""
    sure = [step for step in steps if step.status in FINAL and (step.id in moved or _is_meant(run, step, again))]
    if not sure and not moved:
        return []
    maybe = [step for step in steps if step not in sure and _may_start(run, step)]
    going_on = [step for step in (*sure, *maybe) if step.started_at is not None]
    states = {step.name: state_of(step) for step in steps}
    states |= {step.name: state_of(step, Status.RUNNING) for step in going_on}
    states |= {step.name: state_of(step, Status.PENDING) for step in (*sure, *maybe) if step not in going_on}
    starting = starts_after_all(states)
    return [step for step in steps if step in going_on or (step.status in FINAL and step.name in starting)]


def _may_start(run: Any, step: Any) -> bool:
    skipped = step.status is Status.SKIPPED and step.taken_from is None
    return skipped or stopped_by_failure(run, step)


def _is_meant(run: Any, step: Any, again: Again) -> bool:
    """Whether the step itself is to be taken up again, whatever its work items."""
    if not again.is_whole or not again.covers(step):
        return False
    failed = step.status is Status.FAILED or stopped_by_failure(run, step)
    return failed or (again.cancelled and step.status is Status.CANCELLED)


def stopped_by_failure(run: Any, step: Any) -> bool:
    """Whether the step was cancelled because its run failed: then it says the same as the run."""
    return step.status is Status.CANCELLED and run.status is Status.FAILED and step.reason == run.reason


def state_of(step: Any, status: Status | None = None) -> StepState:
    """What the rules need to know of a row of step_job, as if it had that status."""
    return StepState(step.name, status or step.status, step.depends, step.on_error, step.always_run, step.taken_from)
