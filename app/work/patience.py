"""Waiting for work to end, until it is told to hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

STOP_GRACE = 2.0
"""Seconds that a handler has to end after it was told to, before it is ended."""


async def ended_within(tasks: Iterable[asyncio.Task[Any]], seconds: float, hurry: asyncio.Event) -> None:
    """Waits until the tasks have ended, that many seconds have passed, or `hurry` is set."""
    left = set(tasks)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    hurrying: asyncio.Task[Any] = loop.create_task(hurry.wait())
    while left and not hurrying.done() and (patience := until - loop.time()) > 0:
        done, _ = await asyncio.wait({*left, hurrying}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        left -= done
    hurrying.cancel()
