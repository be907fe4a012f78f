"""The snapshot: one read transaction, and everything that a page may read from it.

All that comes from one snapshot agrees, because it belongs to one moment; `revision` names the moment. It grows
with every commit that changed something.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.engine import Connection

from app.queue import (
    action_reading,
    definition_reading,
    document_facets,
    document_lists,
    failure_reading,
    minute_reading,
    open_failures,
    owner_reading,
    run_reading,
)
from app.queue.bulk_reading import BulkReading
from app.queue.database import Database
from app.queue.definition_reading import DefinitionState, RunBrief
from app.queue.deletions import deletions_in
from app.queue.document_lists import DocumentFilter
from app.queue.document_records import DocumentFacets, DocumentPage, WholeDocument
from app.queue.engine_reading import TicketCounts, ticket_counts
from app.queue.job_lists import JobFilter, JobLists
from app.queue.kept_runs import KeptRuns
from app.queue.log_reading import LogFilter, LogReading
from app.queue.models import Kind
from app.queue.owner_reading import OwnerRecord
from app.queue.pauses import pause_of, pauses
from app.queue.places import LARGEST
from app.queue.records import (
    ActionPage,
    ActionRecord,
    Counts,
    FailureGroup,
    ItemRecord,
    JobPage,
    JobRecord,
    Kin,
    LogLine,
    LogPage,
    MinuteRecord,
    Paused,
    RunPage,
    RunRecord,
    Statistics,
    StepRecord,
)
from app.queue.rerun_reading import plan_of
from app.queue.retrying import Again, Foreseen, foresee
from app.queue.run_plan import RunPlan
from app.queue.run_reading import RunFilter
from app.queue.schedule_reading import ScheduleRecord, TickRecord, schedules, ticks_of
from app.queue.tables import manager_job, sequence, step_counter, step_job
from app.queue.whole_documents import whole_document

M = TypeVar("M", JobFilter, RunFilter, DocumentFilter)
T = TypeVar("T")

__all__ = ["DocumentFilter", "JobFilter", "LogFilter", "RunFilter", "Snapshot", "UnknownDocument", "UnknownJob"]

_numbers = select(sequence)
_managers = select(manager_job.c.status, func.count()).group_by(manager_job.c.status)
_steps = select(step_job.c.status, func.count()).group_by(step_job.c.status)
_workers = select(step_counter.c.status, func.sum(step_counter.c.number)).group_by(step_counter.c.status)


class UnknownJob(LookupError):
    """There is no job of that id, or no longer."""

    def __init__(self, job_id: int | str) -> None:
        super().__init__(f"there is no job {job_id}; it may have been deleted")


class UnknownDocument(LookupError):
    """There is no document of that id, or no longer."""

    def __init__(self, document_id: int) -> None:
        super().__init__(f"there is no document {document_id}; it may have been deleted")


class Snapshot:
    """Reads of one moment. Made by `Snapshot.of(database)`; usable until the end of its `with` block, in one thread.

    What many views show is read once: it cannot have changed since."""

    def __init__(self, connection: Connection, kept: KeptRuns, now: float) -> None:
        self._connection = connection
        self._kept = kept
        self.now = now
        """By the clock of the queue."""
        numbers = {row.name: row.value for row in connection.execute(_numbers)}
        self.revision: int = numbers["revision"]
        """Taken first, so that the moment is fixed before anything else is read."""
        self._deleted = deletions_in(numbers)
        self._known: dict[Hashable, Any] = {}
        self._runs: dict[int, RunRecord] = {}
        self._lists = JobLists(connection)
        self.logs = LogReading(connection)
        """Windows of logs, and searches in them."""

    @classmethod
    @contextmanager
    def of(cls, database: Database) -> Iterator[Snapshot]:
        with database.read() as connection:
            yield cls(connection, database.kept_runs, database.clock.now())

    def statistics(self) -> Statistics:
        """Counts of all jobs, by kind and status."""
        return self._once("statistics", self._counted)

    def _counted(self) -> Statistics:
        managers, steps, workers = (
            Counts.of({status: int(number) for status, number in self._connection.execute(query)})
            for query in self._counting
        )
        return Statistics(managers, steps, workers, open_failures.total(self._connection, self._deleted))

    @property
    def _counting(self) -> tuple[Select[Any], ...]:
        if not self._deleted:
            return _managers, _steps, _workers
        steps = step_job.c.manager_id.not_in(self._deleted)
        counted = step_counter.c.step_id.in_(select(step_job.c.id).where(steps))
        return _managers.where(manager_job.c.id.not_in(self._deleted)), _steps.where(steps), _workers.where(counted)

    def minutes(self, number: int) -> tuple[MinuteRecord, ...]:
        """How many work items ended in each minute, up to the last one in which any did."""
        return self._once(("minutes", number), lambda: minute_reading.minutes(self._connection, number))

    def runs(self, matching: RunFilter, limit: int, cursor: str | None = None, newest: int | None = None) -> RunPage:
        """Runs with their steps, the newest first; none newer than the run of id `newest`."""
        return run_reading.page(self._connection, self._runs_by_id, self._present(matching), limit, cursor, newest)

    def run(self, manager_id: int) -> RunRecord:
        """Raises UnknownJob."""
        known = manager_id <= LARGEST and manager_id not in self._deleted
        if known and (found := self._runs_by_id([manager_id])):
            return found[0]
        raise UnknownJob(manager_id)

    def definition_text(self, manager_id: int) -> str:
        """The definition as it was when the run started."""
        query = select(manager_job.c.definition_text).where(manager_job.c.id == manager_id)
        text: str | None = self._connection.execute(query).scalar_one_or_none()
        if text is None or manager_id in self._deleted:
            raise UnknownJob(manager_id)
        return text

    def step(self, manager_id: int, name: str) -> StepRecord:
        """Raises UnknownJob."""
        for step in self.run(manager_id).steps:
            if step.name == name:
                return step
        raise UnknownJob(f"{manager_id} with a step {name}")

    def definition_states(self, definitions: Iterable[str]) -> dict[str, DefinitionState]:
        """What the queue knows of each of these definitions, by id."""
        return definition_reading.states(self._connection, definitions, self._deleted)

    def latest_runs(self, definition: str, most: int) -> tuple[RunBrief, ...]:
        """The latest runs of a definition, the newest first."""
        return definition_reading.latest(self._connection, definition, most, self._deleted)

    def page_texts(self) -> frozenset[str]:
        """The digests of the definitions that were saved through the page."""
        return definition_reading.page_texts(self._connection)

    def failures(self, manager_id: int, most: int) -> tuple[FailureGroup, ...]:
        """A run's failed work items grouped by message, the groups with the newest failures first."""
        return failure_reading.failure_groups(self._connection, manager_id, most)

    def paused(self, definition: str) -> Paused | None:
        """What keeps runs of the definition from going on: its own pause, or that of the queue."""
        return pause_of(self._paused(), 0, definition)

    def actions(self, manager_id: int | None, most: int) -> tuple[ActionRecord, ...]:
        """What people did, the newest first: to a run and its parts, or to anything."""
        return action_reading.actions(self._connection, manager_id, most)

    def actions_of_no_run(self, definition: str | None, most: int) -> tuple[ActionRecord, ...]:
        """What people did, the newest first: to a definition, or to everything that is no run, or none any more."""
        return action_reading.actions_of_no_run(self._connection, definition, most)

    def action_page(
        self, manager_id: int | None, job_id: int | None, limit: int, cursor: str | None = None
    ) -> ActionPage:
        """What people did, the newest first: to anything, to a run and its parts, or to one part. Raises BadCursor."""
        return action_reading.page(self._connection, manager_id, job_id, limit, cursor, self._deleted)

    def kin(self, manager_id: int) -> Kin:
        """The run that this one repeats, and those that repeat it."""
        return action_reading.kin(self._connection, manager_id, self._deleted)

    def plan_of(self, manager_id: int) -> RunPlan:
        """What a run was started with, to be started again. Raises UnknownJob."""
        plan = plan_of(self._connection, manager_id) if manager_id <= LARGEST else None
        if plan is None or manager_id in self._deleted:
            raise UnknownJob(manager_id)
        return plan

    def owners(self, most_ended: int = 0) -> tuple[OwnerRecord, ...]:
        """Who works, and on what; and the last of those who have ended."""
        return owner_reading.owners(self._connection, most_ended)

    def tickets(self) -> TicketCounts | None:
        """What the tickets of the engine do; None where Procrastinate hands out nothing."""
        return ticket_counts(self._connection)

    def pauses(self) -> tuple[Paused, ...]:
        """Everything that is paused, the longest paused first."""
        return tuple(self._paused().values())

    def _paused(self) -> Mapping[str, Paused]:
        return self._once("pauses", lambda: pauses(self._connection))

    def foresee(self, again: Again) -> Foreseen:
        """What a retry would do."""
        return foresee(self._connection, again)

    def slowest(self, manager_id: int, most: int) -> tuple[JobRecord, ...]:
        """The work items of a run that took longest, among those that have ended."""
        return tuple(self._lists.slowest(manager_id, most))

    def kind_of(self, job_id: int) -> Kind:
        """Raises UnknownJob."""
        kind = self._lists.kind_of(job_id) if job_id <= LARGEST else None
        if kind is None:
            raise UnknownJob(job_id)
        return kind

    def job(self, job_id: int) -> JobRecord:
        """Raises UnknownJob."""
        found = self._lists.jobs_by_id(self.kind_of(job_id), [job_id])
        if found and found[0].manager_id not in self._deleted:
            return found[0]
        raise UnknownJob(job_id)

    def item(self, worker_id: int) -> ItemRecord:
        """Raises UnknownJob."""
        found = self._lists.jobs_by_id(Kind.WORKER, [worker_id]) if worker_id <= LARGEST else []
        present = found and found[0].manager_id not in self._deleted
        item = self._lists.item(found[0]) if present else None
        if item is None:
            raise UnknownJob(worker_id)
        return item

    def jobs(self, matching: JobFilter, limit: int, cursor: str | None = None) -> JobPage:
        """Jobs of any kind: runs and steps newest first, then work items by step, those that need attention first."""
        return self._lists.page(self._present(matching), limit, cursor)

    def documents(self, matching: DocumentFilter, limit: int, cursor: str | None = None) -> DocumentPage:
        """Documents, the newest first."""
        present = self._present(matching)
        asked = document_lists.Asked.by(self._connection, present)
        return document_lists.page(self._connection, present, asked, limit, cursor)

    def document_search(
        self, matching: DocumentFilter, limit: int, cursor: str | None = None
    ) -> tuple[DocumentPage, DocumentFacets]:
        """Documents, the newest first, and by what all that match can be narrowed down."""
        present = self._present(matching)
        asked = document_lists.Asked.by(self._connection, present)
        page = document_lists.page(self._connection, present, asked, limit, cursor)
        return page, document_facets.facets(self._connection, present, asked, page.total)

    def document(self, document_id: int, characters: int | None = None) -> WholeDocument:
        """With that many characters of its body, or all. Raises UnknownDocument."""
        known = document_id <= LARGEST
        found = whole_document(self._connection, document_id, self._deleted, characters) if known else None
        if found is None:
            raise UnknownDocument(document_id)
        return found

    def log_lines(self, step_id: int, first: int, last: int) -> tuple[LogLine, ...]:
        """The lines first..last of a step's log, both included."""
        return self.logs.window(step_id, first, last)

    def log(self, matching: LogFilter, limit: int, after: str | None = None, before: str | None = None) -> LogPage:
        """Lines in their order, after or before a place; without either the newest."""
        return self.logs.page(matching, limit, after, before)

    def schedules(self) -> dict[str, ScheduleRecord]:
        """What is known of the schedules, by definition."""
        return schedules(self._connection)

    def ticks(self, definition: str, limit: int) -> tuple[TickRecord, ...]:
        """The ticks of a definition that were dealt with, the newest first."""
        return ticks_of(self._connection, definition, limit)

    def _present(self, matching: M) -> M:
        """The filter, without what is being deleted."""
        return replace(matching, without=self._deleted) if self._deleted else matching

    def _runs_by_id(self, ids: Sequence[int]) -> list[RunRecord]:
        """The runs of those ids that exist, in that order."""
        unread = [each for each in ids if each not in self._runs]
        self._runs.update((run.id, run) for run in run_reading.kept_runs_by_id(self._connection, self._kept, unread))
        return [self._runs[each] for each in ids if each in self._runs]

    @property
    def bulk(self) -> BulkReading:
        """Whole lists, and what became of bulk actions on them."""
        return BulkReading(self._connection, self._deleted)

    def all_jobs(self, matching: JobFilter, at_once: int) -> Iterator[Sequence[Any]]:
        """All jobs of a list, so many at a time (see `BulkReading.jobs`)."""
        return self.bulk.jobs(self._present(matching), at_once)

    def _once(self, what: Hashable, read: Callable[[], T]) -> T:
        if what not in self._known:
            self._known[what] = read()
        known: T = self._known[what]
        return known
