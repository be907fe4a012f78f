"""What can go wrong on the way, told apart by whether trying again may help."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from app.work import step_type

T = TypeVar("T")

_FIRST_PAUSE = 1.0
sleep = asyncio.sleep


class PassingError(step_type.PassingError):
    """What may be over the next time: a timeout, a broken connection, a server in trouble or asking for patience."""

    def __init__(self, message: str, retry_after: float | None = None, handled: bool | None = None) -> None:
        """`retry_after`: seconds that the server asked to wait. `handled`: False when the server said that it did
        nothing with the request, so that even one that changes something can be sent again."""
        super().__init__(message, retry_after)
        self.handled = handled


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    log: Callable[[str], None],
    *,
    retries: int,
    longest_wait: float,
    repeatable: bool = True,
) -> T:
    """Tries again after a PassingError, up to `retries` times, waiting as long as the server asks (or 1, 2, 4 seconds).
    Raises the last one; at once when the server asks for more than `longest_wait` seconds. A request that is not
    `repeatable` is tried again only when the server did nothing with it."""
    for number in range(retries + 1):
        try:
            return await attempt()
        except PassingError as error:
            pause = error.retry_after if error.retry_after is not None else _backoff(number)
            if number == retries or not (repeatable or error.handled is False):
                raise
            if pause > longest_wait:
                raise PassingError(
                    f"{error}; it asks to wait {pause:,.0f} s, more than the {longest_wait:,.0f} s allowed", pause
                ) from None
            log(f"{error}; next try in {pause:,.1f} s")
            await sleep(pause)
    raise AssertionError("the last try returns or raises")


def retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, which holds a number or a date; None for anything else."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _backoff(number: int) -> float:
    return float(_FIRST_PAUSE * 2**number * random.uniform(0.75, 1.25))
