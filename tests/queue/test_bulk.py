"""Bulk actions: what was frozen is acted on, once, and nothing else, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.bulk_reading import FrozenSetRecord, UnknownSet
from app.queue.bulk_rules import BulkAction, FrozenState, choices, refusal
from app.queue.models import Kind
from app.queue.run_plan import StepPlan
from app.queue.snapshot import JobFilter
from app.queue.status import Status
from app.queue.store import bulk
from app.queue.store.bulk import AlreadyUsed, Chunk, act, add_jobs, begin_set, confirm, end_set, plan_of, sweep_sets
from app.queue.store.cancel import cancel
from app.queue.store.claim import claim, rescue
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.retry import Again, retry
from tests.queue.conftest import Queue

ONE = StepPlan("one", "trial")
ANN = Actor(Place.PAGE, "ann")
FAILED_ITEMS = JobFilter(Kind.WORKER, Status.FAILED)


class Bulk:
    """A frozen list in the hands of a test, and the run that acts on it."""

    def __init__(self, queue: Queue, token: str) -> None:
        self.queue, self.token = queue, token
        self.manager_id = self.step_id = 0

    @classmethod
    async def of(cls, queue: Queue, matching: JobFilter) -> Bulk:
        token = secrets.token_urlsafe(6)
        set_id = await queue.write(begin_set, token, "these", matching.status or "")
        found = queue.read(lambda snapshot: [row for rows in snapshot.all_jobs(matching, 2) for row in rows])
        assert len(found) == queue.read(lambda snapshot: snapshot.jobs(matching, 1).total)
        for first in range(0, len(found), 2):
            await queue.write(add_jobs, set_id, first + 1, found[first : first + 2])
        await queue.write(end_set, set_id, len(found))
        return cls(queue, token)

    @property
    def frozen(self) -> FrozenSetRecord:
        record: FrozenSetRecord = self.queue.read(lambda snapshot: snapshot.bulk.frozen_set(self.token))
        return record

    def counted(self, action: BulkAction) -> tuple[int, dict[str, int]]:
        choice = next(each for each in self.frozen.choices if each.action is action)
        return choice.acts, dict(choice.skipped)

    async def confirm(self, action: BulkAction, note: str = "") -> int:
        frozen = self.frozen
        made = plan_of(frozen.id, frozen.total, frozen.words, action, self.counted(action)[0])
        self.manager_id = await self.queue.write(confirm, self.token, made, action, note, ANN)
        return self.manager_id

    async def chunk(self, name: str = "all") -> Chunk:
        """The whole set as one work item that somebody has claimed."""
        if not self.step_id:
            (claimed,) = await self.queue.write(claim_plans, 1)
            self.step_id = claimed.step.step_id
            await self.queue.write(plan, self.step_id, claimed.attempt, [NewItem(name)])
            await self.queue.write(end_planning, self.step_id, claimed.attempt)
        (item,) = (await self.queue.write(claim, {self.step_id: 1})).items
        return Chunk(self.frozen.id, 1, self.frozen.total, self.step_id, item.name, item.attempt)

    async def carry_out(self, action: BulkAction, note: str = "") -> tuple[int, dict[str, int], dict[str, int]]:
        if not self.manager_id:
            await self.confirm(action, note)
        await act_through(self.queue, await self.chunk())
        assert audit.check(self.queue.database) == []
        report = self.frozen.report
        assert report.waiting == 0
        return report.done, dict(report.skipped), dict(report.failed)

    def lines(self) -> list[str]:
        return [line.message for line in self.queue.read(lambda s: s.log_lines(self.step_id, 1, 999))]


async def act_through(queue: Queue, chunk: Chunk) -> None:
    following: int | None = chunk.first
    while following is not None:
        following = (await queue.write(act, chunk, following, {})).next


async def run_with_failures(queue: Queue, *names: str, done: str = "") -> tuple[int, int, list[Any]]:
    manager_id = await queue.start(ONE, concurrency=100)
    (step_id,) = await queue.plan_all(*names)
    items = await queue.claim(step_id)
    await queue.fail(*(item for item in items if item.name not in done), error="boom 1")
    await queue.complete(*(item for item in items if item.name in done))
    return manager_id, step_id, items


async def test_failed_items_of_all_runs_are_retried_and_what_failed_later_is_not(queue: Queue) -> None:
    first, first_step, _ = await run_with_failures(queue, "a", "b", "c", done="c")
    second, _, _ = await run_with_failures(queue, "d")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)
    assert bulk_of.counted(BulkAction.RETRY) == (3, {})
    late, _, _ = await run_with_failures(queue, "late")
    assert await bulk_of.carry_out(BulkAction.RETRY) == (3, {}, {})
    assert [queue.run(each).counts.pending for each in (first, second, late)] == [2, 1, 0]
    assert [item.name for item in await queue.claim(first_step)] == ["a", "b"]
    assert queue.run(late).counts.failed == 1
    said = [line for line in bulk_of.lines() if "retry: done" in line]
    assert len(said) == 3
    assert said[-1].startswith("job ")
    (one,) = queue.read(lambda snapshot: snapshot.actions(second, 9))
    assert (one.who, one.verb, one.made_id) == ("ann", "bulk", bulk_of.manager_id)


async def test_what_changed_since_the_preview_is_left_alone(queue: Queue) -> None:
    manager_id, step_id, items = await run_with_failures(queue, "a", "b", "c", "d")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)
    for item in items[:2]:
        await queue.write(retry, Again(manager_id, step_id, item.id), "retried by a person")
    again = await queue.claim(step_id)
    await queue.complete(again[0])
    await queue.fail(again[1])
    assert await bulk_of.carry_out(BulkAction.ACKNOWLEDGE, "known") == (
        2,
        {
            "it changed since the preview: it was failed, and is completed": 1,
            "it changed since the preview: it ran again, and is failed again": 1,
        },
        {},
    )
    page = queue.read(lambda snapshot: snapshot.jobs(JobFilter(open=True), 9))
    assert [job.name for job in page.jobs] == ["b"]
    assert queue.read(lambda snapshot: snapshot.job(items[2].id).acknowledgement).note == "known"


async def test_runs_are_deleted_unless_they_are_not_over(queue: Queue) -> None:
    over, _, _ = await run_with_failures(queue, "a")
    other, _, _ = await run_with_failures(queue, "b")
    going_on = await queue.start(ONE, concurrency=100)
    bulk_of = await Bulk.of(queue, JobFilter(Kind.MANAGER))
    assert bulk_of.counted(BulkAction.DELETE) == (2, {"it is not over; cancel it first": 1})
    await queue.plan_all("x")
    assert (await bulk_of.carry_out(BulkAction.DELETE))[:2] == (2, {"it is not over; cancel it first": 1})
    left = [job.id for job in queue.read(lambda snapshot: snapshot.jobs(JobFilter(Kind.MANAGER), 9)).jobs]
    assert left == [bulk_of.manager_id, going_on]
    assert {over, other}.isdisjoint(left)


async def test_whatever_has_not_ended_is_cancelled_and_the_bulk_action_itself_is_not(queue: Queue) -> None:
    await run_with_failures(queue, "a")
    runs = [await queue.start(ONE, concurrency=100) for _ in range(3)]
    (_, step_id, _) = await queue.plan_all("b", "c")
    await queue.claim(step_id)
    items = await Bulk.of(queue, JobFilter(Kind.WORKER, manager_id=runs[1]))
    bulk_of = await Bulk.of(queue, JobFilter(Kind.MANAGER))
    assert await items.carry_out(BulkAction.CANCEL) == (2, {}, {})
    done, skipped, failed = await bulk_of.carry_out(BulkAction.CANCEL)
    assert (done, failed, sorted(skipped.values())) == (2, {}, [1, 1])
    assert [queue.run(each).status for each in runs] == ["cancelled"] * 3
    assert queue.run(bulk_of.manager_id).status == "running"


async def test_a_list_that_lost_a_job_is_found_by_the_audit(queue: Queue) -> None:
    await run_with_failures(queue, "a", "b")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)
    await queue.write(end_set, bulk_of.frozen.id, 3)
    assert audit.check(queue.database) == [f"frozen set {bulk_of.frozen.id}: it says 3 jobs, there are 2"]
    await queue.write(end_set, bulk_of.frozen.id, 2)


async def test_a_frozen_list_is_used_once(queue: Queue) -> None:
    await run_with_failures(queue, "a")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)
    manager_id = await bulk_of.confirm(BulkAction.RETRY)
    assert await bulk_of.confirm(BulkAction.RETRY) == manager_id
    with pytest.raises(AlreadyUsed, match="used already, to retry"):
        await bulk_of.confirm(BulkAction.ACKNOWLEDGE)


async def test_a_chunk_that_was_interrupted_is_gone_on_with_and_nothing_is_done_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager_id, step_id, _ = await run_with_failures(queue, "a", "b", "c")
    bulk_of = await Bulk.of(queue, JobFilter(Kind.WORKER, manager_id=manager_id))
    await bulk_of.confirm(BulkAction.RETRY)
    old = await bulk_of.chunk()
    monkeypatch.setattr(bulk, "LONGEST_HOLD", -1.0)
    monkeypatch.setattr(bulk, "_alike", lambda members, present: ([member] for member in members))
    assert (await queue.write(act, old, 1, {})).next == 2
    await queue.write(rescue)  # the server was killed
    new = await bulk_of.chunk()
    assert (await queue.write(act, old, 2, {})).next is None  # that of the dead one comes too late
    assert bulk_of.frozen.report.done == 1
    await act_through(queue, new)
    assert (bulk_of.frozen.report.done, bulk_of.frozen.report.waiting) == (3, 0)
    assert [item.attempt for item in await queue.claim(step_id)] == [2, 2, 2]
    assert len([line for line in bulk_of.lines() if "retry: done" in line]) == 3


async def test_a_bulk_action_that_was_cancelled_does_nothing_more(queue: Queue) -> None:
    manager_id, *_ = await run_with_failures(queue, "a", "b")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)
    await bulk_of.confirm(BulkAction.RETRY)
    chunk = await bulk_of.chunk()
    await queue.write(cancel, bulk_of.manager_id, "not wanted")
    assert (await queue.write(act, chunk, 1, {})).next is None
    assert (queue.run(manager_id).counts.failed, bulk_of.frozen.report.waiting) == (2, 2)


async def test_one_that_cannot_be_done_does_not_keep_the_others_from_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, _ = await run_with_failures(queue, "a")
    second, _, _ = await run_with_failures(queue, "b")
    bulk_of = await Bulk.of(queue, FAILED_ITEMS)

    def broken(transaction: Any, again: Again, *rest: Any) -> Any:
        done = retry(transaction, again, *rest)
        if again.manager_id == first:
            raise RuntimeError("out of luck")
        return done

    monkeypatch.setattr(bulk, "retry", broken)
    assert await bulk_of.carry_out(BulkAction.RETRY) == (1, {}, {"RuntimeError: out of luck": 1})
    assert (queue.run(first).counts.failed, queue.run(second).counts.pending) == (1, 1)


async def test_lists_that_nobody_confirmed_in_time_are_swept(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    await run_with_failures(queue, "a", "b", "c")
    kept, used = await Bulk.of(queue, FAILED_ITEMS), await Bulk.of(queue, FAILED_ITEMS)
    await used.confirm(BulkAction.RETRY)
    assert not await queue.write(sweep_sets)
    monkeypatch.setattr(bulk, "KEPT", -1.0)
    while await queue.write(sweep_sets):
        pass
    with pytest.raises(UnknownSet):
        kept.frozen  # noqa: B018
    assert used.frozen.total == 3


@pytest.mark.parametrize(
    ("action", "state", "asked", "why"),
    [
        ("retry", (Kind.WORKER, Status.FAILED, True, True), "", None),
        ("retry", (Kind.WORKER, Status.CANCELLED, False, False), "", "it has not failed"),
        ("retry", (Kind.WORKER, Status.CANCELLED, False, False), "cancelled", None),
        ("retry", (Kind.MANAGER, Status.COMPLETED, True, False), "", None),
        ("retry", (Kind.MANAGER, Status.COMPLETED, False, False), "", "nothing of it has failed"),
        ("cancel", (Kind.STEP, Status.RUNNING, False, False), "", None),
        ("cancel", (Kind.STEP, Status.SKIPPED, False, False), "", "it had ended"),
        ("acknowledge", (Kind.MANAGER, Status.RUNNING, True, True), "", None),
        ("acknowledge", (Kind.WORKER, Status.FAILED, True, False), "", "its failures were acknowledged"),
        ("acknowledge", (Kind.WORKER, Status.COMPLETED, False, False), "", "nothing of it has failed"),
        ("delete", (Kind.MANAGER, Status.COMPLETED, False, False), "", None),
        ("delete", (Kind.MANAGER, Status.PENDING, False, False), "", "it is not over; cancel it first"),
        ("delete", (Kind.STEP, Status.COMPLETED, False, False), "", "only whole runs are deleted"),
    ],
)
def test_what_an_action_leaves_alone(action: str, state: Any, asked: str, why: str | None) -> None:
    assert refusal(BulkAction(action), FrozenState(*state), asked) == why


def test_only_runs_are_offered_to_be_deleted() -> None:
    item = FrozenState(Kind.WORKER, Status.FAILED, True, True)
    run = FrozenState(Kind.MANAGER, Status.FAILED, True, True)
    assert [each.action for each in choices([(item, 3)], "")] == ["retry", "cancel", "acknowledge"]
    assert [each.acts for each in choices([(run, 3)], "")] == [3, 0, 3, 3]
