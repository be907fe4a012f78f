"""acknowledge, reopen: failures that somebody has looked at are open no more, until they are again.

A failure is open from its transaction on. It is closed by an acknowledgement, or by a retry, which takes it out of the
failures altogether; if that fails too, it is a new failure, and open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from app.queue.actor import Actor
from app.queue.changes import StepChanged
from app.queue.deletions import is_being_deleted
from app.queue.store.actions import record
from app.queue.store.logging import log_line
from app.queue.tables import acknowledgement, failure_group, open_failure, planning_failure, step_job, worker_job
from app.queue.text import storable
from app.queue.writer import Transaction

LONGEST_NOTE = 2_000


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of a run, of a step of it, of some of its work items, or of one failure group.

    `until`: only those that had failed by then, which somebody has seen."""

    manager_id: int
    step_id: int | None = None
    worker_ids: tuple[int, ...] | None = None
    pattern: str | None = None
    until: float | None = None

    def covers_planning(self, failed_at: float | None) -> bool:
        """Whether the failure of a step's planning is meant: not if some of its work items are."""
        seen = self.until is None or (failed_at is not None and failed_at <= self.until)
        return self.worker_ids is None and self.pattern is None and seen

    def of_step(self, step_id: int) -> ColumnElement[bool]:
        """Its failed work items that are meant."""
        meant = (worker_job.c.step_id == step_id) & worker_job.c.failure_pattern.is_not(None)
        if self.worker_ids is not None:
            # Found by their ids alone: an index of the step would lead past all the others of it.
            meant = worker_job.c.id.in_(self.worker_ids) & (worker_job.c.step_id + 0 == step_id)
            meant &= worker_job.c.failure_pattern.is_not(None)
        if self.pattern is not None:
            meant &= worker_job.c.failure_pattern == self.pattern
        if self.until is not None:
            meant &= worker_job.c.finished_at <= self.until
        return meant


_steps = select(step_job.c.id, step_job.c.name, step_job.c.status, step_job.c.finished_at).where(
    step_job.c.manager_id == bindparam("of_manager")
)
_more_open = (
    update(open_failure)
    .where(open_failure.c.step_id == bindparam("of_step"))
    .values(number=open_failure.c.number + bindparam("more"))
)
_none_open = delete(open_failure).where(open_failure.c.step_id == bindparam("of_step"))
_left_open = select(func.sum(failure_group.c.number - failure_group.c.acknowledged)).where(
    failure_group.c.step_id == bindparam("of_step")
)
_count_in_group = (
    update(failure_group)
    .where(failure_group.c.step_id == bindparam("of_step"), failure_group.c.pattern == bindparam("with_pattern"))
    .values(
        acknowledged=failure_group.c.acknowledged + bindparam("more"),
        # One that is taken back leaves those of the others.
        acknowledgement_id=func.coalesce(bindparam("by_id", type_=sa.BigInteger), failure_group.c.acknowledgement_id),
    )
)
_planning = select(planning_failure.c.acknowledgement_id).where(planning_failure.c.step_id == bindparam("of_step"))
_set_planning = (
    update(planning_failure)
    .where(planning_failure.c.step_id == bindparam("of_step"))
    .values(acknowledgement_id=bindparam("by_id"))
)
_forget_planning = delete(planning_failure).where(planning_failure.c.step_id == bindparam("of_step"))


def acknowledge(transaction: Transaction, meant: Failures, note: str, actor: Actor) -> int:
    """Closes the open failures that are meant; returns how many those were."""
    note = storable(note).strip()[:LONGEST_NOTE]
    row = {"manager_id": meant.manager_id, "at": transaction.now, "who": actor.who, "note": note}
    by_id: int | None = None
    closed = 0
    for step in _steps_of(transaction, meant):
        of_step = meant.of_step(step.id) & worker_job.c.acknowledgement_id.is_(None)
        patterns = _by_pattern(transaction, of_step)
        of_planning = meant.covers_planning(step.finished_at) and _planning_is(transaction, step.id, is_open=True)
        number = sum(patterns.values()) + of_planning
        if not number:
            continue
        if by_id is None:
            by_id = transaction.connection.execute(
                insert(acknowledgement).values(row).returning(acknowledgement.c.id)
            ).scalar_one()
        _move(transaction, step.id, of_step, patterns, by_id, 1)
        if of_planning:
            transaction.connection.execute(_set_planning, {"of_step": step.id, "by_id": by_id})
        _tell(transaction, meant, step, f"{_failures(number)} acknowledged {actor.by}{f': {note}' if note else ''}")
        closed += number
    return closed


def reopen(transaction: Transaction, meant: Failures, actor: Actor) -> int:
    """Takes the acknowledgements of the failures back; returns how many are open again."""
    opened = 0
    for step in _steps_of(transaction, meant):
        of_step = meant.of_step(step.id) & worker_job.c.acknowledgement_id.is_not(None)
        patterns = _by_pattern(transaction, of_step)
        of_planning = meant.covers_planning(step.finished_at) and _planning_is(transaction, step.id, is_open=False)
        number = sum(patterns.values()) + of_planning
        if not number:
            continue
        _move(transaction, step.id, of_step, patterns, None, -1)
        if of_planning:
            transaction.connection.execute(_set_planning, {"of_step": step.id, "by_id": None})
        _tell(transaction, meant, step, f"the acknowledgement of {_failures(number)} was taken back {actor.by}")
        opened += number
    return opened


def acknowledge_as(
    transaction: Transaction, meant: Failures, job_id: int, note: str, actor: Actor, foreseen: int | None = None
) -> int:
    """`foreseen`: how many failures the preview said would be acknowledged. Recorded, unless there were none."""
    closed = acknowledge(transaction, meant, note, actor)
    if closed:
        said = f"acknowledged {_failures(closed)}{_of(meant, job_id)}"
        if foreseen not in (None, closed):
            said += f" (the preview, a moment before, said {foreseen:,})"
        if note := storable(note).strip()[:LONGEST_NOTE]:
            said += f": {note}"
        record(transaction, actor, "acknowledge", said, meant.manager_id, job_id)
    return closed


def reopen_as(transaction: Transaction, meant: Failures, job_id: int, actor: Actor) -> int:
    """Recorded, unless nothing had been acknowledged."""
    opened = reopen(transaction, meant, actor)
    if opened:
        said = f"took the acknowledgement of {_failures(opened)}{_of(meant, job_id)} back"
        record(transaction, actor, "reopen", said, meant.manager_id, job_id)
    return opened


def open_failures(transaction: Transaction, step_id: int, number: int) -> None:
    """So many work items of the step have just failed for good."""
    if not number:
        return
    more = {"of_step": step_id, "more": number}
    if not transaction.connection.execute(_more_open, more).rowcount:
        transaction.connection.execute(insert(open_failure), {"step_id": step_id, "number": number})


def count_open(transaction: Transaction, step_id: int) -> None:
    """The failure groups of the step are others than before: what is open is what is left open in them."""
    left = transaction.connection.execute(_left_open, {"of_step": step_id}).scalar_one() or 0
    transaction.connection.execute(_none_open, {"of_step": step_id})
    open_failures(transaction, step_id, int(left))


def open_planning(transaction: Transaction, step_id: int) -> None:
    """The step has just failed by its planning."""
    transaction.connection.execute(_forget_planning, {"of_step": step_id})
    transaction.connection.execute(insert(planning_failure), {"step_id": step_id})


def forget_planning(transaction: Transaction, step_id: int) -> None:
    """The step is evaluated again."""
    transaction.connection.execute(_forget_planning, {"of_step": step_id})


def _steps_of(transaction: Transaction, meant: Failures) -> Iterator[Any]:
    if is_being_deleted(transaction.connection, meant.manager_id):
        return
    for step in transaction.connection.execute(_steps, {"of_manager": meant.manager_id}).all():
        if meant.step_id in (None, step.id):
            yield step


def _by_pattern(transaction: Transaction, of_step: ColumnElement[bool]) -> dict[str, int]:
    """How many of these work items each failure group has."""
    query = select(worker_job.c.failure_pattern, func.count()).where(of_step).group_by(worker_job.c.failure_pattern)
    return {pattern: int(number) for pattern, number in transaction.connection.execute(query)}


def _planning_is(transaction: Transaction, step_id: int, is_open: bool) -> bool:
    row = transaction.connection.execute(_planning, {"of_step": step_id}).one_or_none()
    return row is not None and (row.acknowledgement_id is None) is is_open


def _move(
    transaction: Transaction,
    step_id: int,
    of_step: ColumnElement[bool],
    patterns: Mapping[str, int],
    by_id: int | None,
    sign: int,
) -> None:
    if not patterns:
        return
    transaction.connection.execute(update(worker_job).where(of_step).values(acknowledgement_id=by_id))
    for pattern, number in patterns.items():
        counted = {"of_step": step_id, "with_pattern": pattern, "more": sign * number, "by_id": by_id}
        transaction.connection.execute(_count_in_group, counted)
    count_open(transaction, step_id)


def _tell(transaction: Transaction, meant: Failures, step: Any, said: str) -> None:
    """In the log of the step; who keeps a run that is over sees by that line that it is another than before."""
    ids = meant.worker_ids or ()
    log_line(transaction, step.id, "info", said, ids[0] if len(ids) == 1 else None)
    transaction.changes.append(StepChanged(meant.manager_id, step.id, step.name, step.status))


def _of(meant: Failures, job_id: int) -> str:
    if meant.pattern is not None:
        return f" of one failure group of step {job_id}"
    if job_id == meant.manager_id:
        return ""
    return f" of step {job_id}" if job_id == meant.step_id else f" of work item {job_id}"


def _failures(number: int) -> str:
    return f"{number:,} failure{'' if number == 1 else 's'}"
