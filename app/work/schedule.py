"""The scheduler: starts the runs that are due, and says of every tick what became of it.

It sleeps until the next tick. A change of a schedule or the end of a run wakes it; and it never sleeps long, so that it
notices when the clock was set or the machine was asleep, and when a definition file has changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from app.queue.changes import MuchChanged, RunChanged, RunDeleted, ScheduleChanged
from app.queue.run_plan import RunPlan
from app.queue.schedule_reading import ScheduleRecord
from app.queue.status import FINAL
from app.queue.step_monitor import StepMonitor
from app.queue.store.schedules import (
    NotItsTurn,
    deal_with_tick,
    end_schedule,
    go_back,
    known_schedules,
    set_schedule,
)
from app.queue.ticks import Due, Missed, Outcome, due
from app.queue.writer import Commit, WriteFailed, Writer
from app.work.definitions import DefinitionEntry
from app.work.failures import told
from app.work.problems import ProblemsError

log = structlog.get_logger(__name__)

LONGEST_SLEEP = 30.0
"""Seconds after which the clock and the definition files are looked at again."""
TROUBLE_PAUSE = 2.0
"""Seconds until something is tried again that went wrong."""
_A_LITTLE_LATE = 0.005
_LONGEST_REASON = 1_000


@dataclass(frozen=True, slots=True)
class NextTick:
    """What the scheduler waits for."""

    definition: str
    at: int


class Scheduler:
    """Follows the schedules of the definitions that `entries` returns, which may look at files.

    `clock`: seconds since the epoch, as the machine believes.
    """

    def __init__(
        self,
        entries: Callable[[], Sequence[DefinitionEntry]],
        writer: Writer,
        monitor: StepMonitor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._entries = entries
        self._writer = writer
        self._monitor = monitor
        self._clock = clock
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._stale = True
        self._known: dict[str, ScheduleRecord] = {}
        self._mine: set[str] = set()
        """Definitions that had a schedule when they were last looked at."""
        self._named: dict[Path, str] = {}
        """The ids that files had when they were last valid."""
        self._waiting: set[str] = set()
        """Those of which a tick waits for the end of a run."""
        self._troubled: set[str] = set()
        self._looked_at: float | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Scheduler]:
        with self._monitor.listening(self._hear):
            task = asyncio.create_task(self._run(), name="scheduler")
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @property
    def next_tick(self) -> NextTick | None:
        """The earliest tick of all schedules that are not paused."""
        ticks = [
            NextTick(name, known.next_at)
            for name in tuple(self._mine)
            if (known := self._known.get(name)) and known.paused_at is None and known.next_at is not None
        ]
        return min(ticks, key=lambda tick: tick.at, default=None)

    @property
    def schedules(self) -> int:
        """How many are followed."""
        return len(self._mine)

    async def notice(self) -> None:
        """Looks at the definitions now. Trouble is for the log: it is tried again."""
        with suppress(WriteFailed):
            await self.look()
        self._wake.set()

    async def look(self) -> float:
        """Deals with everything that is due. Returns the seconds for which there is nothing to do. Raises WriteFailed
        when the database cannot be written."""
        async with self._turn:
            return await self._look()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                delay = await self.look()
            except WriteFailed:
                delay = TROUBLE_PAUSE
            except Exception:
                log.exception("the scheduler failed, and goes on")
                delay = TROUBLE_PAUSE
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):  # not wait_for, which before 3.12 may lose a cancellation
                    await self._wake.wait()

    def _hear(self, commit: Commit) -> None:
        for change in commit.changes:
            if isinstance(change, ScheduleChanged | MuchChanged):
                self._stale = True
                self._wake.set()
            elif isinstance(change, RunChanged | RunDeleted) and change.status in FINAL and self._waiting:
                self._wake.set()

    async def _look(self) -> float:
        entries = await asyncio.to_thread(self._entries)
        now = self._clock()
        if self._stale:
            self._stale = False
            try:
                self._known = await self._writer(known_schedules)
            except WriteFailed:
                self._stale = True
                raise
        is_back = self._looked_at is None or now < self._looked_at
        self._waiting.clear()
        self._troubled.clear()
        by_id = self._by_id(entries)
        for name in self._mine - by_id.keys():
            await self._end(name)
        for entry in by_id.values():
            await self._guarded(entry, now, is_back)
        self._looked_at = now
        return self._sleep(now)

    def _by_id(self, entries: Sequence[DefinitionEntry]) -> dict[str, DefinitionEntry]:
        """Of a file that cannot be read any more, not even its id, we know whose it was."""
        self._named |= {entry.path: entry.id for entry in entries if entry.valid}
        named = (replace(entry, id=self._named.get(entry.path, entry.id)) for entry in entries)
        return {entry.id: entry for entry in sorted(named, key=lambda entry: entry.valid)}

    async def _guarded(self, entry: DefinitionEntry, now: float, is_back: bool) -> None:
        """One schedule's fault must not keep the others from running."""
        try:
            await self._follow(entry, now, is_back)
        except WriteFailed:
            raise
        except Exception:
            log.exception("a schedule could not be followed", definition=entry.id)
            self._troubled.add(entry.id)

    async def _follow(self, entry: DefinitionEntry, now: float, is_back: bool) -> None:
        known = await self._settled(entry, now)
        if known is None or known.next_at is None or known.paused_at is not None:
            return
        first = known.cron.after(now)
        if is_back and first is not None and first < known.next_at:
            await self._writer(go_back, entry.id, known.cron, now)
            known = self._known[entry.id] = (await self._writer(known_schedules))[entry.id]
        missed = _policy(entry)
        while found := due(known.cron, missed, known.next_at, now):
            if not await self._deal_with(entry, known, found):
                return
            known = self._known[entry.id] = replace(known, next_at=found.next_at)

    async def _settled(self, entry: DefinitionEntry, now: float) -> ScheduleRecord | None:
        """The schedule as it is stored, brought in line with the definition; None if it has none."""
        known, definition = self._known.get(entry.id), entry.definition
        if definition is None:  # what is not valid now had a schedule before, and may have it again
            if known and known.next_at is not None:
                self._mine.add(entry.id)
            return known
        if definition.schedule is None:
            if known and known.next_at is not None:
                await self._end(entry.id)
            return None
        cron = definition.schedule.cron
        self._mine.add(entry.id)
        if known and known.cron == cron and known.next_at is not None:
            return known
        next_at = cron.after(self._there_since(entry, now))
        await self._writer(set_schedule, entry.id, cron, next_at)
        paused_at, paused_by, last = (known.paused_at, known.paused_by, known.last) if known else (None, "", None)
        known = self._known[entry.id] = ScheduleRecord(entry.id, cron, next_at, paused_at, paused_by, last)
        return known

    def _there_since(self, entry: DefinitionEntry, now: float) -> float:
        """From when on a new schedule counts: not from when we happened to see it."""
        if self._looked_at is None:
            return now
        try:
            changed_at = entry.path.stat().st_mtime
        except OSError:
            return now
        return min(now, max(self._looked_at, changed_at))

    async def _end(self, name: str) -> None:
        self._mine.discard(name)
        await self._writer(end_schedule, name)

    async def _deal_with(self, entry: DefinitionEntry, known: ScheduleRecord, found: Due) -> bool:
        """Whether the tick is dealt with, by us, and the next one may be looked at."""
        assert known.next_at is not None
        plan: RunPlan | None = None
        if found.starts:
            plan, refusal = await asyncio.to_thread(_plan, entry)
            found = replace(found, reason=found.reason if plan else refusal[:_LONGEST_REASON])
        stamp = known.cron.stamp(found.tick)
        try:
            dealt = await self._writer(deal_with_tick, entry.id, known.next_at, found, plan, stamp)
        except NotItsTurn:
            self._waiting.add(entry.id)
            return False
        if dealt is None:  # somebody else was first, or it is paused: what is so now has to be read
            self._stale = True
            self._wake.set()
            return False
        about = {"definition": entry.id, "tick": stamp, "reason": dealt.reason}
        if dealt.outcome is Outcome.STARTED:
            log.info("a scheduled run was started", job=dealt.manager_id, **about)
        else:
            log.warning("a tick passed without a run", **about)
        return True

    def _sleep(self, now: float) -> float:
        held = self._waiting | self._troubled
        ticks = [
            known.next_at - now
            for name, known in self._known.items()
            if name in self._mine and name not in held and known.paused_at is None and known.next_at is not None
        ]
        longest = TROUBLE_PAUSE if self._troubled else LONGEST_SLEEP
        return min(longest, max(0.0, min(ticks, default=longest)) + _A_LITTLE_LATE)


def _policy(entry: DefinitionEntry) -> Missed:
    schedule = entry.definition.schedule if entry.definition else None
    return schedule.missed if schedule else Missed.ONCE


def _plan(entry: DefinitionEntry) -> tuple[RunPlan | None, str]:
    """The run that the schedule starts, or why there is none."""
    definition = entry.definition
    if definition is None or definition.schedule is None:
        first = str(entry.problems[0]) if entry.problems else "it has no schedule any more"
        return None, f"the definition is not valid: {first}"
    if not definition.enabled:
        return None, "the definition is disabled"
    try:
        return definition.resolve(definition.schedule.parameters), ""
    except ProblemsError as error:
        return None, f"it cannot be started: {'; '.join(map(str, error.problems))}"
    except Exception as error:  # the code of a step type
        log.exception("the plan of a scheduled run failed", definition=entry.id)
        return None, f"it cannot be started: {told(error)}"
