"""The writer: acknowledged means committed, and trouble is told to everybody it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.queue.database import Database, DatabaseTrouble
from app.queue.run_plan import StepPlan
from app.queue.schema import HEAD, bring_up_to_date, require_current, version_of
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, plan
from app.queue.writer import Transaction, WriteFailed, Writer, touch
from tests.queue.conftest import Queue
from tests.queue.storage_faults import commits, fill_the_disk

pytestmark = pytest.mark.postgresql

STEP = StepPlan("one", "trial")
FULL = {
    True: r"stepglass\.db cannot be written: database or disk is full",
    False: r"stepglass_\w+\S* cannot be written: could not extend file: No space left on device",
}
"""What is told of a full disk, by whether it is SQLite."""


async def test_a_full_disk_is_told_and_loses_nothing_that_was_acknowledged(queue: Queue) -> None:
    manager_id = await queue.start(STEP)
    (claimed,) = await queue.write(claim_plans, 1)
    step_id = claimed.step.step_id
    fill_the_disk(queue.database, full=True)
    items = [NewItem(f"item {number}", "x" * 2000) for number in range(50)]
    with pytest.raises(WriteFailed, match=FULL[queue.database.is_sqlite]):
        await queue.write(plan, step_id, claimed.attempt, items)
    assert queue.write.trouble is not None
    assert queue.step(manager_id, "one").counts.total == 0
    fill_the_disk(queue.database, full=False)
    assert await queue.write(plan, step_id, claimed.attempt, items)
    while queue.write.trouble is not None:
        await queue.write(touch)
    assert queue.step(manager_id, "one").counts.pending == 50


async def test_a_commit_that_fails_answers_its_whole_batch(queue: Queue) -> None:
    await queue.start(STEP)
    (claimed,) = await queue.write(claim_plans, 1)
    step_id = claimed.step.step_id
    fill_the_disk(queue.database, full=True)
    huge = [Line(step_id, None, 0.0, "info", "x" * 60_000) for _ in range(20)]
    small = [Line(step_id, None, 0.0, "info", "small")]
    answers = await asyncio.gather(*(queue.write(log, lines) for lines in (huge, small)), return_exceptions=True)
    assert isinstance(answers[0], WriteFailed)
    lines = queue.read(lambda snapshot: snapshot.log_lines(step_id, 1, 100))
    stored = [line.message for line in lines]
    assert stored == ([] if isinstance(answers[1], WriteFailed) else ["small"])
    fill_the_disk(queue.database, full=False)


async def test_a_verb_that_raises_answers_with_what_it_raised(queue: Queue) -> None:
    def bad(transaction: Transaction) -> None:
        transaction.new_ids(100)
        raise ValueError("no")

    before = queue.read(lambda snapshot: snapshot.revision)
    with pytest.raises(ValueError, match="no"):
        await queue.write(bad)
    assert queue.read(lambda snapshot: snapshot.revision) == before
    assert await queue.write(lambda transaction: transaction.new_ids(1)) == range(1, 2)


async def test_what_was_handed_in_before_the_end_is_done(queue: Queue) -> None:
    started = [queue.start(STEP, definition=f"number {number}") for number in range(20)]
    answers = asyncio.gather(*started)
    await asyncio.sleep(0)
    await queue.write.close()
    assert len(await answers) == 20


async def test_the_changes_are_heard_before_the_answer(queue: Queue) -> None:
    heard: list[int] = []
    writer = Writer(queue.database, lambda commit: heard.append(commit.revision))
    queue.write, other = writer, queue.write
    await queue.start(STEP)
    assert heard == [1]
    await other.close()


def test_full_synchronous_is_a_setting(tmp_path: Path) -> None:
    for setting, number in (("NORMAL", 1), ("FULL", 2)):
        database = Database.in_directory(tmp_path, setting)  # type: ignore[arg-type]
        with database.writing.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == number
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        database.close()


def test_a_reader_cannot_write(database: Database) -> None:
    with database.read() as connection, pytest.raises(sa.exc.DBAPIError, match=r"readonly|read-only"):
        connection.execute(sa.text("DELETE FROM manager_job"))


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    bring_up_to_date(database)
    with database.writing.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE sequence SET value = 9998 WHERE name = 'works from'"))
    told = rf"newer Stepglass \(schema 9999, this one knows {HEAD}, and only those that know 9998 may work on it\)"
    for opening in (bring_up_to_date, require_current):
        with pytest.raises(DatabaseTrouble, match=told):
            opening(database)
    with database.writing.begin() as connection:
        connection.execute(sa.text("DELETE FROM sequence WHERE name = 'works from'"))
    with pytest.raises(DatabaseTrouble, match=rf"newer Stepglass \(schema 9999, this one knows {HEAD}\)"):
        bring_up_to_date(database)
    database.close()


def test_a_newer_schema_that_only_adds_is_worked_on_and_left_as_it_is(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    bring_up_to_date(database)
    with database.writing.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    bring_up_to_date(database)
    require_current(database)
    with database.read() as connection:
        assert version_of(connection) == "9999"
    database.close()


def _is_ours(name: str | None, kind: str, _: object) -> bool:
    """Not one of the tables in which SQLite keeps the index of documents' words; and not one of the engine's, which a
    test before this one may have left."""
    others = (name or "").startswith(("document_text", "procrastinate_")) or name in ("last_rescue", "set_up_for")
    return kind != "table" or not others


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from app.queue.tables import metadata

    with database.writing.connect() as connection:
        opts = {"compare_type": False, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


def test_a_work_item_cannot_be_filed_under_another_runs_step(database: Database) -> None:
    with database.writing.begin() as connection:
        for manager_id in (1, 2):
            connection.execute(
                sa.text(
                    "INSERT INTO manager_job (id, definition, name, status, reason, tags, parameters,"
                    " max_child_failures, failure_action, definition_text, created_at)"
                    " VALUES (:id, 'd', 'n', 'running', '', '[]', '{}', -1, 'stop_all', '', 0)"
                ),
                {"id": manager_id},
            )
        connection.execute(
            sa.text(
                "INSERT INTO step_job (id, manager_id, position, name, type, description, depends, on_error,"
                " always_run, settings, status, reason, ready, plan_attempt, planned, log_count, document_count,"
                " created_at) VALUES (3, 1, 1, 's', 't', '', '[]', 'fail', false, '{}', 'running', '', false, 0,"
                " false, 0, 0, 0)"
            )
        )
    insert = sa.text(
        "INSERT INTO worker_job (id, manager_id, step_id, name, status, reason, attempt, due_at, created_at)"
        " VALUES (9, :manager, 3, 'w', :status, '', 0, 0, 0)"
    )
    for parameters in ({"manager": 2, "status": "pending"}, {"manager": 1, "status": "skipping"}):
        with pytest.raises(sa.exc.IntegrityError), database.writing.begin() as connection:
            connection.execute(insert, parameters)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_after_a_commit_that_failed_the_database_is_asked(queue: Queue, carried_out: bool) -> None:
    failed: list[bool] = []

    def instead(commit: Callable[[Any], None], connection: Any) -> None:
        if carried_out or failed:
            commit(connection)
        if not failed:
            failed.append(True)
            raise OSError("the line went dead")

    with commits(queue.database, instead):
        started = queue.start(STEP)
        if carried_out:
            assert queue.run(await started).status == "pending"
        else:
            with pytest.raises(WriteFailed, match="the line went dead"):
                await started
    assert len(queue.commits) == (1 if carried_out else 0)
    assert await queue.start(STEP, definition="another") > 0


@pytest.fixture
def postgres(postgres_queue: str) -> Iterator[Database]:
    database = Database(postgres_queue)
    yield database
    database.close()


async def test_a_connection_that_was_lost_while_nobody_used_it_is_made_anew(postgres: Database) -> None:
    writer = Writer(postgres, lambda commit: None)
    await writer(touch)
    with postgres.read() as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        connection.exec_driver_sql(ended + "pg_backend_pid()")
    await writer(touch)
    await writer.close()


def test_one_transaction_writes_at_a_time(postgres: Database) -> None:
    another = Database(postgres.url)
    with another.writing.connect() as waiting:
        waiting.exec_driver_sql("SET lock_timeout = '200ms'")
        waiting.commit()
        with postgres.writing.begin(), pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            waiting.begin()
        with waiting.begin():
            waiting.exec_driver_sql("UPDATE sequence SET value = 7 WHERE name = 'job'")
        with pytest.raises(ZeroDivisionError), waiting.begin():
            waiting.exec_driver_sql("UPDATE sequence SET value = 8 WHERE name = 'job'")
            raise ZeroDivisionError
    another.close()
    with postgres.read() as connection:
        assert connection.exec_driver_sql("SELECT value FROM sequence WHERE name = 'job'").scalar_one() == 7


def test_no_plan_is_kept_that_a_table_may_outgrow(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.database._PLANS_KEPT", 0.0)

    def plan(connection: Any) -> str:
        lines = connection.exec_driver_sql("EXPLAIN (COSTS OFF) EXECUTE query (7)").scalars()
        return "Index" if "Index" in " ".join(lines) else "Seq"

    with postgres.writing.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql("CREATE TABLE growing (id int PRIMARY KEY)")
            connection.exec_driver_sql("ANALYZE growing")
        with connection.begin():
            connection.exec_driver_sql("PREPARE query AS SELECT FROM growing WHERE id > $1 AND id < $1 + 5")
            connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
            first = plan(connection)
            connection.exec_driver_sql("INSERT INTO growing SELECT generate_series(1, 20000)")
            kept = plan(connection)
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
            made_anew = plan(connection)
    assert (first, kept, made_anew) == ("Seq", "Seq", "Index")
