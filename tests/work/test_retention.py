"""Retention: what has been kept for long enough goes, and nothing else, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.queue import audit
from app.queue.changes import RunDeleted
from app.queue.database import Database
from app.queue.retention import DAY, NO_LIMIT, Keep
from app.queue.retrying import Again
from app.queue.run_plan import StepPlan
from app.queue.snapshot import RunFilter
from app.queue.store import delete
from app.queue.store.retry import retry
from app.queue.writer import Commit, Transaction, touch
from app.work import retention
from app.work.definitions import DefinitionEntry, Definitions
from app.work.registry import StepTypes
from app.work.retention import Retention
from app.work.sweeping import Sweeping
from tests.queue.conftest import Queue
from tests.work import trial_steps

STEP = StepPlan("one", "trial")


@pytest.fixture
async def queue(database: Database) -> AsyncIterator[Queue]:
    queue = Queue(database)
    yield queue
    await queue.write.close()
    assert audit.check(database) == []


class Keeper:
    """Retention over a queue that the test moves, at the time that the test says."""

    def __init__(self, queue: Queue, otherwise: Keep = NO_LIMIT, entries: Sequence[DefinitionEntry] = ()) -> None:
        self._now = 0.0
        self._sweeping = Sweeping(queue.write)
        self.retention = Retention(
            queue.database,
            queue.write,
            queue.monitor,
            lambda: entries,
            otherwise,
            self._sweeping.done,
            lambda: self._now,
        )
        queue.monitor._listeners.append(self._hear)

    async def look(self, now: float = 0.0) -> float | None:
        self._now = now
        return await self.retention.look()

    def _hear(self, commit: Commit) -> None:
        for change in commit.changes:
            if isinstance(change, RunDeleted):
                self._sweeping.sweep(change.manager_id)


async def finished(queue: Queue, definition: str = "trial", items: int = 1) -> int:
    manager_id = await queue.start(STEP, definition=definition, concurrency=100)
    (step_id,) = await queue.plan_all(*(f"item {number}" for number in range(items)))
    for item in await queue.claim(step_id, items):
        await queue.complete(item)
    return manager_id


def there(queue: Queue) -> list[int]:
    page = queue.read(lambda snapshot: snapshot.runs(RunFilter(), 100))
    return sorted(run.id for run in page.runs)


def ended(queue: Queue, manager_id: int) -> float:
    at = queue.run(manager_id).finished_at
    assert at is not None
    return at


def definition(folder: Path, text: str) -> list[DefinitionEntry]:
    folder.mkdir(exist_ok=True)
    (folder / "trial.toml").write_text(text)
    return Definitions(StepTypes([trial_steps.OnLoop]), folder).all()


TEXT = """
id = "trial"
[retention]
{keep}
[step.one]
type = "on_loop"
items = ["a"]
"""


async def test_the_last_runs_are_kept_and_running_ones_do_not_count(queue: Queue) -> None:
    ids = [await finished(queue) for _ in range(5)]
    others = [await finished(queue, "another")]
    running = await queue.start(STEP, concurrency=100)
    assert await Keeper(queue, Keep(runs=2)).look(ended(queue, ids[-1])) is None
    assert there(queue) == sorted([*ids[-2:], *others, running])


async def test_a_run_goes_when_it_is_too_old_and_not_before(queue: Queue) -> None:
    old, running = await finished(queue), await queue.start(STEP, concurrency=100)
    at = ended(queue, old)
    keeps = Keeper(queue, Keep(days=3))
    assert await keeps.look(at + 3 * DAY - 10) == pytest.approx(10)
    assert there(queue) == [old, running]
    assert await keeps.look(at + 3 * DAY) is None
    assert there(queue) == [running]


async def test_it_is_recorded_that_retention_deleted_it_and_why(queue: Queue) -> None:
    first = await finished(queue)
    await finished(queue)
    await Keeper(queue, Keep(runs=1)).look()
    (action,) = queue.read(lambda snapshot: snapshot.actions(None, 10))
    assert (action.who, action.verb) == ("retention", "delete")
    said = f"deleted run {first} (Trial) with 1 work item and 1 log lines: of trial only the last run is kept"
    assert action.said == said


async def test_a_definition_says_for_itself_what_is_kept(queue: Queue, tmp_path: Path) -> None:
    ids = [await finished(queue) for _ in range(4)]
    others = [await finished(queue, "another") for _ in range(3)]
    entries = definition(tmp_path / "definitions", TEXT.format(keep="runs = 3"))
    await Keeper(queue, Keep(runs=1), entries).look(ended(queue, others[-1]))
    assert there(queue) == sorted([*ids[1:], others[-1]])
    entries = definition(tmp_path / "definitions", TEXT.format(keep="runs = 0"))
    await Keeper(queue, Keep(runs=1), entries).look(ended(queue, others[-1]))
    assert there(queue) == sorted([*ids[1:], others[-1]])


async def test_nothing_goes_while_nobody_knows_what_the_definition_says(queue: Queue, tmp_path: Path) -> None:
    ids = [await finished(queue) for _ in range(3)]
    entries = definition(tmp_path / "definitions", TEXT.format(keep="runs = many"))
    assert not entries[0].valid
    await Keeper(queue, Keep(runs=1), entries).look(ended(queue, ids[-1]))
    assert there(queue) == ids


async def test_a_run_that_was_taken_up_again_meanwhile_stays(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    manager_id = await queue.start(STEP)
    (step_id,) = await queue.plan_all("a")
    await queue.fail(*await queue.claim(step_id))
    await finished(queue)
    keeps = Keeper(queue, Keep(runs=1))
    read = keeps.retention._read

    def read_and_be_late(*arguments: Any) -> Any:
        found = read(*arguments)
        if found.runs:
            asyncio.run_coroutine_threadsafe(retry_it(), loop).result()
        return found

    async def retry_it() -> None:
        await queue.write(retry, Again(manager_id), "retried")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(keeps.retention, "_read", read_and_be_late)
    await keeps.look()
    assert manager_id in there(queue)


async def test_others_are_served_between_the_batches_of_a_large_run(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who writes again as soon as the last write is answered gets in at least once between two batches."""
    monkeypatch.setattr("app.queue.store.retire.BATCH", 10)
    monkeypatch.setattr(delete.delete_run, "__defaults__", (10,))
    manager_id = await finished(queue, items=200)
    await finished(queue)
    order: list[str] = []

    def noted(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(transaction: Transaction, *arguments: Any) -> Any:
            order.append(name)
            return verb(transaction, *arguments)

        return run

    monkeypatch.setattr("app.work.sweeping.delete_run", noted("batch", delete.delete_run))
    keeps = Keeper(queue, Keep(runs=1))
    looking = asyncio.create_task(keeps.look())
    while not looking.done():
        await queue.write(noted("other", touch))
    assert manager_id not in there(queue)
    assert order.count("batch") >= 19
    assert "batch batch" not in " ".join(order)


async def test_without_a_limit_the_database_is_not_asked(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    keeps = Keeper(queue)
    monkeypatch.setattr(keeps.retention, "_read", None)
    assert await keeps.look() is None


async def test_it_looks_by_itself_when_a_run_has_ended(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BREATH", 0.0)
    keeps = Keeper(queue, Keep(runs=1))
    async with keeps.retention.running(), asyncio.timeout(30):
        for _ in range(3):
            last = await finished(queue)
        while there(queue) != [last]:
            await queue.write(touch)
