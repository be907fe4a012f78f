"""The audit: recounts every number from scratch and verifies every rule that the database should keep.

Nothing here is used to show or to decide; it only finds out whether what is shown could be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from app.queue import postgres_document_index, schedule_audit
from app.queue.database import Database
from app.queue.deletions import runs_being_deleted
from app.queue.documents import category_of
from app.queue.engine_reading import ticket_drifts
from app.queue.failure_pattern import pattern_of
from app.queue.models import Level
from app.queue.records import RunRecord, StepRecord
from app.queue.run_plan import OnError, Tolerance
from app.queue.run_reading import runs_by_id
from app.queue.status import ACTIVE, FINAL, Status, StepState, manager_verdict, start_verdict
from app.queue.store.counting import COUNTED
from app.queue.store.failure_groups import OTHER
from app.queue.tables import (
    document,
    failure_group,
    frozen_job,
    frozen_set,
    log_counter,
    log_entry,
    manager_job,
    minute_counter,
    open_failure,
    owner,
    planning_failure,
    sequence,
    step_counter,
    step_job,
    step_wait,
    worker_job,
)
from app.queue.whereabouts import told

BATCH = 200

_categories = select(document.c.id, document.c.category, document.c.details).execution_options(yield_per=BATCH)
_index_gaps = text(
    "SELECT id FROM document WHERE id NOT IN (SELECT id FROM document_text_docsize)"
    " UNION ALL SELECT id FROM document_text_docsize WHERE id NOT IN (SELECT id FROM document)"
)


def check(database: Database) -> list[str]:
    """Every drift that is found, one sentence each; empty when the database is sound."""
    if damage := database.damage():
        return [f"the file is damaged: {damage}; restore a backup: stepglass restore FILE"]
    with database.read() as connection:
        drifts = [drift for examine in _EXAMINATIONS for drift in examine(connection)]
        unseen = _names_of_deleted(connection)
        return [drift for drift in drifts if drift.partition(":")[0] not in unseen]


def _names_of_deleted(connection: Connection) -> set[str]:
    """What the drifts of runs whose deletion has begun start with: part of their rows is gone, and nobody sees the
    rest."""
    names = set[str]()
    if deleted := runs_being_deleted(connection):
        names |= {f"job {manager_id}" for manager_id in deleted}
        steps = connection.execute(select(step_job.c.id).where(step_job.c.manager_id.in_(deleted))).scalars()
        names |= {f"step {step_id}" for step_id in steps}
    return names


def _counters(connection: Connection) -> Iterator[str]:
    """Each counter equals the number of work items that it counts."""
    recount = select(worker_job.c.step_id, worker_job.c.status, func.count()).group_by(
        worker_job.c.step_id, worker_job.c.status
    )
    counted = {(step_id, status): number for step_id, status, number in connection.execute(recount)}
    kept = {(row.step_id, row.status): row.number for row in connection.execute(select(step_counter))}
    for key in sorted(counted.keys() | kept.keys()):
        there, said = counted.get(key, 0), kept.get(key, 0)
        if there != said:
            yield f"step {key[0]}: the counter says {said} {key[1]}, there are {there}"
    steps = connection.execute(select(step_job.c.id)).scalars()
    for step_id in steps:
        if missing := [status.value for status in COUNTED if (step_id, status) not in kept]:
            yield f"step {step_id}: no counter for {', '.join(missing)}"


def _logs(connection: Connection) -> Iterator[str]:
    """The lines of each step are numbered 1..N, and N is what the step says."""
    lines = (
        select(
            log_entry.c.step_id,
            func.count().label("number"),
            func.min(log_entry.c.line).label("first"),
            func.max(log_entry.c.line).label("last"),
        )
        .group_by(log_entry.c.step_id)
        .subquery()
    )
    query = select(step_job.c.id, step_job.c.log_count, lines).outerjoin(lines, lines.c.step_id == step_job.c.id)
    for row in connection.execute(query):
        number, first, last = row.number or 0, row.first or 0, row.last or 0
        if number != row.log_count:
            yield f"step {row.id}: it says {row.log_count} log lines, there are {number}"
        if number and (first, last) != (1, number):
            yield f"step {row.id}: {number} log lines are numbered {first}..{last}"


def _log_levels(connection: Connection) -> Iterator[str]:
    """Each counter of lines equals the number of lines of that level."""
    recount = select(log_entry.c.step_id, log_entry.c.level, func.count()).group_by(
        log_entry.c.step_id, log_entry.c.level
    )
    counted = {(step_id, level): number for step_id, level, number in connection.execute(recount)}
    kept = {(row.step_id, row.level): row.number for row in connection.execute(select(log_counter))}
    for step_id in connection.execute(select(step_job.c.id)).scalars():
        for level in Level:
            there, said = counted.get((step_id, level), 0), kept.get((step_id, level))
            if said is None:
                yield f"step {step_id}: no counter for {level} lines"
            elif there != said:
                yield f"step {step_id}: the counter says {said} {level} lines, there are {there}"


def _failure_groups(connection: Connection) -> Iterator[str]:
    """Each group counts the failures that its step has of its pattern; failures beyond the last group are counted
    together."""
    failed = select(worker_job.c.step_id, worker_job.c.error).where(worker_job.c.status == Status.FAILED)
    there = Counter((step_id, pattern_of(error or "")) for step_id, error in connection.execute(failed))
    kept = {(row.step_id, row.pattern): row for row in connection.execute(select(failure_group))}
    for step_id, pattern in sorted(there.keys() | {key for key in kept if key[1] != OTHER}):
        said = kept[step_id, pattern].number if (step_id, pattern) in kept else 0
        number = there[step_id, pattern]
        if said > number or (said < number and (step_id, OTHER) not in kept):
            yield f"step {step_id}: {said} failures are grouped as {pattern!r}, there are {number}"
    of_step = Counter[int]()
    for row in kept.values():
        of_step[row.step_id] += row.number
    for step_id, number in sorted(Counter(key[0] for key in there.elements()).items()):
        if of_step[step_id] != number:
            yield f"step {step_id}: its groups hold {of_step[step_id]} failures, there are {number}"


def _failure_lists(connection: Connection) -> Iterator[str]:
    """Each group counts the failures that are noted to be in it."""
    noted = (
        select(worker_job.c.step_id, worker_job.c.failure_pattern, func.count())
        .where(worker_job.c.status == Status.FAILED)
        .group_by(worker_job.c.step_id, worker_job.c.failure_pattern)
    )
    there = {(step_id, pattern): number for step_id, pattern, number in connection.execute(noted)}
    kept = {(row.step_id, row.pattern): row.number for row in connection.execute(select(failure_group))}
    for step_id, pattern in there.keys() | kept.keys():
        number, said = there.get((step_id, pattern), 0), kept.get((step_id, pattern), 0)
        if number != said:
            yield f"step {step_id}: {said} failures are counted as {pattern!r}, {number} are noted to be in that group"


def _open_failures(connection: Connection) -> Iterator[str]:
    """Each counter equals the number of failures that nobody has acknowledged; each group knows how many of its own
    somebody has; each step that failed by its planning is noted as such."""
    of_step = select(worker_job.c.step_id, func.count()).where(worker_job.c.status == Status.FAILED)
    unseen = of_step.where(worker_job.c.acknowledgement_id.is_(None)).group_by(worker_job.c.step_id)
    there = {row[0]: row[1] for row in connection.execute(unseen)}
    kept = {row.step_id: row.number for row in connection.execute(select(open_failure))}
    for step_id in sorted(there.keys() | kept.keys()):
        if there.get(step_id, 0) != kept.get(step_id, 0) or kept.get(step_id) == 0:
            yield f"step {step_id}: {kept.get(step_id, 0)} failures are counted as open, {there.get(step_id, 0)} are"
    pattern = worker_job.c.failure_pattern
    seen = select(worker_job.c.step_id, pattern, func.count()).where(worker_job.c.acknowledgement_id.is_not(None))
    closed = {(row[0], row[1]): row[2] for row in connection.execute(seen.group_by(worker_job.c.step_id, pattern))}
    groups = {(row.step_id, row.pattern): row.acknowledged for row in connection.execute(select(failure_group))}
    for key in closed.keys() | {key for key, number in groups.items() if number}:
        number, said = closed.get(key, 0), groups.get(key, 0)
        if number != said:
            yield f"step {key[0]}: {said} failures of {key[1]!r} are counted as acknowledged, {number} are"
    by_planning = select(step_job.c.id).where(
        step_job.c.status == Status.FAILED, step_job.c.reason.startswith("planning failed: ")
    )
    failed = set(connection.execute(by_planning).scalars())
    for step_id in sorted(failed ^ set(connection.execute(select(planning_failure.c.step_id)).scalars())):
        noted = "is not" if step_id in failed else "is"
        yield f"step {step_id}: it {noted} noted among those whose planning failed"


def _frozen_sets(connection: Connection) -> Iterator[str]:
    """Each set that can be confirmed, or was, holds as many jobs as it says."""
    counted = select(frozen_job.c.set_id, func.count()).group_by(frozen_job.c.set_id)
    there = {row[0]: row[1] for row in connection.execute(counted)}
    for row in connection.execute(select(frozen_set).where(frozen_set.c.total.is_not(None))):
        if (number := there.get(row.id, 0)) != row.total:
            yield f"frozen set {row.id}: it says {row.total} jobs, there are {number}"


def _minutes(connection: Connection) -> Iterator[str]:
    """No minute has fewer endings than work items that ended in it (some may have been removed since). One that ends
    when it began did so at another minute, of a clock that was set back while it ran."""
    kept = {(row.minute, row.status): row.number for row in connection.execute(select(minute_counter))}
    if not kept:
        return
    first = min(minute for minute, _ in kept) * 60
    ended = select(worker_job.c.finished_at, worker_job.c.status).where(
        worker_job.c.finished_at >= first,
        worker_job.c.finished_at > worker_job.c.started_at,
        worker_job.c.status.in_((Status.COMPLETED, Status.FAILED)),
    )
    there = Counter((int(at // 60), status) for at, status in connection.execute(ended))
    for (minute, status), number in sorted(there.items()):
        if number > kept.get((minute, status), 0):
            yield f"minute {minute}: {kept.get((minute, status), 0)} {status} are counted, there are {number}"


def _parents(connection: Connection) -> Iterator[str]:
    """Every work item's step belongs to its manager; every line's work item to its step."""
    strangers = (
        select(worker_job.c.id, worker_job.c.step_id, worker_job.c.manager_id)
        .outerjoin(step_job, step_job.c.id == worker_job.c.step_id)
        .where((step_job.c.id.is_(None)) | (step_job.c.manager_id != worker_job.c.manager_id))
    )
    for row in connection.execute(strangers):
        yield f"work item {row.id}: step {row.step_id} is not one of job {row.manager_id}"
    misfiled = (
        select(log_entry.c.step_id, log_entry.c.line)
        .join(worker_job, worker_job.c.id == log_entry.c.worker_id)
        .where(worker_job.c.step_id != log_entry.c.step_id)
    )
    for step_id, line in connection.execute(misfiled):
        yield f"step {step_id}: line {line} belongs to a work item of another step"


def _documents(connection: Connection) -> Iterator[str]:
    """Each step is credited with the documents that carry its name."""
    made = select(document.c.created_by_step, func.count()).group_by(document.c.created_by_step)
    there = {row[0]: row[1] for row in connection.execute(made)}
    for row in connection.execute(select(step_job.c.id, step_job.c.document_count)):
        if (number := there.get(row.id, 0)) != row.document_count:
            yield f"step {row.id}: it says {row.document_count} documents, there are {number}"


def _found_documents(connection: Connection) -> Iterator[str]:
    """Each document is found by the category that its details name, and by its text."""
    for row in connection.execute(_categories):
        if row.category != category_of(row.details):
            yield f"document {row.id}: it is listed in category {row.category}, not in {category_of(row.details)}"
    is_sqlite = connection.dialect.name == "sqlite"
    gaps = connection.execute(_index_gaps).scalars() if is_sqlite else postgres_document_index.gaps(connection)
    for document_id in gaps:
        yield f"document {document_id}: a search for its text does not find it"


def _times(connection: Connection) -> Iterator[str]:
    """What is final has an end, what is not has none; nothing ends before it starts."""
    for name, table in (("job", manager_job), ("step", step_job), ("work item", worker_job)):
        final = table.c.status.in_(tuple(FINAL))
        for row in connection.execute(select(table.c.id, table.c.status).where(final, table.c.finished_at.is_(None))):
            yield f"{name} {row.id}: {row.status}, but has no end"
        early = select(table.c.id).where(table.c.finished_at < table.c.started_at)
        for row in connection.execute(early):
            yield f"{name} {row.id}: it ended before it started"
    open_ended = select(worker_job.c.id, worker_job.c.status).where(
        worker_job.c.status.in_(ACTIVE), worker_job.c.finished_at.is_not(None)
    )
    for row in connection.execute(open_ended):
        yield f"work item {row.id}: {row.status}, but has an end"


def _owners(connection: Connection) -> Iterator[str]:
    """Nothing is in the hands of an owner that has ended."""
    running = (
        select(worker_job.c.id, worker_job.c.claimed_by)
        .join(owner, owner.c.name == worker_job.c.claimed_by)
        .where(worker_job.c.status == Status.RUNNING, owner.c.ended_at.is_not(None))
    )
    for row in connection.execute(running):
        yield f"work item {row.id}: running, but {told(row.claimed_by)} has ended"
    planning = (
        select(step_job.c.id, step_job.c.planned_by)
        .join(owner, owner.c.name == step_job.c.planned_by)
        .where(step_job.c.status == Status.RUNNING, ~step_job.c.planned, ~step_job.c.ready)
        .where(owner.c.ended_at.is_not(None))
    )
    for row in connection.execute(planning):
        yield f"step {row.id}: in planning, but {told(row.planned_by)} has ended"


def _ids(connection: Connection) -> Iterator[str]:
    """No id was given twice, and none is beyond the last one handed out."""
    last = connection.execute(select(sequence.c.value).where(sequence.c.name == "job")).scalar_one()
    for name, table in (("job", manager_job), ("step", step_job), ("work item", worker_job)):
        highest = connection.execute(select(func.max(table.c.id))).scalar_one()
        if highest is not None and highest > last:
            yield f"{name} {highest}: its id was never handed out (the last one is {last})"
    for name, one, other in (
        ("a job and a step", manager_job, step_job),
        ("a job and a work item", manager_job, worker_job),
        ("a step and a work item", step_job, worker_job),
    ):
        for job_id in connection.execute(select(one.c.id).join(other, other.c.id == one.c.id)).scalars():
            yield f"id {job_id} stands for {name}"


def _orchestration(connection: Connection) -> Iterator[str]:
    """No step or run has been left behind: what the rules would end or start has been."""
    ids = list(connection.execute(select(manager_job.c.id).order_by(manager_job.c.id)).scalars())
    ready = set(connection.execute(select(step_job.c.id).where(step_job.c.ready)).scalars())
    tolerances = {
        row.id: Tolerance(row.max_child_failures, row.failure_action) for row in connection.execute(select(manager_job))
    }
    for first in range(0, len(ids), BATCH):
        for run in runs_by_id(connection, ids[first : first + BATCH]):
            yield from _run(run, tolerances[run.id], ready)


def _run(run: RunRecord, tolerance: Tolerance, ready: set[int]) -> Iterator[str]:
    states = {step.name: _state(step) for step in run.steps}
    if run.is_final and any(not step.is_final for step in run.steps):
        yield f"job {run.id}: {run.status}, but not all of its steps are final"
    if not run.is_final and manager_verdict(list(states.values())):
        yield f"job {run.id}: all its steps are final, but it is still {run.status}"
    for step in run.steps:
        active = step.counts.pending + step.counts.running
        if step.is_final and active:
            yield f"step {step.id}: {step.status}, but {active} of its work items are not final"
        if step.status is Status.PENDING and step.counts.total:
            yield f"step {step.id}: pending, but has work items"
        if step.status is Status.RUNNING and step.planned and not active:
            yield f"step {step.id}: all its work items are final, but it is still running"
        if step.status is Status.PENDING and step.id not in ready and start_verdict(states[step.name], states):
            yield f"step {step.id}: it waits for nothing, but has not been released"
        if not step.reason and step.status is not Status.RUNNING:
            yield f"step {step.id}: {step.status}, but does not say why"


def _waits(connection: Connection) -> Iterator[str]:
    """Only what is not over says what it waits for."""
    over = select(step_wait.c.step_id, step_wait.c.sentence).join(step_job, step_job.c.id == step_wait.c.step_id)
    for row in connection.execute(over.where(step_job.c.status.in_(tuple(FINAL)))):
        yield f"step {row.step_id}: it is over, but waits: {row.sentence}"


def _state(step: StepRecord) -> StepState:
    return StepState(step.name, step.status, step.depends, OnError(step.on_error), step.always_run, step.taken_from)


_EXAMINATIONS: tuple[Callable[[Connection], Iterator[str]], ...] = (
    _counters,
    _logs,
    _log_levels,
    _failure_groups,
    _failure_lists,
    _open_failures,
    _frozen_sets,
    _minutes,
    _parents,
    _documents,
    _found_documents,
    _times,
    _owners,
    _ids,
    _orchestration,
    schedule_audit.schedules,
    schedule_audit.ticks,
    _waits,
    ticket_drifts,
)
