"""A copy is the queue that it was made from, in whichever database, or it is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.queue import audit, copying
from app.queue.copying import CopyRefused, copy
from app.queue.database import Database, DatabaseTrouble
from app.queue.run_plan import StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import JobFilter, LogFilter, Snapshot
from app.queue.store.claim import release
from app.queue.store.logging import Line, log
from tests.queue.conftest import Queue

pytestmark = pytest.mark.postgresql

STEPS = (StepPlan("one", "trial"), StepPlan("two", "trial", depends=("one",)))


@pytest.fixture
def target(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Database]:
    """Of the other kind than the queue's."""
    (tmp_path / "target").mkdir()
    url = request.getfixturevalue("another_postgres_database") if database.is_sqlite else ""
    made = Database.named(url, tmp_path / "target")
    yield made
    made.close()


async def filled(queue: Queue) -> int:
    """A run with everything in it, of which nothing runs."""
    manager_id = await queue.start(*STEPS, tags=("ä", "Z", "a"))
    (step_id,) = await queue.plan_all("a", "b", "c")
    first, second, third = await queue.claim(step_id)
    await queue.write(log, [Line(step_id, first.id, 1.5, "info", f"line {number} '\\\n") for number in range(2_500)])
    await queue.complete(first, result={"b": [1, 2.5, None], "a": "ü"})
    await queue.fail(second, permanent=True)
    await queue.write(release, step_id, [(third.id, third.attempt)])
    return manager_id


def shown(database: Database) -> object:
    with Snapshot.of(database) as snapshot:
        lines = snapshot.log(LogFilter(manager_id=1), 5_000).lines
        return snapshot.revision, snapshot.statistics(), snapshot.jobs(JobFilter(), 100), lines


async def test_the_copy_shows_the_same_and_goes_on(queue: Queue, target: Database) -> None:
    manager_id = await filled(queue)
    told = list(copy(queue.database, target))
    assert any(each.table == "log_entry" and each.done == each.rows >= 2_500 for each in told)
    assert shown(target) == shown(queue.database)
    assert audit.check(target) == []
    bring_up_to_date(target)
    there = Queue(target)
    assert there.run(manager_id) == queue.run(manager_id)
    assert await there.start(*STEPS, definition="next") > manager_id
    await there.write.close()
    assert audit.check(target) == []


async def test_an_interrupted_copy_is_not_opened_and_goes_on(
    queue: Queue, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(queue)
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 500)
    with closing(copy(queue.database, target)) as interrupted:
        assert any(each.table == "log_entry" and each.done == 1_000 for each in interrupted)
    with pytest.raises(DatabaseTrouble, match="a copy that was not finished"):
        bring_up_to_date(target)
    first_told = next(each for each in copy(queue.database, target) if each.table == "log_entry")
    assert first_told.done == 1_000
    assert list(copy(queue.database, target))
    assert shown(target) == shown(queue.database)


async def test_what_was_copied_of_an_earlier_state_is_thrown_away(queue: Queue, target: Database) -> None:
    await filled(queue)
    with closing(copy(queue.database, target)) as interrupted:
        next(interrupted)
    await queue.start(*STEPS, definition="later")
    assert list(copy(queue.database, target))
    assert shown(target) == shown(queue.database)


async def test_a_queue_at_work_is_refused(queue: Queue, target: Database) -> None:
    await queue.start(*STEPS)
    (step_id,) = await queue.plan_all("a")
    (item,) = await queue.claim(step_id)
    with pytest.raises(CopyRefused, match="1 work items are running"):
        list(copy(queue.database, target))
    await queue.complete(item)


async def test_a_target_that_holds_a_queue_is_refused(queue: Queue, target: Database) -> None:
    bring_up_to_date(target)
    with pytest.raises(CopyRefused, match="holds a queue already"):
        list(copy(queue.database, target))


async def test_a_row_that_differs_is_noticed(queue: Queue, target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(queue)
    compare = copying._compare

    def tampered(*given: object) -> None:
        with target.writing.begin() as connection:
            connection.exec_driver_sql("UPDATE log_entry SET message = 'other' WHERE line = 7")
        compare(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "_compare", tampered)
    with pytest.raises(CopyRefused, match="log_entry is not what it was made from"):
        list(copy(queue.database, target))
    with pytest.raises(DatabaseTrouble, match="not finished"):
        bring_up_to_date(target)
