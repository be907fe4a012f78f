"""Schedules as the pages of definitions show them: when next, what became of the last ticks, paused or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from app.queue.schedule_reading import ScheduleRecord, TickRecord
from app.queue.snapshot import Snapshot
from app.queue.ticks import Cron, Missed, Outcome
from app.web import dom
from app.web.access import DefinitionSummary

NEXT_TIMES = 3
LAST_TIMES = 5

MISSED_WORDS = {
    Missed.SKIP: "what was missed is skipped",
    Missed.ONCE: "what was missed is made up for once",
    Missed.ALL: "every time that was missed is made up for",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in the schedule's own zone, in short and in full."""

    words: str
    stamp: str

    @classmethod
    def of(cls, cron: Cron, at: float) -> Moment:
        moment = datetime.fromtimestamp(at, cron.zone)
        return cls(f"{moment:%a} {moment.day} {moment:%b %H:%M}", moment.isoformat(timespec="seconds"))


@dataclass(frozen=True, slots=True)
class PastTick:
    """A tick that was dealt with."""

    moment: Moment
    started: bool
    reason: str
    manager_id: int | None


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule. `waiting`: the tick that is due and not dealt with."""

    definition: str
    words: str
    cron: str
    time_zone: str
    missed: str
    parameters: tuple[tuple[str, str], ...]
    next: tuple[Moment, ...]
    waiting: Moment | None
    last: tuple[PastTick, ...]
    paused: Moment | None
    paused_by: str

    @property
    def url(self) -> str:
        return dom.schedule_url(self.definition)


def of_all(snapshot: Snapshot, definitions: Sequence[DefinitionSummary]) -> dict[str, ShownSchedule]:
    """By definition; those without a schedule are left out."""
    records, now = snapshot.schedules(), snapshot.now
    found = ((each.id, shown(each, records.get(each.id), None, now)) for each in definitions)
    return {name: schedule for name, schedule in found if schedule}


def of_one(snapshot: Snapshot, definition: DefinitionSummary) -> ShownSchedule | None:
    """With the last few ticks."""
    record = snapshot.schedules().get(definition.id)
    return shown(definition, record, snapshot.ticks(definition.id, LAST_TIMES), snapshot.now)


def shown(
    definition: DefinitionSummary, record: ScheduleRecord | None, ticks: Sequence[TickRecord] | None, now: float
) -> ShownSchedule | None:
    """`ticks`: those to be shown; None for the last one. A definition that is not valid has the schedule it had."""
    written = definition.schedule
    followed = record if record and record.next_at is not None else None
    if written is None and (definition.valid or followed is None):
        return None
    cron = _understood(written.cron if written else record.cron if record else None)
    if ticks is None:
        ticks = [record.last] if record and record.last else []
    paused_at = record.paused_at if record else None
    next_at = followed.next_at if followed and followed.cron == cron and paused_at is None else None
    return ShownSchedule(
        definition=definition.id,
        words=cron.words,
        cron=cron.expression,
        time_zone=cron.time_zone,
        missed=MISSED_WORDS[written.missed] if written else "",
        parameters=written.parameters if written else (),
        next=tuple(Moment.of(cron, tick) for tick in islice(cron.ticks(max(now, (next_at or 1) - 1)), NEXT_TIMES)),
        waiting=Moment.of(cron, next_at) if next_at is not None and next_at <= now else None,
        last=tuple(_past(cron, tick) for tick in ticks),
        paused=Moment.of(cron, paused_at) if paused_at is not None else None,
        paused_by=record.paused_by if record else "",
    )


def _understood(cron: Cron | None) -> Cron:
    """What is stored may name a time zone that this machine has lost."""
    assert cron is not None
    try:
        _ = cron.zone
    except ValueError:
        return Cron(cron.expression, "UTC")
    return cron


def _past(cron: Cron, tick: TickRecord) -> PastTick:
    return PastTick(Moment.of(cron, tick.at), tick.outcome is Outcome.STARTED, tick.reason, tick.manager_id)
