"""Ticks: when a schedule is due, and what becomes of a tick that nobody was there for. Pure functions of the time.

Times are whole seconds since the epoch. The expressions are cronsim's, which follows Debian's cron, also where a clock
is put forward or back for the summer: of a time that does not exist the next one that does is taken, and of one that
exists twice the first. Expressions with a star in their minutes or hours go by the time that passes, and so tick twice
in the hour that comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import cached_property, lru_cache

from cronsim import CronSim, CronSimError

ON_TIME = 60
"""Seconds after which a tick that was not dealt with counts as missed."""
MOST_WAITING = 100
"""Ticks that are made up for under `all`; of more than that, the newest."""

_HOUR = 3600
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Missed(StrEnum):
    """What happens to ticks for which nobody was there."""

    SKIP = "skip"  # nothing
    ONCE = "once"  # one run stands for all of them
    ALL = "all"  # one run each, one after the other


class Outcome(StrEnum):
    """What became of a tick."""

    STARTED = "started"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone, both found good: see `check_expression` and `zone_of`."""

    expression: str
    time_zone: str

    @cached_property
    def zone(self) -> tzinfo:
        """Raises ValueError."""
        return zone_of(self.time_zone)

    def after(self, at: float) -> int | None:
        """The first tick after that time; None when there is none for fifty years."""
        return next(self.ticks(at), None)

    def ticks(self, at: float) -> Iterator[int]:
        """The ticks after that time, without end."""
        # Begun in the second of two equal hours, cronsim starts from the first: what it finds there is past.
        simulation = CronSim(self.expression, datetime.fromtimestamp(int(at // 1), self.zone))
        return (tick for found in simulation if (tick := int(found.timestamp())) > at)

    def between(self, after: float, until: float, most: int) -> list[int]:
        """The newest ticks after the one time and not after the other, at most so many of them, in their order."""
        span = _HOUR
        while True:
            start = max(after, until - span)
            found = _up_to(self.ticks(start), until)
            if len(found) >= most or start <= after:
                return found[-most:]
            span *= 4

    def stamp(self, tick: int) -> str:
        """2026-11-21T03:00:00+01:00"""
        return datetime.fromtimestamp(tick, self.zone).isoformat()

    @property
    def words(self) -> str:
        """At 03:00 every day"""
        return _explained(self.expression)


@dataclass(frozen=True, slots=True)
class Due:
    """A tick to be dealt with now.

    `next_at`: the tick that follows. `starts`: whether a run is to be started; otherwise `reason` says why not.
    `waits`: whether it waits its turn while the definition runs already.
    """

    tick: int
    next_at: int | None
    starts: bool
    reason: str = ""
    waits: bool = False


def due(cron: Cron, missed: Missed, next_at: int | None, now: float) -> Due | None:
    """What is to be done first of what is due; None when nothing is. `next_at`: the first tick not dealt with."""
    if next_at is None or next_at > now:
        return None
    waiting = cron.between(next_at - 1, now, MOST_WAITING + 1) or [next_at]
    if missed is Missed.ALL:
        return _each(cron, waiting)
    latest, late = waiting[-1], now - waiting[-1] > ON_TIME
    following = cron.after(latest)
    if missed is Missed.SKIP and late:
        return Due(latest, following, starts=False, reason=f"missed: {_passed(cron, waiting)}")
    if missed is Missed.ONCE and (late or len(waiting) > 1):
        return Due(latest, following, starts=True, reason=f"made up for: {_passed(cron, waiting)}")
    return Due(latest, following, starts=True)


def _each(cron: Cron, waiting: list[int]) -> Due:
    if len(waiting) > MOST_WAITING:
        reason = f"dropped, with any before it: more than {MOST_WAITING} ticks were waiting"
        return Due(waiting[0], waiting[1], starts=False, reason=reason)
    following = waiting[1] if len(waiting) > 1 else cron.after(waiting[0])
    return Due(waiting[0], following, starts=True, waits=True)


def _passed(cron: Cron, waiting: list[int]) -> str:
    number = f"more than {MOST_WAITING}" if len(waiting) > MOST_WAITING else str(len(waiting))
    noun = "tick" if number == "1" else "ticks"
    return f"nobody was there for {number} {noun} up to {cron.stamp(waiting[-1])}"


def check_expression(expression: str, zone: tzinfo = UTC) -> None:
    """Raises ValueError."""
    way_out = 'write five fields, minute hour day month weekday, such as "0 3 * * *"'
    if macro := _NAMED.get(expression.strip().lower()):
        way_out = f'write "{macro}"'
    if len(fields := expression.split()) != 5:
        raise ValueError(f"must have five fields, not {len(fields)}: {_shown(expression)}; {way_out}")
    try:
        following = next(CronSim(expression, datetime.now(zone)), None)
    except CronSimError as error:
        raise ValueError(f"{_shown(expression)} is not a cron expression ({error}); {way_out}") from None
    if following is None:
        raise ValueError(f"{_shown(expression)} never comes; {way_out}")


def zone_of(name: str) -> tzinfo:
    """Raises ValueError for a name that is no time zone, or when this machine knows none."""
    from zoneinfo import ZoneInfo, available_timezones

    if name == "UTC":
        return UTC  # needs no database
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        known = available_timezones()
    if not known:
        raise ValueError(
            f"{_shown(name)} cannot be looked up: this machine has no database of time zones; install the package "
            f'tzdata (of the system, or "pip install tzdata"), or use "UTC"'
        )
    raise ValueError(f"{_shown(name)} is not a time zone; {_near(name, known)}")


def _near(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    same = {each.lower(): each for each in known}
    near = get_close_matches(name.lower().replace(" ", "_"), same, n=1, cutoff=0.6)
    return f"did you mean {same[near[0]]!r}?" if near else 'use a name such as "Europe/Berlin" or "UTC"'


def _up_to(ticks: Iterator[int], until: float) -> list[int]:
    found: list[int] = []
    for tick in ticks:
        if tick > until:
            break
        found.append(tick)
    return found


@lru_cache(256)
def _explained(expression: str) -> str:
    return CronSim(expression, datetime.now(UTC)).explain()


def _shown(value: str) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
