"""Every verb of the store, with a storage that fails before, during and after its COMMIT: whoever called it hears what
the database holds, and may hand it in again."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from app.queue import audit, store, writer
from app.queue.actor import Actor, Place
from app.queue.bulk_rules import BulkAction
from app.queue.clock import Clock
from app.queue.database import Database
from app.queue.documents import Document
from app.queue.limits import Limits
from app.queue.models import Kind
from app.queue.pauses import QUEUE, Scope
from app.queue.postgres_document_index import learn_missing
from app.queue.retention import OverdueRun
from app.queue.retrying import Again
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.status import Status
from app.queue.store.acknowledge import Failures, acknowledge
from app.queue.store.bulk import Chunk, add_jobs, begin_set, confirm, end_set, plan_of
from app.queue.store.control import Target
from app.queue.store.definitions import switch
from app.queue.store.documents import Saving, save_documents
from app.queue.store.finish import Ending
from app.queue.store.logging import Line, log
from app.queue.store.owners import NewOwner, open_owner
from app.queue.store.pause import pause_as
from app.queue.store.plan import NewItem, claim_plans
from app.queue.store.schedules import pause_schedule, set_schedule
from app.queue.tables import metadata
from app.queue.ticks import Cron, Due
from app.queue.writer import Transaction, WriteFailed
from tests.queue.conftest import Queue
from tests.queue.storage_faults import REFUSAL, Commit, commits, error_of

NOON = 1_800_000_000.0
ONE = StepPlan("one", "trial")
TWO = StepPlan("two", "trial", depends=("one",))
CRON = Cron("0 11 * * *", "UTC")
ANN = Actor(Place.PAGE, "ann")
FROZEN = SimpleNamespace(job_id=11, kind=Kind.WORKER, status=Status.FAILED, finished_at=None, failed=True, is_open=True)
PLAN = RunPlan("new", "New", (ONE, TWO), tags=("tagged",))
TICKING = RunPlan("ticking", "Ticking", (ONE,))

INNER = {
    *("advance", "count", "count_lines", "count_minute", "count_open", "counts_of", "end_run", "end_step"),
    *("claim_eagerly", "claim_of", "makes_claimable"),
    *("failures_of_run", "forget_planning", "forget_wait", "forget_wait_of_ended", "keep_lost"),
    *("note_wait", "open_failures", "open_planning", "put_off", "tell_waiting"),
    *("begin_anew", "workforce_changed"),
    *("forget_groups", "group_failure", "log_line", "made_by", "open_counters", "record", "said_of"),
    *("refuse_one_too_many", "refuse_switched_off", "regroup", "roll_up", "stop_run", "stop_work"),
}
"""What is called only in the transactions of other verbs."""

READING = {"deletions_begun", "known_schedules", "not_held", "report", "steps_of", "workable_steps"}
"""Verbs that change nothing."""


def verbs() -> dict[str, Callable[..., Any]]:
    """Every public function of the store that is given a transaction first."""
    modules = [
        importlib.import_module(f"{store.__name__}.{each.name}") for each in pkgutil.iter_modules(store.__path__)
    ]
    return {
        name: function
        for module in (*modules, writer)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_") and name not in INNER
        if next(iter(inspect.signature(function).parameters), None) == "transaction"
    }


VERBS = verbs()

# The runs of the queue that every verb is tried on: jobs are numbered in the order in which they were made.
GOING, STEP_ONE, A, B = 1, 2, 4, 5
"""A run at work: a and b of its step one are running, c waits, d has failed."""
OVER = 8
"""A run of which a work item has failed."""
UNPLANNED, PLANNED_STEP = 12, 13
"""A run whose step is being planned."""
SEEN = 14
"""A run whose failure has been acknowledged."""
SET, ACTED_SET, OLD_SET, BEGUN_SET = 1, 2, 3, 4
"""Frozen lists: to be confirmed; on which a run acts; that nobody has confirmed for days; that is being written."""
ACTING_STEP = 18
OWNER = "host:1:one"


async def furnish(queue: Queue) -> None:
    """A queue in which every verb has something to do."""
    assert await queue.start(ONE, TWO, definition="going", timeout=60.0) == GOING
    assert await queue.plan_all("a", "b", "c", "d") == [STEP_ONE]
    assert await queue.start(StepPlan("only", "trial"), definition="over") == OVER
    (over,) = await queue.plan_all("x", "y")
    x, y = await queue.claim(over)
    await queue.complete(x)
    await queue.fail(y)
    assert [item.id for item in await queue.claim(STEP_ONE, 2)] == [A, B]
    assert await queue.start(StepPlan("only", "trial"), definition="unplanned") == UNPLANNED
    (claimed,) = await queue.write(claim_plans, 1)
    assert (claimed.step.step_id, claimed.attempt) == (PLANNED_STEP, 1)
    assert await queue.start(StepPlan("only", "trial"), definition="seen") == SEEN
    (seen,) = await queue.plan_all("z")
    await queue.fail(*await queue.claim(seen))
    assert await queue.write(acknowledge, Failures(SEEN), "known", ANN) == 1
    for set_id, token in ((SET, "set"), (ACTED_SET, "acted"), (OLD_SET, "old")):
        assert await queue.write(begin_set, token, "these", "") == set_id
        await queue.write(add_jobs, set_id, 1, [FROZEN])
        await queue.write(end_set, set_id, 1)
    assert await queue.write(begin_set, "begun", "these", "") == BEGUN_SET
    await queue.write(add_jobs, BEGUN_SET, 1, [FROZEN])
    plan_of_it = plan_of(ACTED_SET, 1, "these", BulkAction.ACKNOWLEDGE, 1)
    await queue.write(confirm, "acted", plan_of_it, BulkAction.ACKNOWLEDGE, "", ANN)
    assert await queue.plan_all("all") == [ACTING_STEP]
    await queue.claim(ACTING_STEP)
    await queue.write(open_owner, NewOwner(OWNER, 20.0, 4, "1", offers=["rare"]), False)
    await queue.start(ONE, definition="ready")
    await queue.write(save_documents, STEP_ONE, [Saving(Document("/old", "old", "text", "trial"), A)])
    await queue.write(set_schedule, "ticking", CRON, 1_800_010_800)
    await queue.write(set_schedule, "paused", CRON, 1_800_010_800)
    await queue.write(pause_schedule, "paused", ANN)
    await queue.write(switch, "off", False, ANN)
    await queue.write(pause_as, QUEUE, ANN)
    await queue.write(pause_as, Scope("somewhere"), ANN)
    await queue.write(end_at_noon)


def end_at_noon(transaction: Transaction) -> None:
    run = metadata.tables["manager_job"]
    transaction.connection.execute(sa.update(run).where(run.c.id == OVER).values(finished_at=NOON))
    frozen = metadata.tables["frozen_set"]
    transaction.connection.execute(sa.update(frozen).where(frozen.c.id == OLD_SET).values(at=0.0))


OTHERS: dict[str, tuple[Any, ...]] = {
    "acknowledge": (Failures(OVER), "known", ANN),
    "acknowledge_as": (Failures(OVER), OVER, "known", ANN),
    "act": (Chunk(ACTED_SET, 1, 1, ACTING_STEP, "all", 1), 1, {}),
    "add_jobs": (BEGUN_SET, 2, [FROZEN]),
    "as_owner": (OWNER, log, [Line(STEP_ONE, A, NOON, "info", "said")]),
    "beat": (OWNER,),
    "begin_set": ("fresh", "these", ""),
    "add_to_totals": (STEP_ONE, {"tokens": 3}),
    "cancel": (GOING, "cancelled by ann"),
    "cancel_as": (Target(GOING, STEP_ONE), ANN),
    "cancel_item": (A, "cancelled by ann"),
    "cancel_step": (STEP_ONE, "cancelled by ann"),
    "confirm": ("set", plan_of(SET, 1, "these", BulkAction.RETRY, 1), BulkAction.RETRY, "", ANN),
    "deal_with_tick": ("ticking", 1_800_010_800, Due(1_800_010_800, 1_800_097_200, True), TICKING, "stamp"),
    "delete_as": (OVER, ANN),
    "delete_documents": (["/old"],),
    "delete_run": (OVER,),
    "deletions_begun": (),
    "end_owner": (OWNER,),
    "end_planning": (PLANNED_STEP, 1, [NewItem("new")], 3),
    "end_schedule": ("ticking",),
    "end_set": (BEGUN_SET, 1),
    "fail_planning": (PLANNED_STEP, 1, "no"),
    "finish": (STEP_ONE, [Ending(A, 1, {"done": 1}), Ending(B, 1, error="boom")]),
    "go_back": ("ticking", CRON, NOON - 10 * 86_400),
    "known_schedules": (),
    "log": ([Line(STEP_ONE, A, NOON, "info", "said")],),
    "note_new_files": (),
    "not_held": ({A: 1, B: 7},),
    "note_not_offered": (["other"],),
    "note_silence": (OWNER, 0, 10.0, 10.0),
    "open_owner": (NewOwner("host:2:two", 20.0, 4, "1"), False),
    "pause_as": (Scope(manager_id=GOING), ANN),
    "pause_schedule": ("ticking", ANN),
    "plan": (PLANNED_STEP, 1, [NewItem("new"), NewItem("newer")]),
    "prioritise_as": (GOING, 5, ANN),
    "record_page_text": ("digest", "definition"),
    "release": (STEP_ONE, [(A, 1)]),
    "release_plan": (PLANNED_STEP, 1),
    "reopen": (Failures(SEEN), ANN),
    "reopen_as": (Failures(SEEN), SEEN, ANN),
    "report": (ACTED_SET,),
    "rescue": (),
    "rerun_as": (RunPlan("over", "Over", (ONE,), rerun_of=OVER), ANN, "key"),
    "resume_as": (Scope("somewhere"), ANN),
    "resume_schedule": ("paused", NOON, ANN),
    "retire": (OverdueRun(OVER, NOON, "kept for 30 days"),),
    "retry": (Again(OVER), "retried by ann"),
    "retry_as": (Again(OVER), ANN),
    "save_documents": (STEP_ONE, [Saving(Document("/old", "new", "text", "trial", tags=("t",)), A)]),
    "set_schedule": ("fresh", CRON, 1_800_010_800),
    "set_type_limits": ({"trial": Limits(3)},),
    "spawn": (STEP_ONE, A, 1, [NewItem("found")]),
    "start": (PLAN,),
    "start_as": (PLAN, ANN),
    "steps_of": ([STEP_ONE],),
    "sweep_sets": (),
    "switch": ("off", True, ANN),
    "take_over": (OWNER, 0, 20.0),
    "time_out": (GOING, 5.0),
    "touch": (),
    "try_out": (),
    "withdraw": (OWNER,),
    "workable_steps": (),
}
"""With what each verb is called; those of a queue that is paused follow."""
UNPAUSED = {"claim": ({STEP_ONE: 5},), "claim_plans": (5,), "end_overdue": (GOING, 2 * NOON)}
ARGUMENTS = OTHERS | UNPAUSED


def test_no_verb_is_forgotten() -> None:
    assert VERBS.keys() == ARGUMENTS.keys(), "give it arguments here, or name it INNER if only verbs call it"


Furnished = Callable[[], Database]
"""Makes the database that of a furnished queue, as often as it is called."""


def make_furnished(database: Database) -> None:
    async def make() -> None:
        queue = Queue(database)
        await furnish(queue)
        await queue.write.close()

    asyncio.run(make())


@pytest.fixture(scope="module")
def furnished_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    bring_up_to_date(database := Database.in_directory(folder))
    make_furnished(database)
    database.close()
    return folder / "stepglass.db"


@pytest.fixture(scope="module")
def furnished_postgres(postgres_as_new: Callable[[], Database]) -> Furnished:
    make_furnished(database := postgres_as_new())
    with database.read() as connection:
        rows = {
            table: list(connection.execute(sa.select(*_own_columns(table))).mappings())
            for table in metadata.sorted_tables
        }
    numbers = numbers_of(database)

    def restored() -> Database:
        with (database := postgres_as_new()).writing.begin() as connection:
            connection.execute(sa.delete(metadata.tables["sequence"]))
            for table, values in rows.items():
                if values:
                    connection.execute(sa.insert(table), values)
            learn_missing(connection)
        number_from(database, numbers)
        return database

    return restored


def _own_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """Not what the database computes."""
    return [column for column in table.columns if column.computed is None]


def numbers_of(database: Database) -> dict[str, int | None]:
    """The last number that PostgreSQL gave, by what gives it. Those that SQLite gives are part of its transactions."""
    if database.is_sqlite:
        return {}
    with database.read() as connection:
        rows = connection.execute(sa.text("SELECT sequencename, last_value FROM pg_sequences"))
        return {row.sequencename: row.last_value for row in rows}


def number_from(database: Database, numbers: dict[str, int | None]) -> None:
    """Goes on with the number after those."""
    given = sa.text("SELECT setval(quote_ident(:name)::regclass, :last, :is_given)")
    with database.writing.begin() as connection:
        for name, last in numbers.items():
            connection.execute(given, {"name": name, "last": last or 1, "is_given": last is not None})


@pytest.fixture
def furnished(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Furnished:
    if backend == "postgres":
        return request.getfixturevalue("furnished_postgres")  # type: ignore[no-any-return]
    file = request.getfixturevalue("furnished_file")
    folders = (tmp_path / str(number) for number in count())
    return lambda: copied(file, next(folders))


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything happens at noon, and nobody but the test tries the storage out."""
    monkeypatch.setattr(Clock, "now", lambda _: NOON)
    monkeypatch.setattr(Database, "begun_at", lambda *_: NOON)
    monkeypatch.setattr("app.queue.storage.FIRST_PAUSE", 3600)
    monkeypatch.setattr("app.queue.writer.FIRST_PAUSE", 0.001)


def copied(file: Path, folder: Path) -> Database:
    folder.mkdir()
    shutil.copy(file, folder / "stepglass.db")
    return Database.in_directory(folder)


@asynccontextmanager
async def opened(furnished: Furnished, verb: str) -> AsyncIterator[Queue]:
    queue = Queue(furnished())
    if verb in UNPAUSED:
        await queue.write(VERBS["resume_as"], QUEUE, ANN)
        queue.commits.clear()
    yield queue
    await queue.write.close()
    queue.database.close()


def content(database: Database) -> dict[str, list[Any]]:
    """Everything that is stored, but for the mark of the latest commit."""
    with database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for name, table in metadata.tables.items()
            if name != "sequence"
        } | {"sequence": sorted(map(repr, connection.execute(sa.text(_NUMBERS)).all()))}


_NUMBERS = "SELECT name, value FROM sequence WHERE name NOT LIKE 'commit%'"


LAST = "SELECT 'done'"


def with_a_last_statement(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Which says that the verb is done with its own."""

    def run(transaction: Transaction, *arguments: Any) -> Any:
        answer = verb(transaction, *arguments)
        transaction.connection.exec_driver_sql(LAST)
        return answer

    return run


@contextmanager
def before_the_commit(database: Database) -> Iterator[None]:
    """The verb is done with all its statements when the disk is full."""

    def refuse(cursor: Any, statement: str, _parameters: Any, _context: Any) -> None:
        if statement == LAST:
            if not database.is_sqlite:
                cursor.execute(REFUSAL)
            raise error_of(sqlite3.SQLITE_FULL, "database or disk is full")

    sa.event.listen(database.writing, "do_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(database.writing, "do_execute", refuse)


def lose(connection: Any) -> None:
    """A connection to PostgreSQL is lost; whoever uses it hears of it."""
    if isinstance(connection.dbapi_connection, psycopg.Connection):
        connection.dbapi_connection.close()
        connection.dbapi_connection.commit()


def during_the_commit(database: Database) -> Any:
    """What was to be committed does not come to be."""

    def instead(commit: Commit, connection: Any) -> None:
        if not failed:
            failed.append(True)
            lose(connection)
            raise error_of(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error")
        commit(connection)  # of whoever finds out what happened

    failed: list[bool] = []
    return commits(database, instead)


def after_the_commit(database: Database) -> Any:
    """It has come to be when the error comes; and the first look at it fails, too."""

    def instead(commit: Commit, connection: Any) -> None:
        commit(connection)
        if len(failed) < 2:
            failed.append(True)
            lose(connection)
            raise error_of(sqlite3.SQLITE_IOERR, "disk I/O error")

    failed: list[bool] = []
    return commits(database, instead)


@pytest.mark.parametrize("verb", ARGUMENTS)
async def test_whoever_calls_hears_what_the_database_holds(furnished: Furnished, verb: str) -> None:
    async with opened(furnished, verb) as queue:
        answer = await queue.write(VERBS[verb], *ARGUMENTS[verb])
        done, heard = content(queue.database), queue.commits
    async with opened(furnished, verb) as queue:
        before, numbers = content(queue.database), numbers_of(queue.database)
        assert (done != before) is (verb not in {*READING, "touch", "try_out"})
        for fault in (before_the_commit, during_the_commit):
            with fault(queue.database), pytest.raises(WriteFailed):
                await queue.write(with_a_last_statement(VERBS[verb]), *ARGUMENTS[verb])
            assert content(queue.database) == before
            assert queue.commits == []
            number_from(queue.database, numbers)
        with after_the_commit(queue.database):
            assert await queue.write(VERBS[verb], *ARGUMENTS[verb]) == answer
        assert content(queue.database) == done
        assert audit.check(queue.database) == []
        assert [commit.changes for commit in queue.commits] == [commit.changes for commit in heard]
