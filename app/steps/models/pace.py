"""The pace at which an endpoint is asked. All work items of this process share it, whatever step they belong to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from functools import lru_cache

now = time.monotonic
sleep = asyncio.sleep

_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_KINDS = ("requests", "tokens")


class Pace:
    def __init__(self) -> None:
        self._next = 0.0
        self._held_until = 0.0

    async def turn(self, per_minute: int) -> None:
        """Waits until one more request may be sent; `per_minute` 0: as soon as the endpoint wants any."""
        mine = 0.0
        if per_minute:
            mine = max(self._next, now())
            self._next = mine + 60.0 / per_minute
        while (wait := max(mine, self._held_until) - now()) > 0:  # others may hold it longer meanwhile
            await sleep(wait)

    def hold(self, seconds: float) -> None:
        """The endpoint wants patience: nobody asks it before that."""
        self._held_until = max(self._held_until, now() + seconds)


@lru_cache(maxsize=64)
def pace_of(url: str, model: str) -> Pace:
    """One for each model of an endpoint, as limits are for each."""
    return Pace()


def used_up(headers: Mapping[str, str]) -> float | None:
    """Seconds until there is something left of what may be asked for, by the headers `x-ratelimit-remaining-...` and
    `x-ratelimit-reset-...` that OpenAI and others send; None while there is, or where they are not sent."""
    waits = [
        wait
        for kind in _KINDS
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0"
        and (wait := duration(headers.get(f"x-ratelimit-reset-{kind}", ""))) is not None
    ]
    return max(waits, default=None)


def duration(text: str) -> float | None:
    """Seconds, from such as "6m0s", "20ms" or "1.5"; None for anything else."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
