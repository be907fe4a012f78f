"""The scheduler with a clock in the hands of the test: what it starts and says, and that it does nothing twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import steps
from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.database import Database
from app.queue.schedule_reading import ScheduleRecord, TickRecord
from app.queue.snapshot import JobFilter, RunFilter, Snapshot
from app.queue.status import ACTIVE
from app.queue.step_monitor import StepMonitor
from app.queue.store.cancel import cancel
from app.queue.store.schedules import pause_schedule, resume_schedule
from app.queue.store.start import start
from app.queue.ticks import Outcome
from app.queue.writer import WriteFailed, Writer
from app.work.definitions import DefinitionEntry, Definitions
from app.work.registry import StepTypes
from app.work.schedule import LONGEST_SLEEP, TROUBLE_PAUSE, Scheduler

SOMEBODY = Actor(Place.PAGE, "a person")
NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
HOUR = 3600
HISTORIES = int(os.environ.get("HISTORIES", "5"))
STEP_TYPES = StepTypes.in_package(steps)
STEP = '[step.one]\ntype = "test_job_generator"\n'


class Clockwork:
    """A database, a folder of definitions and a scheduler that only moves when it is told to."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        (folder / "definitions").mkdir(exist_ok=True)
        self.now = NOON - 60.0
        self.database = database
        self.open()

    def open(self) -> None:
        self.monitor = StepMonitor()
        self.write = Writer(self.database, self.monitor.hear)
        self.definitions = Definitions(STEP_TYPES, self.folder / "definitions")
        self.scheduler = Scheduler(self.definitions.all, self.write, self.monitor, lambda: self.now)

    async def restart(self) -> None:
        """As after kill -9: nothing is remembered but what was committed."""
        await self.write.close()
        self.open()

    def define(
        self, cron: str = "0 * * * *", more: str = "", name: str = "trial", head: str = "", zone: str = "UTC"
    ) -> Path:
        path = self.folder / "definitions" / f"{name}.toml"
        schedule = f'[schedule]\ncron = "{cron}"\ntime_zone = "{zone}"\n{more}\n' if cron else ""
        path.write_text(f'id = "{name}"\n{head}\n{schedule}\n{STEP}')
        os.utime(path, (self.now, self.now))
        return path

    async def look(self, at: float | None = None) -> float:
        self.now = self.now if at is None else at
        with self.monitor.listening(self.scheduler._hear):
            return await self.scheduler.look()

    def read(self, reading: Any) -> Any:
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)

    def schedule(self, name: str = "trial") -> ScheduleRecord:
        record: ScheduleRecord = self.read(lambda snapshot: snapshot.schedules())[name]
        return record

    def ticks(self, name: str = "trial") -> list[TickRecord]:
        return list(reversed(self.read(lambda snapshot: snapshot.ticks(name, 100_000))))

    def started(self, name: str = "trial") -> list[int]:
        """The hours after noon whose ticks started a run, in the order of the ticks."""
        return [int(tick.at - NOON) // HOUR for tick in self.ticks(name) if tick.outcome is Outcome.STARTED]

    def running(self) -> list[int]:
        page = self.read(lambda snapshot: snapshot.jobs(JobFilter(), 500))
        return [job.id for job in page.jobs if job.status in ACTIVE and job.id == job.manager_id]

    async def end_runs(self) -> None:
        for manager_id in self.running():
            await self.write(cancel, manager_id, "cancelled by the test")


@pytest.fixture
async def clockwork(tmp_path: Path, database: Database) -> AsyncIterator[Clockwork]:
    async with winding(tmp_path, database) as made:
        yield made


@asynccontextmanager
async def winding(folder: Path, database: Database) -> AsyncIterator[Clockwork]:
    made = Clockwork(folder, database)
    yield made
    await made.write.close()
    assert audit.check(made.database) == []


async def test_a_run_starts_at_its_time_and_not_before(clockwork: Clockwork) -> None:
    clockwork.define()
    assert await clockwork.look() == LONGEST_SLEEP
    assert await clockwork.look(NOON - 10) == pytest.approx(10, abs=0.01)
    assert clockwork.running() == []
    assert await clockwork.look(NOON) == LONGEST_SLEEP
    (manager_id,) = clockwork.running()
    run = clockwork.read(lambda snapshot: snapshot.run(manager_id))
    assert run.scheduled_for == "2027-01-15T12:00:00+00:00"
    assert await clockwork.look(NOON + 1) == LONGEST_SLEEP
    assert clockwork.started() == [0]


async def test_the_parameters_of_the_schedule_are_those_of_the_run(clockwork: Clockwork) -> None:
    clockwork.define(more="[schedule.parameters]\nmany = 7\n[parameters.many]\ntype = 'integer'")
    await clockwork.look()
    await clockwork.look(NOON)
    (manager_id,) = clockwork.running()
    assert clockwork.read(lambda snapshot: snapshot.run(manager_id)).parameters == (("many", "7"),)


@pytest.mark.parametrize(("missed", "hours"), [("skip", []), ("once", [4]), ("all", [0, 1, 2, 3, 4])])
async def test_what_was_missed_while_the_server_was_down_goes_by_the_policy(
    clockwork: Clockwork, missed: str, hours: list[int]
) -> None:
    clockwork.define(more=f'missed = "{missed}"')
    await clockwork.look()
    await clockwork.restart()
    for _ in range(7):  # under `all` one after the other
        await clockwork.look(NOON + 4.5 * HOUR)
        await clockwork.end_runs()
    assert clockwork.started() == hours
    assert clockwork.schedule().next_at == NOON + 5 * HOUR


async def test_a_run_in_progress_makes_a_tick_wait_or_pass(clockwork: Clockwork) -> None:
    clockwork.define(name="waits", more='missed = "all"')
    clockwork.define(name="passes")
    await clockwork.look()
    for hour in range(3):
        await clockwork.look(NOON + hour * HOUR)
    assert (clockwork.started("waits"), clockwork.started("passes")) == ([0], [0])
    assert [tick.reason for tick in clockwork.ticks("passes")][1:] == [
        f"job {clockwork.running()[-1]} was still running"
    ] * 2
    for _ in range(3):
        await clockwork.end_runs()
        await clockwork.look()
    assert (clockwork.started("waits"), clockwork.started("passes")) == ([0, 1, 2], [0])


async def test_the_end_of_a_run_wakes_a_tick_that_waits(clockwork: Clockwork) -> None:
    clockwork.define(more='missed = "all"')
    await clockwork.look()
    for hour in (0, 1):
        await clockwork.look(NOON + hour * HOUR)
    clockwork.scheduler._wake.clear()
    with clockwork.monitor.listening(clockwork.scheduler._hear):
        await clockwork.end_runs()
    assert clockwork.scheduler._wake.is_set()


async def test_a_clock_set_back_an_hour_starts_nothing_twice_and_loses_nothing(clockwork: Clockwork) -> None:
    clockwork.define(cron="*/30 * * * *", head="concurrency = 100")
    await clockwork.look()
    for minutes in (0, 30, 60):
        await clockwork.look(NOON + minutes * 60)
    await clockwork.look(NOON + 5)
    for minutes in (30, 60, 90):
        await clockwork.look(NOON + minutes * 60)
    assert [tick.at - NOON for tick in clockwork.ticks()] == [0, 1800, 3600, 5400]
    assert len(clockwork.running()) == 4


async def test_a_clock_that_was_far_ahead_does_not_stop_the_schedule(clockwork: Clockwork) -> None:
    clockwork.define(head="concurrency = 100")
    await clockwork.look()
    await clockwork.look(NOON + 24 * 365 * HOUR)
    await clockwork.restart()
    await clockwork.look(NOON - 1)
    await clockwork.look(NOON + 1)
    assert clockwork.started() == [0, 24 * 365]


async def test_a_definition_that_cannot_start_is_said_and_the_others_run(clockwork: Clockwork) -> None:
    broken = clockwork.define(name="broken")
    clockwork.define(name="disabled")
    clockwork.define(
        name="folderless", more="[schedule.parameters]\nx = '/nowhere/at/all'\n[parameters.x]\ntype = 'folder'"
    )
    clockwork.define(name="well")
    await clockwork.look()
    broken.write_text('id = "broken"\n[schedule]\ncron = "0 * * * *"\n[step.one]\ntype = "gone"')
    clockwork.define(name="disabled", head="enabled = false")
    await clockwork.look(NOON)
    assert clockwork.started("well") == [0]
    reasons = {name: [tick.reason for tick in clockwork.ticks(name)] for name in ("broken", "disabled", "folderless")}
    assert "the definition is not valid" in reasons["broken"][0]
    assert "'gone' is not a step type" in reasons["broken"][0]
    assert reasons["disabled"] == ["the definition is disabled"]
    assert "'/nowhere/at/all' does not exist" in reasons["folderless"][0]
    await clockwork.look(NOON + HOUR)
    assert [len(clockwork.ticks(name)) for name in ("broken", "disabled", "folderless", "well")] == [2, 2, 2, 2]


async def test_a_file_that_is_no_toml_any_more_is_still_known_by_its_definition(clockwork: Clockwork) -> None:
    path = clockwork.define().rename(clockwork.folder / "definitions" / "file.toml")
    await clockwork.look()
    text = path.read_text()
    path.write_text("[[[")
    await clockwork.look(NOON)
    (tick,) = clockwork.ticks()
    assert "is not valid TOML" in tick.reason
    path.write_text(text)
    await clockwork.look(NOON + HOUR)
    assert clockwork.started() == [1]


async def test_a_changed_schedule_counts_from_when_the_file_was_written(clockwork: Clockwork) -> None:
    clockwork.define(cron="45 * * * *")
    await clockwork.look(NOON - 20)
    clockwork.now = NOON - 5
    clockwork.define(cron="0 * * * *")
    await clockwork.look(NOON + 10)  # the file changed before noon, and was seen after it
    assert clockwork.started() == [0]
    clockwork.define(cron="")
    await clockwork.look(NOON + 20)
    assert clockwork.schedule().next_at is None
    assert clockwork.scheduler.next_tick is None
    await clockwork.look(NOON + 2 * HOUR)
    clockwork.define(cron="0 * * * *")
    await clockwork.look(NOON + 2 * HOUR + 1)
    assert clockwork.started() == [0]


async def test_a_definition_that_is_gone_has_no_schedule(clockwork: Clockwork) -> None:
    path = clockwork.define()
    await clockwork.look()
    path.unlink()
    await clockwork.look()
    assert clockwork.schedule().next_at is None


async def test_a_paused_schedule_starts_nothing_and_makes_nothing_up(clockwork: Clockwork) -> None:
    clockwork.define(more='missed = "all"', head="concurrency = 100")
    await clockwork.look()
    await clockwork.write(pause_schedule, "trial", SOMEBODY)
    clockwork.scheduler._stale = True
    await clockwork.look(NOON + 3 * HOUR)
    await clockwork.write(resume_schedule, "trial", NOON + 3 * HOUR, SOMEBODY)
    clockwork.scheduler._stale = True
    await clockwork.look(NOON + 4 * HOUR)
    assert clockwork.started() == [4]


async def test_a_database_that_cannot_be_written_delays_a_tick_and_loses_none(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    clockwork.define()
    await clockwork.look()
    with monkeypatch.context() as patch:
        patch.setattr(clockwork.scheduler, "_writer", _refusing)
        with pytest.raises(WriteFailed):
            await clockwork.look(NOON)
    await clockwork.look(NOON + 2)
    assert clockwork.started() == [0]


async def _refusing(*_: Any) -> None:
    raise WriteFailed("cannot be written: disk full")


async def test_the_fault_of_one_schedule_keeps_no_other_from_running(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    clockwork.define(name="a")
    clockwork.define(name="b")
    await clockwork.look()
    follow = clockwork.scheduler._follow

    async def fault(entry: DefinitionEntry, *rest: Any) -> None:
        if entry.id == "a":
            raise ZeroDivisionError
        await follow(entry, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(clockwork.scheduler, "_follow", fault)
        assert await clockwork.look(NOON) <= TROUBLE_PAUSE + 0.01
    assert (clockwork.started("a"), clockwork.started("b")) == ([], [0])
    await clockwork.look(NOON + 2)
    assert clockwork.started("a") == [0]


async def test_the_running_loop_starts_what_is_due_and_sleeps_until_then(clockwork: Clockwork) -> None:
    clockwork.define()
    async with clockwork.scheduler.running():
        await clockwork.scheduler.notice()
        clockwork.now = NOON
        started = asyncio.Event()
        with clockwork.monitor.listening(lambda _: started.set()):
            clockwork.scheduler._wake.set()
            await asyncio.wait_for(started.wait(), 30)
    assert clockwork.started() == [0]


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 4 * HOUR)),
        st.tuples(st.just("jump"), st.integers(-2 * HOUR, 6 * HOUR)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("pause"), st.just(0)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("run"), st.just(0)),
    ),
    max_size=14,
)


@given(EVENTS, st.sampled_from(["skip", "once", "all"]), st.sampled_from([1, 100]))
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_no_tick_starts_twice_and_under_all_none_is_lost(
    as_new: Callable[[], Database], events: list[tuple[str, int]], missed: str, concurrency: int
) -> None:
    asyncio.run(_history(as_new(), events, missed, concurrency))


async def _history(database: Database, events: list[tuple[str, int]], missed: str, concurrency: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with winding(Path(folder), database) as clockwork:
            clockwork.define("*/20 * * * *", f'missed = "{missed}"', head=f"concurrency = {concurrency}")
            await clockwork.look()
            first, latest = clockwork.now, clockwork.now
            passed_over: list[tuple[float, float]] = []
            for kind, seconds in events:
                await _happen(clockwork, kind, seconds, passed_over)
                await clockwork.look()
                latest = max(latest, clockwork.now)
            await _happen(clockwork, "resume", 0, passed_over)
            clockwork.now = latest
            dealt_with = -1
            while dealt_with != (dealt_with := len(clockwork.ticks())):
                await clockwork.end_runs()
                await clockwork.look()
            _no_tick_started_twice(clockwork)
            if missed == "all":
                seen = {tick.at for tick in clockwork.ticks() if tick.outcome is Outcome.STARTED}
                due = [at for at in range(int(NOON), int(latest) + 1, 1200) if at > first]
                assert [at for at in due if at not in seen and not _within(at, passed_over)] == [], events


async def _happen(clockwork: Clockwork, kind: str, seconds: int, passed_over: list[tuple[float, float]]) -> None:
    match kind:
        case "pass":
            while seconds > 0:
                clockwork.now += min(seconds, LONGEST_SLEEP * 45)
                seconds -= int(LONGEST_SLEEP * 45)
                await clockwork.look()
        case "jump":
            clockwork.now += seconds
        case "restart":
            await clockwork.restart()
        case "end":
            await clockwork.end_runs()
        case "run" if not clockwork.running():
            await clockwork.write(start, clockwork.definitions.get("trial").resolve({}))
        case "pause":
            await clockwork.write(pause_schedule, "trial", SOMEBODY)
            clockwork.scheduler._stale = True
        case "resume":
            record = clockwork.schedule()
            if await clockwork.write(resume_schedule, "trial", clockwork.now, SOMEBODY) and record.next_at:
                passed_over.append((record.next_at, clockwork.now))
            clockwork.scheduler._stale = True


def _no_tick_started_twice(clockwork: Clockwork) -> None:
    """Asked of the runs themselves, not of the record of the ticks."""
    page = clockwork.read(lambda snapshot: snapshot.runs(RunFilter(), 10_000))
    stamps = [run.scheduled_for for run in page.runs if run.scheduled_for]
    assert len(stamps) == len(set(stamps))
    assert len(stamps) == len([tick for tick in clockwork.ticks() if tick.outcome is Outcome.STARTED])


def _within(at: float, spans: list[tuple[float, float]]) -> bool:
    return any(first <= at <= last for first, last in spans)
