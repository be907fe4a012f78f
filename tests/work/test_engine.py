"""Procrastinate hands out the work on PostgreSQL: whatever can be claimed has a ticket, and who draws it claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from procrastinate.schema import SchemaManager

from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.announcing import hearing_others
from app.queue.database import Database
from app.queue.engine import EngineRefused, settle_engine
from app.queue.limits import Limits
from app.queue.pauses import QUEUE
from app.queue.run_plan import OnError, Retry, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.status import Status
from app.queue.step_monitor import StepMonitor
from app.queue.store.cancel import cancel, cancel_item
from app.queue.store.owners import NewOwner, open_owner
from app.queue.store.pause import pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, plan
from app.queue.store.priority import prioritise_as
from app.queue.tables import worker_job
from app.queue.tickets import ITEMS, LONGEST_QUEUE, PLAN, Ticket, claim_by_tickets, queue_of
from app.queue.writer import Writer
from app.work.registry import StepTypes
from app.work.runner import Runner
from app.work.tickets_in_hand import TicketsInHand, drawing_tickets
from tests.work import trial_steps
from tests.work.conftest import PATIENCE, FaultyWriter, Works

ANN = Actor(Place.PAGE, "ann")
LEASE = 2.0
ONE, OTHER = [trial_steps.OnLoop, trial_steps.InProcess], [trial_steps.OnLoop]


class Worked(Works):
    """A queue that is worked by Procrastinate. Several may be at work on one database, each as if it were a process."""

    def __init__(self, database: Database, monitor: StepMonitor, announce: Any) -> None:
        self.database = database
        self.monitor = monitor
        self.write = FaultyWriter(Writer(database, monitor.hear, announce))

    @asynccontextmanager
    async def running(self, slots: int = 8, grace: float = 0.0, types: Any = ONE, **_: Any) -> AsyncIterator[Runner]:
        tickets = TicketsInHand()
        step_types = StepTypes(types)
        writer: Any = self.write
        runner = Runner(self.database, writer, self.monitor, step_types, slots, LEASE, alone=False, tickets=tickets)
        await runner.start()
        try:
            async with drawing_tickets(tickets, self.database, self.monitor, writer, step_types, LEASE):
                yield runner
        finally:
            await runner.stop(grace)

    def waiting(self) -> list[Any]:
        """The tickets: queue, arguments, whether they wait, priority."""
        return tickets_of(self.database)


def tickets_of(database: Database) -> list[Any]:
    query = "SELECT queue_name, args, status, priority FROM stepglass_engine.procrastinate_jobs ORDER BY id"
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


@asynccontextmanager
async def at(url: str, engine: str = "procrastinate") -> AsyncIterator[Worked]:
    database = Database(url)
    monitor = StepMonitor()
    settle_engine(database, engine)
    async with hearing_others(database, monitor) as announce:
        works = Worked(database, monitor, announce)
        yield works
        await works.write.close()
    assert audit.check(database) == []
    database.close()


@pytest.fixture
async def works(postgres_queue: str) -> AsyncIterator[Worked]:
    async with at(postgres_queue) as works:
        yield works


def step(*items: str, name: str = "one", type: str = "on_loop", marker: str = "", **more: Any) -> StepPlan:
    return StepPlan(name, type, settings={"items": list(items), "marker": marker}, **more)


def began(works: Worked, step_id: int, until: int | None = None) -> int:
    """How many work items of a step have begun; before the last one of another step did."""
    last = sa.select(sa.func.max(worker_job.c.started_at)).where(worker_job.c.step_id == until).scalar_subquery()
    query = sa.select(sa.func.count(worker_job.c.started_at)).where(worker_job.c.step_id == step_id)
    with works.database.read() as connection:
        return int(connection.execute(query.where(worker_job.c.started_at < last) if until else query).scalar_one())


async def planned(works: Worked, plan_of_it: StepPlan, items: int, priority: int = 0) -> int:
    """A run whose step has that many work items, planned by nobody who draws tickets; the id of the step."""
    await works.start(plan_of_it, concurrency=9, priority=priority)
    (claimed,) = await works.write(claim_plans, 1)
    await works.write(plan, claimed.step.step_id, claimed.attempt, [NewItem(f"log {n}") for n in range(items)])
    return int(claimed.step.step_id)


async def test_a_run_of_several_steps_with_retries_and_limits_is_worked_to_its_end(works: Worked) -> None:
    quickly = Retry(3, first_delay=0.05)
    run = await works.run_to_end(
        step("log a", "flaky b", name="one", retry=quickly),
        step("log c", "permanent d", name="two", type="in_process", depends=("one",), on_error=OnError.CONTINUE),
        step(*(f"log {n}" for n in range(5)), name="three", depends=("two",), limits=Limits(2), always_run=True),
        step("spawn e", name="four", depends=("three",), always_run=True),
    )
    assert (run.counts.completed, run.counts.failed) == (10, 1)
    assert works.waiting() == []  # used up, not merely done


async def test_few_items_have_a_ticket_each_and_many_share_theirs(works: Worked) -> None:
    few = await planned(works, step(), 3)
    some = await planned(works, step(), 60)
    many = await planned(works, step(), 620)
    tickets = [args for _, args, _, _ in works.waiting() if "step" in args]
    assert all(args.keys() - {"again"} == {"step", "most"} for args in tickets)

    def of(step_id: int) -> list[Any]:
        return ["again" if "again" in args else args["most"] for args in tickets if args["step"] == step_id]

    assert of(few) == [1, 1, 1]
    assert of(some) == [*[1] * 25, "again", *[1] * 25]  # the last round is drawn while the next one is made
    assert of(many) == [50, "again", 50]


async def test_who_looks_again_makes_the_next_round_behind_what_others_have_waiting(works: Worked) -> None:
    wide = await planned(works, step(), 1000)
    small = await planned(works, step(), 2)
    await works.write(open_owner, NewOwner("a:1", 20.0, 120, "1"), False)  # three tickets fill it
    before = len(works.waiting())
    await works.write(claim_by_tickets, {wide: 50}, "a:1", {wide: [Ticket(0, wide, 50, again=True)]})
    made = works.waiting()[before:]
    assert [args["step"] for _, args, _, _ in works.waiting()[:before] if "step" in args][-1] == small
    assert [args for _, args, _, _ in made] == [{"step": wide, "most": 50}] * 3


async def test_a_small_run_does_not_wait_for_all_of_a_wide_one(works: Worked) -> None:
    wide = await planned(works, step(), 620)
    small = await planned(works, step(), 3)
    async with works.running(slots=4):
        await works.until(lambda _: began(works, small) == 3)
        before = began(works, wide, until=small)
        await works.write(cancel, wide - 1, "enough")
        await works.ended(wide - 1)
    assert before < 40


async def test_what_goes_first_does_so_whatever_kind_of_work_it_is(works: Worked) -> None:
    low = await planned(works, step(), 2, priority=1)
    middle = await planned(works, step(type="in_process"), 2, priority=2)
    high = await planned(works, step(), 2, priority=3)
    async with works.running(slots=1):
        await works.until(lambda _: all(works.run(each - 1).counts.completed == 2 for each in (low, middle, high)))
    with works.database.read() as connection:
        order = connection.execute(sa.select(worker_job.c.step_id).order_by(worker_job.c.started_at)).scalars().all()
    assert order == [high, high, middle, middle, low, low]


async def test_a_lost_ticket_is_found_and_made_anew(works: Worked) -> None:
    has_items = await planned(works, step(), 2)
    run = await works.start(step("log a"), definition="unplanned")
    assert audit.check(works.database) == []
    with works.database.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM procrastinate_jobs")
    said = "no ticket; the next server or worker that starts makes one"
    assert audit.check(works.database) == [
        f"step {has_items}: it has work items to be claimed, but {said}",
        f"step {run + 1}: it is to be planned, but {said}",
    ]
    settle_engine(works.database, "")
    assert audit.check(works.database) == []
    assert len(works.waiting()) == 2
    settle_engine(works.database, "")
    assert len(works.waiting()) == 2


async def test_a_wide_step_is_worked_to_its_end_by_two_at_once(
    works: Worked, postgres_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.tickets.FEW", 20)
    async with at(postgres_queue) as other, works.running(slots=16), other.running(slots=16, types=OTHER):
        run = await works.ended(await works.start(step(*(f"log {n}" for n in range(120)))))
    assert run.counts.completed == 120
    assert works.waiting() == []


async def test_a_pause_uses_up_tickets_and_who_resumes_makes_new_ones(works: Worked) -> None:
    async with works.running():
        await works.write(pause_as, QUEUE, ANN)
        run = await works.start(step("log a", "log b"))
        async with asyncio.timeout(PATIENCE):
            while works.waiting():  # noqa: ASYNC110, nothing is committed that one could wait for
                await asyncio.sleep(0.01)
        await works.write(resume_as, QUEUE, ANN)
        assert (await works.ended(run)).counts.completed == 2


async def test_a_running_item_is_cancelled_and_the_rest_goes_on(works: Worked, tmp_path: Path) -> None:
    async with works.running():
        run = await works.start(step("hang", "log a", marker=str(tmp_path / "hangs")))
        await works.until(lambda _: works.run(run).counts.running == 1 and works.run(run).counts.completed == 1)
        job = works.run(run).steps[0].id + 1
        assert await works.write(cancel_item, job, "cancelled by ann")
        assert (await works.ended(run)).counts.cancelled == 1


async def test_a_ticket_that_is_drawn_twice_finds_nothing_the_second_time(works: Worked) -> None:
    step_id = await planned(works, step(), 1)
    await works.write(open_owner, NewOwner("a:1", 20.0, 1, "1"), False)
    ticket = Ticket(1, step_id, 1)
    (first, _), (second, used) = [
        await works.write(claim_by_tickets, {step_id: 1}, "a:1", {step_id: [ticket]}) for _ in range(2)
    ]
    assert (len(first.items), len(second.items), used) == (1, 0, [1])


async def test_what_a_ticket_stood_for_beyond_what_was_claimed_gets_another_ticket(works: Worked) -> None:
    step_id = await planned(works, step(), 5)
    await works.write(claim_by_tickets, {step_id: 2}, "a:1", {step_id: [Ticket(0, step_id, 50)]})
    queue, args, status, _ = works.waiting()[-1]
    assert (queue, args, status) == ("on_loop", {"step": step_id, "most": 50, "again": True}, "todo")
    await works.write(claim_by_tickets, {step_id: 1}, "a:1", {step_id: [Ticket(0, step_id, 50)]})
    assert works.waiting()[-1][1] == args and sum("again" in each[1] for each in works.waiting()) == 1


async def test_what_the_dead_have_drawn_is_given_back(works: Worked) -> None:
    run = await works.start(step("log a"))
    with works.database.writing.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')"
        )
        (dead,) = connection.exec_driver_sql("SELECT max(id) FROM procrastinate_workers").one()
        drawn = connection.exec_driver_sql("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", (dead,))
        assert drawn.rowcount == 1
    async with works.running():
        assert (await works.ended(run)).counts.completed == 1
    assert works.waiting() == []


async def test_a_step_that_nobody_offers_says_so_and_waits_for_who_does(works: Worked) -> None:
    run = await works.start(step("log a", type="in_process"))
    async with works.running(types=OTHER):
        await works.until(lambda _: "no worker offers" in works.run(run).steps[0].reason)
    assert "plan in_process" in [queue for queue, *_ in works.waiting()]
    async with works.running():
        assert (await works.ended(run)).status is Status.COMPLETED


async def test_a_priority_reaches_the_tickets_that_wait(works: Worked) -> None:
    run = await works.start(step("log a"), priority=1)
    await works.write(prioritise_as, run, 7, ANN)
    assert [priority for *_, priority in works.waiting()] == [7]


async def test_the_engine_is_switched_with_work_pending(postgres_queue: str) -> None:
    async with at(postgres_queue, "embedded") as works:
        run = await works.start(step("log a"))
        database = Database(postgres_queue)
        with pytest.raises(EngineRefused, match=r"worked by the engine embedded, of: .*, process .* to procrastinate"):
            settle_engine(database, "procrastinate")
        assert settle_engine(database, "") == "embedded"
    assert settle_engine(database, "procrastinate") == "procrastinate"
    assert settle_engine(database, "") == "procrastinate"
    assert [args for _, args, _, _ in tickets_of(database)] == [{"plan": run + 1}]
    assert settle_engine(database, "embedded") == "embedded"
    assert tickets_of(database) == []
    database.close()
    async with at(postgres_queue, "procrastinate") as again, again.running():
        assert (await again.ended(run)).status is Status.COMPLETED


async def test_a_lost_connection_heals(works: Worked) -> None:
    async with works.running():
        await works.ended(await works.start(step("log a")))
        with works.database.writing.begin() as connection:
            ended = connection.exec_driver_sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
            assert ended.scalar_one() > 2
        assert (await works.ended(await works.start(step("log b")))).status is Status.COMPLETED


def test_sqlite_has_no_use_for_it(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    assert settle_engine(database, "") == "embedded"
    with pytest.raises(EngineRefused, match="--engine procrastinate"):
        settle_engine(database, "procrastinate")
    database.close()


def test_a_newer_procrastinate_is_refused_and_an_older_one_brought_up_to_date(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres_database)
    bring_up_to_date(database)
    settle_engine(database, "procrastinate")

    def set_up_for(migration: str) -> None:
        with database.writing.begin() as connection:
            connection.exec_driver_sql("UPDATE stepglass_engine.set_up_for SET migration = %s", (migration,))

    newest = max(path.stem for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    set_up_for("99.00.00_01_of_times_to_come")
    with pytest.raises(EngineRefused, match=r"newer Procrastinate .*99.00.00_01"):
        settle_engine(database, "procrastinate")
    set_up_for(newest)
    (tmp_path / f"{newest}.sql").touch()
    (tmp_path / "99.00.00_01_of_times_to_come.sql").write_text("ALTER TABLE procrastinate_jobs ADD kept int; SELECT 1")
    monkeypatch.setattr(SchemaManager, "get_migrations_path", lambda: str(tmp_path))
    settle_engine(database, "")
    with database.read() as connection:
        assert (
            connection.exec_driver_sql("SELECT count(kept) FROM stepglass_engine.procrastinate_jobs").scalar_one() == 0
        )
    settle_engine(database, "")  # and once is enough
    database.close()


@pytest.mark.parametrize("name", ["on_loop", "x" * 200, "ü" * 100])
def test_a_queue_has_a_name_that_a_channel_can_be_called_by(name: str) -> None:
    names = {queue_of(task, each) for task in (ITEMS, PLAN) for each in (name, name + "y")}
    assert len(names) == 4
    assert all(len(each.encode()) <= LONGEST_QUEUE for each in names)


def test_tickets_in_hand_go_back_at_the_end() -> None:
    async def hold() -> bool:
        tickets = TicketsInHand()
        holding = asyncio.create_task(tickets.used_up(Ticket(1, 2, 1)))
        await asyncio.sleep(0)
        assert tickets.items() == {2: 1}
        tickets.close()
        return await holding or await tickets.used_up(Ticket(2, 2, 1))

    assert asyncio.run(hold()) is False


async def test_nothing_is_claimed_eagerly_while_tickets_wait(works: Worked, tmp_path: Path) -> None:
    async with works.running(slots=1) as runner:
        hanging = await works.start(step("hang", marker=str(tmp_path / "began")), definition="hanging")
        await works.until(lambda snapshot: snapshot.run(hanging).counts.running == 1)
        waiting = await works.start(step("log a", "log b"), definition="waiting")
        await works.until(lambda snapshot: snapshot.run(waiting).counts.pending == 2)
        assert runner._tickets is not None
        assert runner._tickets.may_be_more()
        assert await works.write(cancel, hanging, "cancelled by ann")
        assert (await works.ended(waiting)).counts.completed == 2
