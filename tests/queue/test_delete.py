"""What the deletion of a run takes along, and when it is seen, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from app.queue import audit
from app.queue.changes import RunDeleted
from app.queue.definition_reading import DefinitionState
from app.queue.documents import Document
from app.queue.models import Kind
from app.queue.records import RunRecord
from app.queue.run_plan import StepPlan
from app.queue.snapshot import JobFilter, LogFilter, RunFilter, Snapshot, UnknownJob
from app.queue.status import Status
from app.queue.store.cancel import cancel
from app.queue.store.delete import NotOver, delete_run, deletions_begun
from app.queue.store.documents import Saving, save_documents
from app.queue.store.logging import Line, log
from app.queue.store.retry import Again, retry
from app.queue.tables import document, metadata
from tests.queue.conftest import Queue

ONE = StepPlan("one", "trial")
TWO = StepPlan("two", "trial", depends=("one",))
STAYING = {"alembic_version", "document", "document_tag", "minute_counter", "sequence"}


async def a_finished_run(queue: Queue, definition: str = "trial") -> RunRecord:
    """With work items of two steps, lines, an earlier attempt, a failure group, a tag and a document."""
    manager_id = await queue.start(ONE, TWO, definition=definition, tags=("tagged",))
    (step_id,) = await queue.plan_all("a", "b", "c")
    items = await queue.claim(step_id)
    await queue.fail(*items)
    await queue.write(retry, Again(manager_id, step_id, items[0].id), "retried")
    (again,) = await queue.claim(step_id)
    await queue.write(save_documents, step_id, [Saving(Document("/a", "a", "text", "trial"), again.id)])
    await queue.write(log, [Line(step_id, again.id, 1.0, "info", f"line {n}") for n in range(5)])
    await queue.complete(again)
    (two,) = await queue.plan_all("d")
    await queue.fail(*await queue.claim(two))
    return queue.run(manager_id)


def nothing_is_seen_of(snapshot: Snapshot, run: RunRecord) -> None:
    step, worker = run.steps[0], run.steps[0].id + 2
    for job_id in (run.id, step.id, worker):
        with pytest.raises(UnknownJob):
            snapshot.job(job_id)
    for reading in (snapshot.run, snapshot.definition_text, lambda _: snapshot.item(worker)):
        with pytest.raises(UnknownJob):
            reading(run.id)
    assert snapshot.statistics().all.total == 0
    assert snapshot.runs(RunFilter(), 10).total == snapshot.runs(RunFilter(tag="tagged"), 10).total == 0
    assert snapshot.latest_runs("trial", 10) == ()
    assert snapshot.definition_states(["trial"]) == {"trial": DefinitionState()}
    for kind in (None, *Kind):
        for matching in (JobFilter(kind), JobFilter(kind, manager_id=run.id), JobFilter(kind, definition="trial")):
            page = snapshot.jobs(matching, 100)
            assert (page.total, page.jobs) == (0, ())


async def test_a_run_goes_with_everything_it_owns(queue: Queue) -> None:
    run = await a_finished_run(queue)
    assert run.is_final
    assert not await queue.write(delete_run, run.id)
    assert queue.commits[-1].changes == [RunDeleted(run.id, Status.FAILED)]
    with queue.database.read() as connection:
        for table in metadata.tables.values():
            if table.name not in STAYING:
                assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0, table.name
    queue.read(lambda snapshot: nothing_is_seen_of(snapshot, run))


async def test_from_the_first_batch_on_nothing_is_seen_of_it(queue: Queue) -> None:
    run = await a_finished_run(queue)
    queue.run(run.id)  # kept by now
    batches = 1
    while await queue.write(delete_run, run.id, 2):
        queue.read(lambda snapshot: nothing_is_seen_of(snapshot, run))
        assert audit.check(queue.database) == []
        assert await queue.write(deletions_begun) == [run.id]
        batches += 1
    assert batches > 5
    assert await queue.write(deletions_begun) == []
    queue.read(lambda snapshot: nothing_is_seen_of(snapshot, run))
    assert sum(isinstance(change, RunDeleted) for change in queue.changes) == 1


async def test_a_batch_takes_no_more_than_it_may(queue: Queue) -> None:
    run = await a_finished_run(queue)

    def rows() -> int:
        with queue.database.read() as connection:
            tables = (metadata.tables[name] for name in ("worker_job", "log_entry"))
            return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)

    before = rows()
    assert await queue.write(delete_run, run.id, 3)
    assert rows() == before - 3


async def test_other_runs_stay_as_they_are_meanwhile(queue: Queue) -> None:
    other = await a_finished_run(queue, "other")
    run = await a_finished_run(queue)
    assert await queue.write(delete_run, run.id, 1)
    assert queue.run(other.id) == other
    statistics = queue.read(lambda snapshot: snapshot.statistics())
    assert (statistics.manager.total, statistics.step.total, statistics.worker) == (1, 2, other.counts)
    page = queue.read(lambda snapshot: snapshot.runs(RunFilter(), 10))
    assert (page.total, [each.id for each in page.runs]) == (1, [other.id])
    assert queue.read(lambda snapshot: snapshot.log(LogFilter(manager_id=other.id), 5)).total > 0


async def test_a_run_that_goes_on_is_not_deleted(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    with pytest.raises(NotOver, match=f"job {manager_id} is pending; cancel it first"):
        await queue.write(delete_run, manager_id)
    await queue.plan_all("a")
    with pytest.raises(NotOver, match="is running"):
        await queue.write(delete_run, manager_id)
    await queue.write(cancel, manager_id, "cancelled by a person")
    assert not await queue.write(delete_run, manager_id)


async def test_what_is_gone_can_be_deleted_again(queue: Queue) -> None:
    run = await a_finished_run(queue)
    await queue.write(delete_run, run.id)
    before = len(queue.commits)
    assert not await queue.write(delete_run, run.id)
    assert len(queue.commits) == before


async def test_documents_outlive_the_run_that_made_them(queue: Queue) -> None:
    run = await a_finished_run(queue)
    await queue.write(delete_run, run.id)
    with queue.database.read() as connection:
        assert connection.execute(select(document.c.created_by_step)).scalar_one() == run.steps[0].id
    next_id = await queue.start(ONE)
    assert next_id > run.steps[-1].id  # no other job is ever given the credit


async def test_work_that_ends_after_its_run_was_deleted_changes_nothing(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    a, b = await queue.claim(step_id)
    await queue.write(cancel, manager_id, "cancelled by a person")
    await queue.write(delete_run, manager_id)
    before = len(queue.commits)
    await queue.complete(a)
    await queue.fail(b)
    assert len(queue.commits) == before


async def test_lines_that_come_too_late_go_too(queue: Queue) -> None:
    run = await a_finished_run(queue)
    assert await queue.write(delete_run, run.id, 1)
    late = [Line(run.steps[0].id, None, 1.0, "info", "late")]
    await queue.write(log, late)
    while await queue.write(delete_run, run.id, 2):
        pass
    await queue.write(log, late)
    assert audit.check(queue.database) == []
