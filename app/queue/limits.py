"""Limits: how many work items may run at once, and how many may begin in a time.

A limit is of a definition, of one of its steps, or of a step type in all definitions. It holds over all runs that fall
under it, since every claim counts in its own transaction what runs, and writes down what it lets begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor
from typing import NamedTuple

_RATE = re.compile(r"(?P<number>[1-9][0-9]{0,5})\s*/\s*(?P<unit>second|minute|hour)", re.ASCII)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
TOGETHER = 0.05
"""Seconds: what a rate lets begin in this time may begin together. Else a fast one would need a claim for each."""

MOST_PRIORITY = 1000
"""Priorities are whole numbers from minus this to this; the higher one goes first."""


class Rate(NamedTuple):
    """At most `number` begin within any `seconds`, spread evenly: the bucket is so small, and is filled so slowly, that
    what is in it and what comes in during that time are never more than `number`."""

    number: int
    seconds: int

    @property
    def bucket(self) -> int:
        """How many may begin together."""
        return max(1, floor(self.number * TOGETHER / self.seconds))

    @property
    def interval(self) -> float:
        """Seconds from one to the next."""
        return self.seconds / (self.number - self.bucket + 1)

    def full_at(self, stored: float, now: float) -> float:
        """When the bucket will be full again. A clock that was set back makes nobody wait for longer than that takes
        from empty."""
        return min(max(stored, now), now + self.bucket * self.interval)

    def room(self, full_at: float, now: float) -> int:
        """How many may begin now."""
        return max(0, floor(self.bucket - (full_at - now) / self.interval))

    def next_at(self, full_at: float) -> float:
        """When to begin the next ones: not one by one where many may begin together."""
        return full_at - (self.bucket - max(1, self.bucket // 2)) * self.interval


@lru_cache(maxsize=1000)
def rate_of(text: str) -> Rate:
    """10/second, 60/minute, 500/hour. Raises ValueError."""
    if not (match := _RATE.fullmatch(text.strip())):
        raise ValueError(
            f'must be a rate such as "10/second", "60/minute" or "500/hour" (up to 999999 of them), not {text!r}'
        )
    return Rate(int(match["number"]), _SECONDS[match["unit"]])


@dataclass(frozen=True, slots=True)
class Limits:
    """`work_items`: how many run at once. `rate`: how many begin in a time, as text. None: any number."""

    work_items: int | None = None
    rate: str | None = None

    @property
    def words(self) -> str:
        """at most 4 work items at once, at most 60/minute; empty if nothing is limited."""
        parts = []
        if self.work_items is not None:
            parts.append(f"{self.work_items:,} work item{'' if self.work_items == 1 else 's'} at once")
        if self.rate:
            parts.append(self.rate)
        return f"at most {' and '.join(parts)}" if parts else ""


UNLIMITED = Limits()


def limits_by_type(written: Iterable[tuple[str, str]]) -> dict[str, Limits]:
    """From (step type, "2" or "60/minute") to the limits of each step type."""
    limits: dict[str, Limits] = {}
    for type, limit in written:
        known = limits.get(type, UNLIMITED)
        limits[type] = replace(known, rate=limit) if "/" in limit else replace(known, work_items=int(limit))
    return limits


def strictest(told: Iterable[Mapping[str, Limits]]) -> dict[str, Limits]:
    """What holds of limits that several processes were told, by step type: of each kind the one that lets least
    begin."""
    holds: dict[str, Limits] = {}
    for type, limits in (each for limits_of_one in told for each in limits_of_one.items()):
        known = holds.get(type, UNLIMITED)
        most = [each for each in (known.work_items, limits.work_items) if each is not None]
        rates = [each for each in (known.rate, limits.rate) if each is not None]
        holds[type] = Limits(min(most, default=None), min(rates, default=None, key=_a_second))
    return holds


def _a_second(rate: str) -> float:
    return rate_of(rate).number / rate_of(rate).seconds


@dataclass(frozen=True, slots=True)
class Limited:
    """What a limit is of, and the limit. `scope`: its name in the database. `words`: for people."""

    scope: str
    words: str
    limits: Limits


def scopes_of(definition: str, step: str, type: str) -> tuple[str, str, str]:
    """Whatever may limit the work items of a step: its definition, the step itself, its step type."""
    return f"definition {definition}", f"step {definition}/{step}", f"type {type}"
