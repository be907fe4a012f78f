"""What the store verbs do, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, func, select, update

from app.queue.changes import RunChanged, StepReleased, WorkStopped
from app.queue.models import Kind
from app.queue.run_plan import FailureAction, OnError, Retry, StepPlan, Tolerance
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store.cancel import cancel
from app.queue.store.claim import claim, release, release_plan, rescue
from app.queue.store.deadlines import time_out
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan, spawn
from app.queue.store.retry import Again, NothingToRetry, retry
from app.queue.store.start import AlreadyRunning
from app.queue.tables import log_counter, log_entry, manager_job, worker_job
from app.queue.text import storable
from tests.hostile import CORPUS
from tests.queue.conftest import Queue

ONE = StepPlan("one", "trial")
TWO = StepPlan("two", "trial", depends=("one",))
THREE = StepPlan("three", "trial", depends=("two",))


async def test_a_run_goes_from_pending_to_completed(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.PENDING, "waiting for a free slot")
    assert [(step.status, step.reason) for step in run.steps] == [
        (Status.PENDING, "waiting for a free slot"),
        (Status.PENDING, "waiting for step one"),
    ]
    (step_id,) = await queue.plan_all("a", "b")
    assert queue.run(manager_id).status is Status.RUNNING
    items = await queue.claim(step_id)
    assert [item.name for item in items] == ["a", "b"]
    assert queue.step(manager_id, "one").counts.running == 2
    await queue.complete(items[0])
    assert queue.step(manager_id, "one").status is Status.RUNNING
    await queue.complete(items[1])
    run = queue.run(manager_id)
    assert [step.status for step in run.steps] == [Status.COMPLETED, Status.PENDING]
    (step_id,) = await queue.plan_all("c")
    await queue.complete(*await queue.claim(step_id))
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.COMPLETED, "all 2 steps completed")
    assert [step.reason for step in run.steps] == ["all 2 succeeded", "the only work item succeeded"]
    assert None not in (run.started_at, run.finished_at)


async def test_an_item_claimed_twice_runs_once(queue: Queue) -> None:
    await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    assert len(await queue.claim(step_id)) == 1
    assert await queue.claim(step_id) == []


async def test_a_late_worker_changes_nothing(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    first, _ = await queue.claim(step_id)
    await queue.write(rescue)
    again, _ = await queue.claim(step_id)
    assert (first.attempt, again.attempt) == (1, 2)
    await queue.complete(first)
    assert queue.step(manager_id, "one").counts.running == 2
    await queue.complete(again)
    await queue.fail(again)
    assert queue.step(manager_id, "one").counts.completed == 1


async def test_a_final_status_never_changes_again_except_by_a_retry(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    await queue.complete(item)
    assert not await queue.write(cancel, manager_id, "too late")
    assert queue.run(manager_id).status is Status.COMPLETED
    with pytest.raises(NothingToRetry):  # of what succeeded, not even that one
        await queue.write(retry, Again(manager_id, cancelled=True), "retried by a person")
    assert queue.run(manager_id).status is Status.COMPLETED


async def test_a_definition_runs_once_at_a_time_unless_it_allows_more(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    with pytest.raises(AlreadyRunning, match="already running") as refusal:
        await queue.start(ONE)
    assert refusal.value.manager_id == manager_id
    await queue.start(ONE, concurrency=2)
    await queue.start(ONE, definition="another")


async def test_a_step_that_failed_stays_failed_when_the_run_completes(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial", on_error=OnError.CONTINUE), TWO)
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*await queue.claim(step_id))
    (step_id,) = await queue.plan_all("b")
    await queue.complete(*await queue.claim(step_id))
    run = queue.run(manager_id)
    assert run.status is Status.COMPLETED
    assert [step.status for step in run.steps] == [Status.FAILED, Status.COMPLETED]


async def test_steps_after_a_failed_one_are_skipped_and_the_run_fails(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO, THREE, StepPlan("last", "trial", depends=("three",), always_run=True))
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*await queue.claim(step_id))
    run = queue.run(manager_id)
    assert [step.status for step in run.steps] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED, Status.PENDING]
    assert run.steps[2].reason == "step two was skipped"
    await queue.plan_all()
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.FAILED, "step one failed")
    assert (run.steps[3].status, run.steps[3].reason) == (Status.COMPLETED, "nothing to do")


async def test_a_failure_is_told_in_the_log_of_its_step(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    items = await queue.claim(step_id)
    await queue.fail(items[0], error="no such file")
    step = queue.step(manager_id, "one")
    lines = queue.read(lambda snapshot: snapshot.log_lines(step_id, 1, step.log_count))
    assert [(line.level, line.message, line.worker_name) for line in lines] == [
        ("error", "a failed: no such file", "a")
    ]


async def test_steps_without_dependencies_run_side_by_side(queue: Queue) -> None:
    await queue.start(ONE, StepPlan("two", "trial", depends=()))
    assert len(await queue.plan_all("a")) == 2


async def test_too_many_failures_stop_everything(queue: Queue) -> None:
    tolerance = Tolerance(1, FailureAction.STOP_ALL)
    other = StepPlan("other", "trial", depends=())
    manager_id = await queue.start(ONE, TWO, other, tolerance=tolerance)
    one, other_id = await queue.plan_all("a", "b", "c", "d")
    items = await queue.claim(one, 3)
    running = await queue.claim(other_id, 1)
    await queue.fail(items[0])
    assert queue.run(manager_id).status is Status.RUNNING
    await queue.fail(items[1])
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.FAILED, "2 failed, tolerance 1")
    assert [step.status for step in run.steps] == [Status.FAILED, Status.SKIPPED, Status.CANCELLED]
    assert run.steps[0].counts == (0, 0, 0, 2, 2, 0)
    assert run.steps[2].counts.cancelled == 4
    assert WorkStopped(other_id, frozenset({running[0].id})) in queue.changes
    await queue.complete(items[2], running[0])
    assert queue.run(manager_id).counts.completed == 0


async def test_too_many_failures_of_a_step_end_that_step_alone(queue: Queue) -> None:
    tolerance = Tolerance(0, FailureAction.CONTINUE)
    manager_id = await queue.start(StepPlan("one", "trial", on_error=OnError.CONTINUE), TWO, tolerance=tolerance)
    (step_id,) = await queue.plan_all("a", "b")
    (item,) = await queue.claim(step_id, 1)
    await queue.fail(item)
    run = queue.run(manager_id)
    assert (run.steps[0].status, run.steps[0].reason) == (Status.FAILED, "1 failed, tolerance 0")
    assert run.steps[0].counts.cancelled == 1
    assert run.status is Status.RUNNING


async def test_a_step_whose_tolerance_only_warns_goes_on(queue: Queue) -> None:
    manager_id = await queue.start(ONE, tolerance=Tolerance(0, FailureAction.MARK_WARNING))
    (step_id,) = await queue.plan_all("a", "b")
    items = await queue.claim(step_id)
    await queue.fail(items[0])
    await queue.complete(items[1])
    step = queue.step(manager_id, "one")
    assert (step.status, step.reason) == (Status.COMPLETED, "1 of 2 failed, more than the 0 tolerated")


async def test_the_lines_of_a_deleted_run_are_gone_and_so_are_their_counts(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    await queue.write(log, [Line(step_id, None, 0.0, "info", "said")])
    with queue.database.writing.begin() as connection:
        connection.execute(delete(manager_job).where(manager_job.c.id == manager_id))
        for table in (log_entry, log_counter):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


async def test_a_step_fails_when_its_planning_does(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (claimed,) = await queue.write(claim_plans, 5)
    await queue.write(plan, claimed.step.step_id, claimed.attempt, [NewItem("a")])
    await queue.write(fail_planning, claimed.step.step_id, claimed.attempt, "no documents match")
    run = queue.run(manager_id)
    assert (run.steps[0].status, run.steps[0].reason) == (Status.FAILED, "planning failed: no documents match")
    assert run.steps[0].counts.cancelled == 1
    assert (run.status, run.steps[1].status) == (Status.FAILED, Status.SKIPPED)


async def test_planning_again_after_a_crash_adds_nothing_twice(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (first,) = await queue.write(claim_plans, 5)
    step_id = first.step.step_id
    assert await queue.write(plan, step_id, first.attempt, [NewItem("a"), NewItem("b")])
    await queue.write(rescue)
    (second,) = await queue.write(claim_plans, 5)
    assert not await queue.write(plan, step_id, first.attempt, [NewItem("late")])
    assert await queue.write(plan, step_id, second.attempt, [NewItem("b"), NewItem("c"), NewItem("c")])
    await queue.write(end_planning, step_id, first.attempt)
    assert not queue.read(lambda snapshot: snapshot.step(manager_id, "one").planned)
    await queue.write(end_planning, step_id, second.attempt)
    assert queue.step(manager_id, "one").counts.pending == 3


async def test_a_plan_given_back_is_released_again(queue: Queue) -> None:
    await queue.start(ONE)
    (claimed,) = await queue.write(claim_plans, 5)
    await queue.write(release_plan, claimed.step.step_id, claimed.attempt)
    assert queue.changes[-1] == StepReleased(claimed.step.step_id)
    assert len(await queue.write(claim_plans, 5)) == 1


async def test_children_of_children_stay_in_their_step(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    assert await queue.write(spawn, step_id, item.id, item.attempt, [NewItem("a/1"), NewItem("a/2")])
    await queue.complete(item)
    assert queue.step(manager_id, "one").status is Status.RUNNING
    assert not await queue.write(spawn, step_id, item.id, item.attempt, [NewItem("late")])
    await queue.complete(*await queue.claim(step_id))
    assert queue.step(manager_id, "one").counts.completed == 3


async def test_items_beyond_the_limit_of_a_step_are_left_out(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b")
    item, other = await queue.claim(step_id)
    await queue.complete(other)
    limited = [NewItem(name, at_most=4) for name in ("a", "c", "d", "e")]
    assert await queue.write(spawn, step_id, item.id, item.attempt, limited)
    assert queue.step(manager_id, "one").counts.pending == 2, (
        "one that has ended counts, one that is there does not twice"
    )
    assert await queue.write(spawn, step_id, item.id, item.attempt, [NewItem("f", at_most=4), NewItem("g")])
    assert queue.step(manager_id, "one").counts.pending == 3


async def test_an_item_given_back_has_spent_no_attempt(queue: Queue) -> None:
    await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    await queue.write(release, step_id, [(item.id, item.attempt), (item.id, 99)])
    (again,) = await queue.claim(step_id)
    assert again.attempt == 1


async def test_an_item_that_ends_its_owner_again_and_again_fails_by_itself(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("poison", "neighbour")
    for _ in range(2):
        await queue.claim(step_id, 1)
        await queue.write(rescue)
    await queue.claim(step_id, 1)
    await queue.write(rescue)
    counts = queue.step(manager_id, "one").counts
    assert (counts.failed, counts.pending) == (1, 1)


async def test_what_ran_is_taken_back_also_if_nothing_is_known_of_its_owner(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    unknown = update(worker_job).where(worker_job.c.id == item.id).values(claimed_by=None, started_at=None)
    await queue.write(lambda transaction: transaction.connection.execute(unknown) and None)
    assert await queue.write(rescue) == 1
    (again,) = await queue.claim(step_id)
    await queue.complete(item, again)
    assert queue.run(manager_id).status is Status.COMPLETED


async def test_a_failed_item_is_tried_again_when_it_is_due_and_its_attempts_are_kept(queue: Queue) -> None:
    retry = Retry(attempts=3, first_delay=600.0)  # no machine is that slow
    manager_id = await queue.start(StepPlan("one", "trial", retry=retry))
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    await queue.fail(item, error="first")
    job = queue.read(lambda snapshot: snapshot.item(item.id))
    assert (job.job.status, job.job.reason) == (Status.PENDING, "retries after 600 s, attempt 2 of 3")
    claimed = await queue.write(claim, {step_id: 5})
    assert claimed.items == []
    assert claimed.due_at[step_id] is not None
    assert [attempt.error for attempt in job.attempts] == ["first"]
    assert queue.step(manager_id, "one").counts.pending == 1


async def test_a_permanent_error_is_not_tried_again(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial", on_error=OnError.RETRY))
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*await queue.claim(step_id), permanent=True)
    assert queue.run(manager_id).status is Status.FAILED


async def test_a_cancelled_run_stops_in_one_transaction(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO)
    (step_id,) = await queue.plan_all("a", "b", "c")
    (item,) = await queue.claim(step_id, 1)
    before = len(queue.commits)
    assert await queue.write(cancel, manager_id, "cancelled by a person")
    assert len(queue.commits) == before + 1
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.CANCELLED, "cancelled by a person")
    assert [step.status for step in run.steps] == [Status.CANCELLED, Status.CANCELLED]
    assert run.counts.cancelled == 3
    items = queue.read(lambda snapshot: snapshot.jobs(JobFilter(kind=Kind.WORKER), 10)).jobs
    assert {job.reason for job in items} == {"cancelled by a person"}
    await queue.complete(item)
    assert queue.run(manager_id).counts.cancelled == 3
    assert await queue.write(claim_plans, 5) == []


async def test_a_run_that_takes_too_long_fails(queue: Queue) -> None:
    manager_id = await queue.start(ONE, TWO, timeout=60.0)
    (step_id,) = await queue.plan_all("a")
    await queue.claim(step_id)
    assert await queue.write(time_out, manager_id, 60.0)
    run = queue.run(manager_id)
    assert (run.status, run.reason) == (Status.FAILED, "the run took longer than its timeout of 60 s")
    assert [step.status for step in run.steps] == [Status.CANCELLED, Status.SKIPPED]


async def test_endings_of_one_step_are_stored_together(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all(*map(str, range(50)))
    items = await queue.claim(step_id)
    endings = [
        Ending(item.id, item.attempt, {"n": item.id}) if n % 5 else Ending(item.id, item.attempt, error="five")
        for n, item in enumerate(items)
    ]
    await queue.write(finish, step_id, endings)
    step = queue.step(manager_id, "one")
    assert (step.status, step.reason) == (Status.COMPLETED, "10 of 50 failed")


async def test_results_and_inputs_come_back_as_they_were(queue: Queue) -> None:
    await queue.start(ONE)
    (claimed,) = await queue.write(claim_plans, 1)
    value = {"text": 'quote " newline \n <b> \u202e', "number": 1.5, "list": [None, True, "\\u0000"]}
    await queue.write(plan, claimed.step.step_id, claimed.attempt, [NewItem("a", value)])
    (item,) = await queue.claim(claimed.step.step_id)
    assert item.input == value
    await queue.complete(item, result=value)
    assert queue.read(lambda snapshot: snapshot.item(item.id)).result == value


async def test_null_characters_and_surrogates_can_be_stored(queue: Queue) -> None:
    await queue.start(ONE)
    (claimed,) = await queue.write(claim_plans, 1)
    await queue.write(plan, claimed.step.step_id, claimed.attempt, [NewItem("nul\0 and \udcff", {"k\0": "\udcff\0"})])
    (item,) = await queue.claim(claimed.step.step_id)
    assert item.name == "nul\N{SYMBOL FOR NULL} and \\udcff"
    assert item.input == {"k\N{SYMBOL FOR NULL}": "\\udcff\N{SYMBOL FOR NULL}"}
    await queue.fail(item, error="bad \0 byte \udcff")
    assert queue.read(lambda snapshot: snapshot.job(item.id)).error == "bad \N{SYMBOL FOR NULL} byte \\udcff"


async def test_many_rows_at_once_hold_what_they_were_given(queue: Queue) -> None:
    """Whatever it is that it looks like, to whoever packs the rows of one statement together."""
    said = [
        "NULL",
        "",
        '"',
        "{1,2}",
        "a\\,\\\\",
        "%s %(id)s :x ?",
        *(each.text for each in CORPUS if len(each.text) < 10_000),
    ]
    names = [f"{number} {text}" for number, text in enumerate(said)]
    await queue.start(ONE)
    (step_id,) = await queue.plan_all(*names)
    items = await queue.claim(step_id, len(names))
    assert [item.name for item in items] == [storable(name) for name in names]
    assert [item.input for item in items] == [{"name": storable(name)} for name in names]
    await queue.write(log, [Line(step_id, item.id, 1.5, "info", text) for item, text in zip(items, said, strict=True)])
    ends = [Ending(item.id, item.attempt, text or None) for item, text in zip(items, said, strict=True)]
    await queue.write(finish, step_id, ends)
    with queue.database.read() as connection:
        lines = connection.execute(select(log_entry.c.message).order_by(log_entry.c.line)).scalars().all()
        results = connection.execute(select(worker_job.c.result).order_by(worker_job.c.id)).scalars().all()
    assert lines[: len(said)] == [storable(text) for text in said]
    assert results == [storable(text) or None for text in said]


async def test_an_operation_that_fails_undoes_itself_alone(queue: Queue) -> None:
    first, second, third = (
        queue.start(ONE, definition="same"),
        queue.start(ONE, definition="same"),
        queue.start(ONE, definition="other"),
    )
    manager_id = await first
    with pytest.raises(AlreadyRunning):
        await second
    other_id = await third
    total = queue.read(lambda snapshot: snapshot.jobs(JobFilter(), 10).total)
    assert (total, queue.run(other_id).status) == (4, Status.PENDING)
    assert RunChanged(manager_id, Status.PENDING) in queue.changes


async def test_the_revision_grows_with_every_change_and_only_then(queue: Queue) -> None:
    before = queue.read(lambda snapshot: snapshot.revision)
    await queue.start(ONE)
    after = queue.read(lambda snapshot: snapshot.revision)
    assert after == before + 1 == queue.monitor.revision
    await queue.write(claim, {999: 5})
    assert queue.read(lambda snapshot: snapshot.revision) == after


async def test_a_page_goes_on_from_a_segment_that_has_emptied_since(queue: Queue) -> None:
    manager_id = await queue.start(ONE)
    (step_id,) = await queue.plan_all("a", "b", "c", "d")
    running = await queue.claim(step_id, 2)
    workers = JobFilter(kind=Kind.WORKER, manager_id=manager_id)
    first = queue.read(lambda snapshot: snapshot.jobs(workers, 1))
    assert [job.name for job in first.jobs] == ["a"]
    await queue.complete(*running)
    second = queue.read(lambda snapshot: snapshot.jobs(workers, 10, first.next))
    assert [job.name for job in second.jobs] == ["c", "d", "a", "b"]
