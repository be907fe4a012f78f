"""freeze, confirm, act: one action on many jobs, those that somebody has looked at, and no others.

A list is written down, job by job, when it is previewed. Once that is confirmed a run begins whose work items each
take some of these jobs. What becomes of a job is noted in the transaction that does it, so that however often a work
item is begun anew, nothing is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from app.queue.actor import Actor, Place
from app.queue.bulk_reading import Report, UnknownSet, report_of
from app.queue.bulk_rules import DEFINITION, REPORT, BulkAction, FrozenState, Outcome, refusal
from app.queue.deletions import runs_being_deleted
from app.queue.models import Kind
from app.queue.prepared import PreparedInsert
from app.queue.retrying import Again
from app.queue.run_plan import OnError, RunPlan, StepPlan
from app.queue.status import ACTIVE, Status
from app.queue.storage_faults import fault_of
from app.queue.store.acknowledge import LONGEST_NOTE, Failures, acknowledge
from app.queue.store.actions import made_by, record
from app.queue.store.cancel import cancel_item, cancel_step
from app.queue.store.control import Target, cancel_as, delete_as, retry_as
from app.queue.store.delete import NotOver
from app.queue.store.logging import Line, log
from app.queue.store.retry import NothingToRetry, retry
from app.queue.store.start import StartRefused, start
from app.queue.tables import frozen_job, frozen_set, manager_job, step_job, worker_job
from app.queue.text import storable
from app.queue.writer import Transaction

KEPT = 24 * 3600.0
"""Seconds that a set stays that nobody confirms, or whose run is gone."""
SWEPT_AT_ONCE = 5_000
LONGEST_HOLD = 0.03
"""Seconds after which an act lets others write before it goes on."""


class AlreadyUsed(Exception):
    """The set was used for another action."""

    def __init__(self, action: str, manager_id: int | None) -> None:
        super().__init__(f"this preview was used already, to {action}; ask for a new one on the list")
        self.manager_id = manager_id


@dataclass(frozen=True, slots=True)
class Chunk:
    """The jobs first..last of a set, in the hands of one attempt of a work item."""

    set_id: int
    first: int
    last: int
    step_id: int
    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Acted:
    """`next`: the job to go on with; None if the chunk is done, or is not this attempt's any more. `deleting`: a run
    whose rows have to go before that."""

    next: int | None
    deleting: int | None = None


_insert_jobs = PreparedInsert(
    frozen_job, ("set_id", "number", "job_id", "kind", "status", "finished_at", "failed", "is_open", "why")
)
_by_token = select(frozen_set).where(frozen_set.c.token == bindparam("of_token"), frozen_set.c.total.is_not(None))
_by_id = select(frozen_set).where(frozen_set.c.id == bindparam("of_set"))
_owned = select(worker_job.c.id).where(
    worker_job.c.step_id == bindparam("of_step"),
    worker_job.c.name == bindparam("of_name"),
    worker_job.c.status == Status.RUNNING,
    worker_job.c.attempt == bindparam("by_attempt"),
)
_left = (
    select(frozen_job)
    .where(
        frozen_job.c.set_id == bindparam("of_set"),
        frozen_job.c.number.between(bindparam("first"), bindparam("last")),
        frozen_job.c.outcome.is_(None),
    )
    .order_by(frozen_job.c.number)
)
_note = (
    update(frozen_job)
    .where(frozen_job.c.set_id == bindparam("of_set"), frozen_job.c.number == bindparam("of_number"))
    .values(outcome=bindparam("to"), why=bindparam("because"))
)
_NOW = {
    Kind.MANAGER: (manager_job, (manager_job.c.id.label("manager_id"),)),
    Kind.STEP: (step_job, (step_job.c.manager_id,)),
    Kind.WORKER: (worker_job, (worker_job.c.manager_id, worker_job.c.step_id, worker_job.c.acknowledgement_id)),
}
"""What is asked of the jobs of each kind, beside their names and how they are."""
_old = (
    select(frozen_set.c.id)
    .where(frozen_set.c.manager_id.is_(None), frozen_set.c.at < bindparam("before"))
    .order_by(frozen_set.c.id)
    .limit(1)
)
_some_jobs = (
    select(frozen_job.c.number).where(frozen_job.c.set_id == bindparam("of_set")).limit(SWEPT_AT_ONCE).scalar_subquery()
)
_forget_jobs = delete(frozen_job).where(frozen_job.c.set_id == bindparam("of_set"), frozen_job.c.number.in_(_some_jobs))
_close_set = update(frozen_set).where(frozen_set.c.id == bindparam("of_set")).values(total=None)
_forget_set = delete(frozen_set).where(frozen_set.c.id == bindparam("of_set"))


def begin_set(transaction: Transaction, token: str, words: str, asked: str) -> int:
    """A set to which jobs are now added. `words`: which jobs they are. `asked`: the status that the list asked for."""
    row = {"token": token, "at": transaction.now, "words": storable(words), "asked": asked}
    row |= {"note": "", "place": "", "who": ""}
    made: int = transaction.connection.execute(insert(frozen_set).values(row).returning(frozen_set.c.id)).scalar_one()
    return made


def add_jobs(transaction: Transaction, set_id: int, first: int, jobs: Sequence[Any]) -> None:
    """`jobs`: rows of job_id, kind, status, finished_at, failed, is_open. They are numbered from `first` on."""
    rows = [
        (set_id, number, job.job_id, job.kind.value, job.status.value, job.finished_at, job.failed, job.is_open, "")
        for number, job in enumerate(jobs, start=first)
    ]
    _insert_jobs.execute(transaction.connection, rows)


def end_set(transaction: Transaction, set_id: int, total: int) -> None:
    """The set is complete: from now on it can be looked at, and confirmed."""
    transaction.connection.execute(update(frozen_set).where(frozen_set.c.id == set_id).values(total=total))


def sweep_sets(transaction: Transaction) -> bool:
    """Deletes some rows of sets that nobody confirmed in time. Returns whether there may be more."""
    old = transaction.connection.execute(_old, {"before": transaction.now - KEPT}).scalar_one_or_none()
    if old is None:
        return False
    transaction.connection.execute(_close_set, {"of_set": old})  # nobody may confirm what is left of it
    if transaction.connection.execute(_forget_jobs, {"of_set": old}).rowcount < SWEPT_AT_ONCE:
        transaction.connection.execute(_forget_set, {"of_set": old})
    return True


def confirm(transaction: Transaction, token: str, plan: RunPlan, action: BulkAction, note: str, actor: Actor) -> int:
    """Starts the run that carries the action out; returns it. Confirmed twice it is the same run. `plan`: see
    `plan_of`. Raises UnknownSet, AlreadyUsed or StartRefused."""
    row = transaction.connection.execute(_by_token, {"of_token": token}).one_or_none()
    if row is None:
        raise UnknownSet
    if row.action is not None:
        if row.action != action or row.manager_id is None:
            raise AlreadyUsed(row.action, row.manager_id)
        return int(row.manager_id)
    manager_id = start(transaction, plan)
    note = storable(note).strip()[:LONGEST_NOTE]
    by = {"action": action.value, "note": note, "place": actor.place.name, "who": actor.name, "manager_id": manager_id}
    transaction.connection.execute(update(frozen_set).where(frozen_set.c.id == row.id).values(by))
    said = f"started it, to {action} {row.total:,} {row.words}{f': {note}' if note else ''}"
    record(transaction, actor, "start", said, manager_id, manager_id)
    return manager_id


def plan_of(set_id: int, total: int, words: str, action: BulkAction, number: int) -> RunPlan:
    """The run that does it to `number` of the `total` jobs of a set, and sums up what it did."""
    steps = (
        StepPlan("act", DEFINITION, f"{action} {words}", (), OnError.CONTINUE, settings={"set": set_id, "jobs": total}),
        StepPlan("report", REPORT, "what was done", ("act",), always_run=True, settings={"set": set_id}),
    )
    name = f"{action.capitalize()} {number:,} job{'' if number == 1 else 's'}"
    return RunPlan(DEFINITION, name, steps, concurrency=1_000, parameters={"action": action.value, "jobs": words})


def act(transaction: Transaction, chunk: Chunk, first: int, concurrency: Mapping[str, int]) -> Acted:
    """Goes on with a chunk from job `first`, for as long as nobody has to wait for it. `concurrency`: how many runs of
    a definition may be in progress at once."""
    fence = {"of_step": chunk.step_id, "of_name": chunk.name, "by_attempt": chunk.attempt}
    owned = transaction.connection.execute(_owned, fence).scalar_one_or_none()
    acting = owned and _Acting.of(transaction, chunk, owned, concurrency)
    return acting.go_on(first) if acting else Acted(None)


def report(transaction: Transaction, set_id: int) -> Report:
    """What was done to the jobs of a set."""
    return report_of(transaction.connection, set_id)


_Verdicts = list[tuple[Any, Outcome, str]]
"""What became of jobs of a set, and why."""


@dataclass(frozen=True, slots=True)
class _Acting:
    transaction: Transaction
    chunk: Chunk
    worker_id: int
    concurrency: Mapping[str, int]
    set: Any
    action: BulkAction
    actor: Actor
    deleted: frozenset[int]

    @classmethod
    def of(
        cls, transaction: Transaction, chunk: Chunk, worker_id: int, concurrency: Mapping[str, int]
    ) -> _Acting | None:
        row = transaction.connection.execute(_by_id, {"of_set": chunk.set_id}).one_or_none()
        if row is None or row.action is None:
            return None
        actor = Actor(Place[row.place], row.who)
        deleted = runs_being_deleted(transaction.connection)
        return cls(transaction, chunk, worker_id, concurrency, row, BulkAction(row.action), actor, deleted)

    def go_on(self, first: int) -> Acted:
        until = time.monotonic() + LONGEST_HOLD
        left = {"of_set": self.chunk.set_id, "first": first, "last": self.chunk.last}
        members = self.transaction.connection.execute(_left, left).all()
        present = self._present(members)
        for alike in _alike(members, present):
            deleting = self._settle(alike, present)
            if deleting is not None or time.monotonic() > until:
                after = alike[-1].number + 1
                return Acted(after if after <= self.chunk.last else None, deleting)
        return Acted(None)

    def _present(self, members: Sequence[Any]) -> dict[int, Any]:
        """The jobs as they are now, by id; those of runs that are being deleted are gone."""
        found: dict[int, Any] = {}
        for kind, (table, more) in _NOW.items():
            if ids := [member.job_id for member in members if member.kind is kind]:
                query = select(table.c.id, table.c.name, table.c.status, table.c.finished_at, *more)
                rows = self.transaction.connection.execute(query.where(table.c.id.in_(ids)))
                found |= {row.id: row for row in rows if row.manager_id not in self.deleted}
        return found

    def _settle(self, members: Sequence[Any], present: Mapping[int, Any]) -> int | None:
        """Does it to jobs that are alike, and notes what became of each. Returns a run that is half deleted."""
        verdicts: _Verdicts = []
        able = []
        for member in members:
            if why := self._obstacle(member, present.get(member.job_id)):
                verdicts.append((member, Outcome.SKIPPED, why))
            else:
                able.append(member)
        deleting = None
        if able:
            outcome, why, deleting = self._carry_out(able, present)
            verdicts += [(member, outcome, why) for member in able]
        self._write_down(verdicts, present)
        return deleting

    def _obstacle(self, member: Any, row: Any) -> str | None:
        """Why a job is left alone."""
        state = FrozenState(member.kind, member.status, member.failed, member.is_open)
        if why := refusal(self.action, state, self.set.asked):
            return why
        if row is None:
            return "it was deleted since the preview"
        if self.action is BulkAction.CANCEL:
            # Meanwhile a pending one may have begun; it is cancelled all the same, unless only pending ones were meant.
            as_asked = row.status in ACTIVE and self.set.asked in ("", row.status)
            return None if as_asked else f"it changed since the preview: it was {member.status}, and is {row.status}"
        if row.status is not member.status:
            return f"it changed since the preview: it was {member.status}, and is {row.status}"
        if row.finished_at != member.finished_at:
            return f"it changed since the preview: it ran again, and is {row.status} again"
        if member.kind is Kind.WORKER and self.action is BulkAction.ACKNOWLEDGE and row.acknowledgement_id is not None:
            return "it was acknowledged since the preview"
        return None

    def _carry_out(self, members: Sequence[Any], present: Mapping[int, Any]) -> tuple[Outcome, str, int | None]:
        transaction, before = self.transaction, len(self.transaction.changes)
        transaction.connection.exec_driver_sql("SAVEPOINT bulk")
        try:
            outcome, why, deleting = self._do([present[member.job_id] for member in members], members[0].kind)
        except Exception as error:
            if fault_of(error):  # the database itself is in trouble
                raise
            transaction.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT bulk")
            del transaction.changes[before:]
            refused = isinstance(error, NothingToRetry | NotOver | StartRefused)
            outcome, deleting = Outcome.SKIPPED if refused else Outcome.FAILED, None
            why = str(error) if refused else f"{type(error).__name__}: {error}"
        transaction.connection.exec_driver_sql("RELEASE SAVEPOINT bulk")
        return outcome, storable(why)[:300], deleting

    def _do(self, rows: Sequence[Any], kind: Kind) -> tuple[Outcome, str, int | None]:
        """`rows`: one run, one step, or work items of one step."""
        first, manager_id = rows[0], rows[0].manager_id
        step_id = None if kind is Kind.MANAGER else first.id if kind is Kind.STEP else first.step_id
        worker_ids = tuple(row.id for row in rows) if kind is Kind.WORKER else None
        done, deleting = True, None
        match self.action:
            case BulkAction.RETRY:
                again = Again(manager_id, step_id, None, None, self.set.asked == Status.CANCELLED, worker_ids)
                self._retry(again)
            case BulkAction.CANCEL:
                done = self._cancel(Target(manager_id, step_id), worker_ids)
            case BulkAction.ACKNOWLEDGE:
                meant = Failures(manager_id, step_id, worker_ids, until=self.set.at if worker_ids is None else None)
                done = acknowledge(self.transaction, meant, self.set.note, self.actor) > 0
            case BulkAction.DELETE:
                deleting = manager_id if delete_as(self.transaction, manager_id, self.actor) else None
        if done and self.action is not BulkAction.DELETE:
            self._record(manager_id)
        return (Outcome.DONE, "", deleting) if done else (Outcome.SKIPPED, "there was nothing left to be done", None)

    def _retry(self, again: Again) -> None:
        definition = self._definition(again.manager_id)
        concurrency = self.concurrency.get(definition)
        if again.step_id is None:
            retry_as(self.transaction, again, self.actor, concurrency)
        else:
            retry(self.transaction, again, f"retried {self.actor.by}", concurrency)

    def _definition(self, manager_id: int) -> str:
        query = select(manager_job.c.definition).where(manager_job.c.id == manager_id)
        return str(self.transaction.connection.execute(query).scalar_one())

    def _cancel(self, target: Target, worker_ids: tuple[int, ...] | None) -> bool:
        reason = f"cancelled {self.actor.by}"
        if worker_ids is not None:
            return sum(cancel_item(self.transaction, worker_id, reason) for worker_id in worker_ids) > 0
        if target.step_id is not None:
            return cancel_step(self.transaction, target.step_id, reason)
        return cancel_as(self.transaction, target, self.actor) is not None

    def _record(self, manager_id: int) -> None:
        """Once for each run that the action comes to."""
        key = f"bulk {self.set.token} {manager_id}"
        if made_by(self.transaction, key) is None:
            said = f"{_PAST[self.action]} {self.set.words} in bulk, by"
            record(self.transaction, self.actor, "bulk", said, manager_id, manager_id, key, self.set.manager_id)

    def _write_down(self, verdicts: _Verdicts, present: Mapping[int, Any]) -> None:
        """What became of the jobs, beside them and in the log of the work item that did it."""
        self.transaction.connection.execute(
            _note,
            [
                {"of_set": self.chunk.set_id, "of_number": member.number, "to": outcome.value, "because": why}
                for member, outcome, why in verdicts
            ],
        )
        now, step_id = self.transaction.now, self.chunk.step_id
        lines = [
            Line(step_id, self.worker_id, now, _LEVELS[outcome], self._said(member, present, outcome, why))
            for member, outcome, why in sorted(verdicts, key=lambda verdict: verdict[0].number)
        ]
        log(self.transaction, lines)

    def _said(self, member: Any, present: Mapping[int, Any], outcome: Outcome, why: str) -> str:
        row = present.get(member.job_id)
        name = f" ({row.name[:200]})" if row is not None else ""
        what = {Outcome.DONE: f"{self.action}: done", Outcome.SKIPPED: "skipped", Outcome.FAILED: "failed"}[outcome]
        return f"job {member.job_id}{name}: {what}{f': {why}' if why else ''}"


_PAST = {
    BulkAction.RETRY: "retried",
    BulkAction.CANCEL: "cancelled",
    BulkAction.ACKNOWLEDGE: "acknowledged",
    BulkAction.DELETE: "deleted",
}
_LEVELS = {Outcome.DONE: "info", Outcome.SKIPPED: "info", Outcome.FAILED: "error"}


def _alike(members: Sequence[Any], present: Mapping[int, Any]) -> Iterator[list[Any]]:
    """Work items of one step together, since what they have in common is then done once; all others alone."""

    def place(member: Any) -> tuple[int, int]:
        row = present.get(member.job_id)
        return (1, row.step_id) if row is not None and member.kind is Kind.WORKER else (0, member.number)

    for _, alike in groupby(members, key=place):
        yield list(alike)
