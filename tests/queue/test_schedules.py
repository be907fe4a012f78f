"""A tick starts one run, whoever deals with it and however often: the store verbs, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.changes import ScheduleChanged
from app.queue.database import Database
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schedule_reading import ScheduleRecord, TickRecord
from app.queue.store.cancel import cancel
from app.queue.store.delete import delete_run
from app.queue.store.schedules import (
    SKIPPED_ARE_KEPT,
    NotItsTurn,
    deal_with_tick,
    end_schedule,
    go_back,
    known_schedules,
    pause_schedule,
    resume_schedule,
    set_schedule,
)
from app.queue.tables import manager_job
from app.queue.ticks import Cron, Due, Outcome
from app.queue.writer import Transaction, Writer
from tests.queue.conftest import Queue

SOMEBODY = Actor(Place.PAGE, "a person")
HOURLY = Cron("0 * * * *", "Europe/Berlin")
NOON = 1_800_014_400
HOUR = 3600
STAMP = "2027-01-15T13:00:00+01:00"
SAME_ON_BOTH = pytest.mark.parametrize("backend", ["sqlite"])
"""For what says nothing new to PostgreSQL."""
PLAN = RunPlan("trial", "Trial", (StepPlan("one", "trial"),), concurrency=1)


def tick(number: int = 0, **about: Any) -> Due:
    return Due(NOON + number * HOUR, NOON + (number + 1) * HOUR, **{"starts": True, **about})


async def deal(queue: Queue, due: Due, plan: RunPlan | None = PLAN, expected: int | None = None) -> Any:
    return await queue.write(deal_with_tick, "trial", expected or due.tick, due, plan, STAMP)


async def known(queue: Queue) -> ScheduleRecord:
    return (await queue.write(known_schedules))["trial"]


@pytest.fixture
async def scheduled(queue: Queue) -> Queue:
    await queue.write(set_schedule, "trial", HOURLY, NOON)
    return queue


async def test_a_schedule_is_known_by_its_definition(scheduled: Queue) -> None:
    assert await known(scheduled) == ScheduleRecord("trial", HOURLY, NOON, None, "", None)
    assert scheduled.changes == [ScheduleChanged("trial")]
    assert scheduled.read(lambda snapshot: snapshot.schedules()) == await scheduled.write(known_schedules)


@pytest.mark.parametrize(
    ("wrong", "drift"),
    [
        ("UPDATE schedule SET cron = '61 * * * *'", "schedule of trial: '61 * * * *' in 'Europe/Berlin' cannot be und"),
        ("UPDATE schedule SET cron = 'often'", "must have five fields"),
        ("UPDATE schedule SET time_zone = 'Moon/Crater'", "'0 * * * *' in 'Moon/Crater' cannot be understood"),
        ("UPDATE schedule SET next_at = next_at + 1", f"it waits for {NOON + 2 * HOUR + 1}, when 0 * * * * in Europe"),
        ("UPDATE schedule SET paused_by = 'ann'", "schedule of trial: it goes on, but says that ann paused it"),
        ("UPDATE schedule_tick SET manager_id = NULL", f"tick {NOON} of trial: it started a run, but does not say"),
        ("UPDATE schedule_tick SET manager_id = 999", f"tick {NOON} of trial: it names run 999, which never was one"),
        ("UPDATE schedule_tick SET manager_id = 2", f"tick {NOON} of trial: it names run 2, which never was one"),
        ("UPDATE manager_job SET definition = 'other'", f"tick {NOON} of trial: it names run 1, which is one of other"),
        ("UPDATE schedule_tick SET outcome = 'started', manager_id = 1", "run 1: 2 ticks say that they started it"),
        ("DELETE FROM schedule_tick", "job 1: it says that its schedule started it, but no tick has"),
    ],
)
@SAME_ON_BOTH
async def test_the_audit_finds_what_is_wrong_with_a_schedule(database: Database, wrong: str, drift: str) -> None:
    queue = Queue(database)
    await queue.write(set_schedule, "trial", HOURLY, NOON)
    assert (await deal(queue, tick())).manager_id == 1
    assert (await deal(queue, tick(1))).outcome is Outcome.SKIPPED
    await queue.write.close()
    assert audit.check(database) == []
    with database.writing.begin() as connection:
        connection.exec_driver_sql(wrong)
    assert any(drift in found for found in audit.check(database)), audit.check(database)


@SAME_ON_BOTH
async def test_the_audit_minds_that_the_run_of_a_tick_may_be_deleted(scheduled: Queue) -> None:
    dealt = await deal(scheduled, tick())
    await scheduled.write(cancel, dealt.manager_id, "cancelled by a test")
    while await scheduled.write(delete_run, dealt.manager_id):
        pass
    await scheduled.write(pause_schedule, "trial", SOMEBODY)
    assert audit.check(scheduled.database) == []
    await scheduled.write(resume_schedule, "trial", NOON + 0.5, SOMEBODY)
    assert audit.check(scheduled.database) == []


async def test_a_tick_starts_a_run_that_says_so(scheduled: Queue) -> None:
    dealt = await deal(scheduled, tick())
    run = scheduled.run(dealt.manager_id)
    assert (run.definition, run.scheduled_for) == ("trial", STAMP)
    (started,) = scheduled.read(lambda snapshot: snapshot.actions(run.id, 9))
    assert (started.who, started.said) == ("the schedule", f"started it for {STAMP}")
    record = await known(scheduled)
    assert record.next_at == NOON + HOUR
    assert record.last == TickRecord(NOON, Outcome.STARTED, "", run.id)


@SAME_ON_BOTH
async def test_a_tick_that_was_dealt_with_starts_nothing(scheduled: Queue) -> None:
    first = await deal(scheduled, tick())
    await scheduled.write(cancel, first.manager_id, "cancelled")
    assert await deal(scheduled, tick()) is None


async def test_a_clock_that_was_set_back_starts_no_tick_again(scheduled: Queue) -> None:
    for number in (0, 1):
        await deal(scheduled, tick(number))
    await scheduled.write(end_schedule, "trial")
    await scheduled.write(set_schedule, "trial", HOURLY, NOON)  # now nothing is remembered but the ticks
    assert await deal(scheduled, tick(0)) is None
    assert await deal(scheduled, tick(1)) is None
    assert (await known(scheduled)).next_at == NOON + 2 * HOUR
    assert scheduled.read(lambda snapshot: snapshot.statistics()).manager.total == 1


async def test_after_a_clock_was_set_back_it_goes_on_with_what_was_not_dealt_with(scheduled: Queue) -> None:
    far = Due(NOON, NOON + 1000 * HOUR, starts=True)
    await deal(scheduled, far)
    await scheduled.write(go_back, "trial", HOURLY, NOON - HOUR / 2)
    assert (await known(scheduled)).next_at == NOON + HOUR
    await scheduled.write(go_back, "trial", HOURLY, NOON + 5 * HOUR)  # never forward
    assert (await known(scheduled)).next_at == NOON + HOUR


async def test_of_two_servers_one_starts_the_tick(scheduled: Queue) -> None:
    other = Database.at(scheduled.database.address, readers=1)
    writer = Writer(other, lambda commit: None)
    many = replace(PLAN, concurrency=100)
    started = 0
    for number in range(20):
        both = await asyncio.gather(
            *(
                write(deal_with_tick, "trial", tick(number).tick, tick(number), many, STAMP)
                for write in (scheduled.write, writer)
            )
        )
        assert [bool(each) for each in both].count(True) == 1
        started += 1
    await writer.close()
    other.close()
    with scheduled.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(manager_job)).scalar_one() == started


@SAME_ON_BOTH
async def test_who_believes_in_an_earlier_tick_than_there_is_moves_nothing(scheduled: Queue) -> None:
    await deal(scheduled, tick(0))
    assert await deal(scheduled, tick(5), expected=NOON) is None
    record = await known(scheduled)
    assert (record.next_at, record.last and record.last.at) == (NOON + HOUR, NOON)


async def test_a_second_server_that_finds_the_schedule_new_loses_no_tick(scheduled: Queue) -> None:
    await scheduled.write(set_schedule, "trial", HOURLY, NOON + HOUR)
    assert (await known(scheduled)).next_at == NOON


@SAME_ON_BOTH
async def test_a_start_that_is_not_committed_leaves_the_tick_to_be_started(scheduled: Queue) -> None:
    def dying(transaction: Transaction) -> None:
        assert deal_with_tick(transaction, "trial", NOON, tick(), PLAN, STAMP)
        raise ValueError("killed")

    with pytest.raises(ValueError, match="killed"):
        await scheduled.write(dying)
    assert (await known(scheduled)).next_at == NOON
    assert (await deal(scheduled, tick())).outcome is Outcome.STARTED


async def test_a_tick_while_the_definition_runs_is_skipped_and_says_why(scheduled: Queue) -> None:
    running = await scheduled.start(StepPlan("one", "trial"))
    dealt = await deal(scheduled, tick())
    assert (dealt.outcome, dealt.reason) == (Outcome.SKIPPED, f"job {running} was still running")
    assert (await known(scheduled)).last == TickRecord(NOON, Outcome.SKIPPED, dealt.reason, running)


@SAME_ON_BOTH
async def test_a_tick_that_waits_its_turn_stays_due(scheduled: Queue) -> None:
    running = await scheduled.start(StepPlan("one", "trial"))
    with pytest.raises(NotItsTurn):
        await deal(scheduled, tick(waits=True))
    assert await known(scheduled) == ScheduleRecord("trial", HOURLY, NOON, None, "", None)
    await scheduled.write(cancel, running, "cancelled")
    assert (await deal(scheduled, tick(waits=True))).outcome is Outcome.STARTED


@SAME_ON_BOTH
async def test_a_tick_without_a_plan_is_recorded_with_its_reason(scheduled: Queue) -> None:
    await deal(scheduled, tick(reason="the definition is disabled"), plan=None)
    assert (await known(scheduled)).last == TickRecord(NOON, Outcome.SKIPPED, "the definition is disabled", None)


async def test_a_paused_schedule_starts_nothing_and_goes_on_after_the_pause(scheduled: Queue) -> None:
    assert await scheduled.write(pause_schedule, "trial", SOMEBODY)
    assert not await scheduled.write(pause_schedule, "trial", Actor(Place.API))
    record = await known(scheduled)
    assert record.paused_by == "a person"
    assert record.paused_at
    assert await deal(scheduled, tick()) is None
    assert await scheduled.write(resume_schedule, "trial", NOON + 5 * HOUR + 1, SOMEBODY)
    assert not await scheduled.write(resume_schedule, "trial", NOON + 7 * HOUR, SOMEBODY)
    record = await known(scheduled)
    assert (record.paused_at, record.paused_by, record.next_at) == (None, "", NOON + 6 * HOUR)


@SAME_ON_BOTH
async def test_a_pause_outlasts_a_change_of_the_schedule(scheduled: Queue) -> None:
    await scheduled.write(pause_schedule, "trial", SOMEBODY)
    await scheduled.write(set_schedule, "trial", Cron("30 * * * *", "UTC"), NOON + HOUR // 2)
    record = await known(scheduled)
    assert (record.cron.expression, record.paused_by) == ("30 * * * *", "a person")


@SAME_ON_BOTH
async def test_without_a_schedule_there_is_nothing_to_pause(scheduled: Queue) -> None:
    await scheduled.write(end_schedule, "trial")
    for name in ("trial", "unknown"):
        assert not await scheduled.write(pause_schedule, name, SOMEBODY)
        assert not await scheduled.write(resume_schedule, name, NOON, SOMEBODY)


async def test_ticks_are_listed_the_newest_first_and_outlive_their_runs(scheduled: Queue) -> None:
    first = await deal(scheduled, tick(0))
    await deal(scheduled, tick(1))
    await scheduled.write(cancel, first.manager_id, "cancelled")
    while await scheduled.write(delete_run, first.manager_id):
        pass
    newest, oldest = scheduled.read(lambda snapshot: snapshot.ticks("trial", 5))
    assert (newest.at, newest.outcome) == (NOON + HOUR, Outcome.SKIPPED)
    assert oldest == TickRecord(NOON, Outcome.STARTED, "", first.manager_id)
    assert len(scheduled.read(lambda snapshot: snapshot.ticks("trial", 1))) == 1


async def test_skipped_ticks_of_long_ago_are_forgotten_and_started_ones_are_not(scheduled: Queue) -> None:
    await deal(scheduled, tick(0))
    await deal(scheduled, tick(1, reason="off"), plan=None)
    later = SKIPPED_ARE_KEPT // HOUR + 1
    await deal(scheduled, tick(later), expected=NOON + 2 * HOUR)
    kept = scheduled.read(lambda snapshot: snapshot.ticks("trial", 5))
    assert [each.at for each in kept] == [NOON + later * HOUR, NOON]
    assert audit.check(scheduled.database) == []
