"""What pages look back on: failures by message, endings per minute, the slowest work items, runs by what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.queue import audit, schema
from app.queue.database import Database
from app.queue.documents import Document
from app.queue.failure_pattern import pattern_of
from app.queue.run_plan import OnError, RunPlan, StepPlan
from app.queue.run_reading import runs_by_id
from app.queue.snapshot import JobFilter, RunFilter, Snapshot
from app.queue.store.cancel import cancel
from app.queue.store.documents import Saving, save_documents
from app.queue.store.failure_groups import MOST_GROUPS
from app.queue.store.start import start
from tests.queue.conftest import Queue

NOON = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(Database, "begun_at", lambda *_: clock.now)
    return clock


class Clock:
    """The time at which the writer believes it commits."""

    now = NOON


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 1.5 s, 3 tries", "took 27 s, 1 tries"),
        ("cannot read /srv/a/b.py: gone", "cannot read /srv/c.d/e-f.py: gone"),
        ("GET https://a.example/x?y=1 said 404", "GET http://b.example/ said 404"),
        ("job 0d9f8a3c-1111-4222-8333-444455556666 is gone", "job ffffffff-1111-4222-8333-0123456789ab is gone"),
        ("first line\nsecond line", "first line\nanother"),
    ],
)
def test_messages_that_differ_in_particulars_are_alike(one: str, other: str) -> None:
    assert pattern_of(one) == pattern_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("KeyError: 'a'", "KeyError: 'b'"), ("refused", "timed out"), ("a/b or c", "d/e or c")]
)
def test_messages_that_say_something_else_are_not_alike(one: str, other: str) -> None:
    assert pattern_of(one) != pattern_of(other)


@pytest.mark.parametrize("message", ["", "\n", "x" * 100_000, "/" * 100_000, "a/" * 50_000, "1a" * 50_000, "\u2028"])
def test_any_message_has_a_short_pattern(message: str) -> None:
    assert 0 < len(pattern_of(message)) <= 200


async def test_failures_that_are_alike_are_one_group_the_newest_first(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all("a", "b", "c", "d")
    a, b, c, d = await queue.claim(step_id)
    await queue.fail(a, error="took 1 s")
    await queue.fail(b, error="refused")
    await queue.fail(c, error="took 2 s")
    await queue.complete(d)
    groups = queue.read(lambda snapshot: snapshot.failures(manager_id, 10))
    assert [(g.pattern, g.count, g.first.name, g.last.name) for g in groups] == [
        ("took <n> s", 2, "a", "c"),
        ("refused", 1, "b", "b"),
    ]
    assert (groups[0].first.message, groups[0].last.message) == ("took 1 s", "took 2 s")


async def test_a_failure_that_is_tried_again_is_not_grouped_until_it_stays(queue: Queue, clock: Clock) -> None:
    manager_id = await queue.start(StepPlan("one", "trial", on_error=OnError.RETRY))
    (step_id,) = await queue.plan_all("a")
    for expected in (0, 0, 1):
        clock.now += 1000
        await queue.fail(*await queue.claim(step_id))
        assert sum(g.count for g in queue.read(lambda s: s.failures(manager_id, 10))) == expected


async def test_however_different_the_failures_are_their_groups_are_bounded(queue: Queue) -> None:
    names = [f"item {number}" for number in range(MOST_GROUPS + 5)]
    manager_id = await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all(*names)
    for number, item in enumerate(await queue.claim(step_id, len(names))):
        await queue.fail(item, error=f"{'x' * number} is wrong")
    groups = queue.read(lambda snapshot: snapshot.failures(manager_id, 1000))
    assert len(groups) == MOST_GROUPS + 1
    assert {g.pattern: g.count for g in groups}[""] == 5
    assert sum(g.count for g in groups) == len(names)


async def test_minutes_are_counted_quiet_ones_too_and_forgotten_after_a_day(queue: Queue, clock: Clock) -> None:
    assert queue.read(lambda snapshot: snapshot.minutes(3)) == ()
    await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all(*"abcde")
    a, b, c, d, e = await queue.claim(step_id)
    await queue.complete(a, b)
    await queue.fail(c)
    clock.now += 120
    await queue.complete(d)
    minutes = queue.read(lambda snapshot: snapshot.minutes(4))
    assert [(each.completed, each.failed) for each in minutes] == [(0, 0), (2, 1), (0, 0), (1, 0)]
    assert minutes[-1].minute == int(clock.now // 60)
    clock.now += 24 * 3600 - 60
    await queue.complete(e)
    with queue.database.read() as connection:
        kept = connection.execute(sa.text("SELECT count(*) FROM minute_counter")).scalar_one()
    assert kept == 2


async def test_the_slowest_work_items_are_found(queue: Queue, clock: Clock) -> None:
    manager_id = await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all(*"abcd")
    a, b, c, d = await queue.claim(step_id)
    for item, seconds in ((a, 1), (b, 5), (c, 2)):
        clock.now = NOON + seconds
        await queue.complete(item)
    await queue.write(cancel, await queue.start(StepPlan("one", "trial"), definition="another"), "never claimed")
    slowest = queue.read(lambda snapshot: snapshot.slowest(manager_id, 2))
    assert [job.name for job in slowest] == ["b", "c"]
    await queue.complete(d)


async def test_the_slowest_work_items_are_found_by_their_index(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    schema.bring_up_to_date(database)
    statements: list[str] = []
    sa.event.listen(database.reading, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    Queue(database).read(lambda snapshot: snapshot.slowest(1, 10))
    statement, parameters = next(each for each in statements if "finished_at - " in each[0])
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert any("worker_job_by_duration" in row[-1] for row in plan), plan
    assert not any("TEMP B-TREE" in row[-1] for row in plan)


async def run_of(queue: Queue, name: str, definition: str = "trial", tags: tuple[str, ...] = ()) -> int:
    steps = (StepPlan("one", "trial"),)
    return int(await queue.write(start, RunPlan(definition, name, steps, tags, concurrency=1000)))


@pytest.mark.parametrize(
    ("matching", "found"),
    [
        (RunFilter(), "abcd"),
        (RunFilter(tag="nightly"), "ac"),
        (RunFilter(tag="night"), ""),
        (RunFilter(text="NAME B"), "b"),
        (RunFilter(text="%"), ""),
        (RunFilter(since=NOON + 60), "bcd"),
        (RunFilter(until=NOON + 120), "ab"),
        (RunFilter(since=NOON + 60, until=NOON + 180, tag="nightly"), "c"),
        (RunFilter(definition="other"), "d"),
    ],
)
async def test_runs_are_found_by_what_they_are(queue: Queue, clock: Clock, matching: RunFilter, found: str) -> None:
    for number, (name, tags) in enumerate([("a", ("nightly", "x")), ("b", ()), ("c", ("nightly", "nightly"))]):
        clock.now = NOON + 60 * number
        await run_of(queue, f"Name {name}", tags=tags)
    clock.now = NOON + 180
    await run_of(queue, "Name d", definition="other")
    page = queue.read(lambda snapshot: snapshot.runs(matching, 10))
    assert sorted(run.name[-1] for run in page.runs) == list(found)
    assert page.total == len(found)
    same = JobFilter(
        "manager", None, None, None, matching.definition, matching.text, matching.tag, matching.since, matching.until
    )
    assert queue.read(lambda snapshot: snapshot.jobs(same, 10)).total == len(found)


async def test_pages_of_a_held_list_never_skip_or_repeat_while_runs_start(queue: Queue) -> None:
    started = [await run_of(queue, f"Run {number}", tags=("x",)) for number in range(11)]
    seen, cursor = [], None
    for newer in (0, 2, 4, 6):
        page = queue.read(lambda snapshot: snapshot.runs(RunFilter(tag="x"), 3, cursor, started[-1]))  # noqa: B023
        assert (page.newer, page.total) == (newer, 11 + newer)
        seen += [run.id for run in page.runs]
        cursor = page.next
        for number in range(2):
            await run_of(queue, f"New {number}", tags=("x",))
        await run_of(queue, "Not meant")
    assert cursor is None
    assert seen == started[::-1]


async def test_a_run_that_is_over_is_kept_and_still_true(queue: Queue) -> None:
    manager_id = await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all("a")
    await queue.complete(*await queue.claim(step_id))
    first = queue.run(manager_id)
    assert queue.run(manager_id) is first
    await queue.write(save_documents, step_id, [Saving(Document("address", "title", "body", "file"))])
    changed = queue.run(manager_id)
    assert (changed.document_count, changed) == (1, _read_anew(queue, manager_id))
    await queue.start(StepPlan("one", "trial"))
    page = queue.read(lambda snapshot: snapshot.runs(RunFilter(), 10))
    assert page.runs[1] is changed


def _read_anew(queue: Queue, manager_id: int) -> object:
    with queue.database.read() as connection:
        return runs_by_id(connection, [manager_id])[0]


def test_a_database_of_before_is_filled_in(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in RUN_OF_BEFORE.split(";"):
            connection.exec_driver_sql(statement)
    schema.bring_up_to_date(database)
    assert audit.check(database) == []
    with database.read() as connection:
        tags = connection.execute(sa.text("SELECT tag, manager_id FROM run_tag")).all()
        groups = connection.execute(sa.text("SELECT pattern, number, first_id, last_id FROM failure_group")).all()
    with Snapshot.of(database) as snapshot:
        alike = snapshot.jobs(JobFilter(failure="took <n> s"), 10)
        documents = snapshot.run(1).document_count
    assert [job.id for job in alike.jobs] == [3, 4]
    assert documents == 1
    assert tags == [("x", 1), ("y", 1)]
    assert groups == [("took <n> s", 2, 3, 4)]
    database.close()


RUN_OF_BEFORE = """
INSERT INTO manager_job VALUES
    (1, 'd', 'Run', 'failed', 'step one failed', '["x","y","x"]', '{}', -1, 'continue', NULL, '', 1.0, 1.0, 2.0);
INSERT INTO step_job VALUES
    (2, 1, 1, 'one', 'trial', '', '[]', 'fail', 0, '{}', NULL, 'failed', 'all failed', 0, 1, 1, 0, 5, 1.0, 1.0, 2.0);
INSERT INTO document (address, title, body, source_type, tags, details, content_hash, created_by_step, created_at,
    updated_at) VALUES ('file:/a', 'a', '', 'file', '[]', '{}', '', 2, 1.0, 1.0);
INSERT INTO worker_job VALUES
    (3, 1, 2, 'item 3', 'failed', '', 1, 0.0, NULL, NULL, 'took 3 s', NULL, 1.0, 1.0, strftime('%s', 'now') - 7200.0);
INSERT INTO worker_job VALUES
    (4, 1, 2, 'item 4', 'failed', '', 1, 0.0, NULL, NULL, 'took 4 s', NULL, 1.0, 1.0, strftime('%s', 'now') - 7200.0);
INSERT INTO step_counter VALUES
    (2, 'pending', 0), (2, 'running', 0), (2, 'completed', 0), (2, 'failed', 2), (2, 'cancelled', 0);
UPDATE sequence SET value = 4 WHERE name = 'job'
"""
