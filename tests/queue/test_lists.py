"""Lists of jobs, lines and documents: what they hold is what the numbers say, on every page."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue.documents import Document
from app.queue.models import Kind, Level
from app.queue.run_plan import StepPlan
from app.queue.snapshot import DocumentFilter, JobFilter, LogFilter
from app.queue.status import Status
from app.queue.store import failure_groups
from app.queue.store.documents import Saving, delete_documents, save_documents
from app.queue.store.failure_groups import OTHER
from app.queue.store.logging import Line, log
from tests.queue.conftest import Queue


def every_job(queue: Queue, matching: JobFilter, limit: int = 3) -> list[str]:
    """The names on all pages; every page has the same total, which is how many there are."""
    names, cursor, totals = [], None, set()
    while True:
        page = queue.read(lambda snapshot: snapshot.jobs(matching, limit, cursor))  # noqa: B023
        names += [job.name for job in page.jobs]
        totals.add(page.total)
        cursor = page.next
        if cursor is None:
            assert totals == {len(names)}
            return names


async def two_runs(queue: Queue) -> list[int]:
    """Two runs of a step with work items of every status; returns the ids of the steps."""
    for _ in range(2):
        await queue.start(StepPlan("one", "trial"), concurrency=2)
    steps = await queue.plan_all("alpha 1", "beta 2", "Alpha 3", "gamma 4", "ALPHA 5", "delta 6")
    for step_id in steps:
        items = await queue.claim(step_id, 4)
        await queue.complete(items[0])
        await queue.fail(items[1], items[2])
    return steps


async def test_work_items_are_found_by_text_with_true_totals(queue: Queue) -> None:
    await two_runs(queue)
    workers = JobFilter(Kind.WORKER, text="alpha")
    assert every_job(queue, workers) == ["Alpha 3", "ALPHA 5", "alpha 1"] * 2
    assert every_job(queue, JobFilter(Kind.WORKER, Status.FAILED, text="a")) == ["beta 2", "Alpha 3"] * 2
    assert every_job(queue, JobFilter(Kind.WORKER, Status.FAILED, manager_id=1, text="ALPHA")) == ["Alpha 3"]
    assert every_job(queue, JobFilter(text="nothing")) == []
    assert every_job(queue, JobFilter(text="trial")) == ["Trial", "Trial"]
    assert every_job(queue, JobFilter(Kind.WORKER, text="%")) == []


async def test_the_list_behind_a_failure_group_has_as_many_entries(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_groups, "MOST_GROUPS", 2)
    await queue.start(StepPlan("one", "trial"), StepPlan("two", "trial", depends=()))
    said = ["cannot read 7", "timed out", "cannot read 8", "broken", "timed out", "lost", "timed out"]
    for step_id in await queue.plan_all(*(f"item {number}" for number in range(len(said)))):
        for item, error in zip(await queue.claim(step_id), said, strict=True):
            await queue.fail(item, error=error, permanent=True)
    groups = queue.read(lambda snapshot: snapshot.failures(1, 10))
    assert len(groups) == 6
    for group in groups:
        matching = JobFilter(Kind.WORKER, Status.FAILED, 1, group.step_name, failure=group.pattern)
        numbers = {
            "cannot read <n>": ["item 0", "item 2"],
            "timed out": ["item 1", "item 4", "item 6"],
            OTHER: ["item 3", "item 5"],
        }[group.pattern]
        assert every_job(queue, matching, limit=1) == numbers
        assert group.count == len(numbers)
    both = JobFilter(failure="timed out")
    assert every_job(queue, both) == ["item 1", "item 4", "item 6"] * 2
    assert every_job(queue, JobFilter(failure="timed out", text="4")) == ["item 4"] * 2
    assert every_job(queue, JobFilter(Kind.STEP, failure="timed out")) == []


async def save(queue: Queue, step_id: int, worker_id: int | None, *addresses: str) -> None:
    documents = [Document(address, address, f"by {worker_id}", "trial") for address in addresses]
    await queue.write(save_documents, step_id, [Saving(document, worker_id) for document in documents])


def listed(queue: Queue, **of: Any) -> list[str]:
    """The addresses on all pages, the newest first; the total is how many there are."""
    addresses, cursor = [], None
    while True:
        page = queue.read(lambda snapshot: snapshot.documents(DocumentFilter(**of), 2, cursor))  # noqa: B023
        addresses += [each.address for each in page.documents]
        cursor = page.next
        if cursor is None:
            assert page.total == len(addresses)
            return addresses


async def test_documents_are_listed_by_who_made_them(queue: Queue) -> None:
    first, second = await two_runs(queue)
    one, other = (await queue.claim(first))[:2]
    await save(queue, first, one.id, "a", "b", "c")
    await save(queue, second, None, "d", "a")
    await save(queue, first, other.id, "b", "e", "d")
    assert listed(queue) == ["e", "d", "c", "b", "a"]
    assert listed(queue, manager_id=1) == listed(queue, step_id=first) == ["e", "c", "b", "a"]
    assert listed(queue, manager_id=3) == ["d"]
    assert listed(queue, worker_id=one.id) == listed(queue, manager_id=1, worker_id=one.id) == ["c", "b", "a"]
    assert listed(queue, changed_by=other.id) == ["d", "b"]
    assert listed(queue, step_id=99) == []
    assert [queue.run(run).document_count for run in (1, 3)] == [4, 1]
    assert queue.read(lambda snapshot: snapshot.job(one.id)).document_count == 3


async def test_a_document_that_is_removed_is_no_longer_counted(queue: Queue) -> None:
    first, _ = await two_runs(queue)
    await save(queue, first, None, "a", "b", "c")
    assert queue.run(1).document_count == 3
    await queue.write(delete_documents, ["a", "c", "unknown"])
    assert queue.run(1).document_count == 1
    assert listed(queue, manager_id=1) == ["b"]


async def test_the_lines_of_a_run_are_leafed_through_in_both_directions(queue: Queue) -> None:
    await queue.start(
        StepPlan("one", "trial"), StepPlan("two", "trial", depends=()), StepPlan("three", "trial", depends=("one",))
    )
    first, second = await queue.plan_all()
    for step_id in (first, second, first):
        await queue.write(log, [Line(step_id, None, 1.0, "info", f"line {n} of {step_id}") for n in range(5)])
    matching = LogFilter(manager_id=1, level=Level.INFO, text="LINE")
    forward, after = [], "0"
    while page := queue.read(lambda snapshot: snapshot.log(matching, 4, after=after)).lines:  # noqa: B023
        forward += [(line.step_id, line.line) for line in page]
        after = f"{page[-1].step_id}.{page[-1].line}"
    backward, before = [], None
    while page := queue.read(lambda snapshot: snapshot.log(matching, 4, before=before)).lines:  # noqa: B023
        backward[:0] = [(line.step_id, line.line) for line in page]
        before = f"{page[0].step_id}.{page[0].line}"
    assert forward == backward
    assert [step_id for step_id, _ in forward] == [first] * 10 + [second] * 5
    assert queue.read(lambda snapshot: snapshot.log(matching, 4)).total == 15
