"""Handing in what must be stored, whatever state the database is in just now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from app.queue.writer import Transaction, WriteFailed, Writer

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

RETRY_AFTER = 0.5
"""Seconds until something is handed in again that could not be committed."""


async def until_stored(
    writer: Writer, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Hands in a verb again and again until it is committed; raises what the verb itself raises."""
    while True:
        try:
            return await writer(verb, *args, **kwargs)
        except WriteFailed:
            await asyncio.sleep(RETRY_AFTER)


async def give_back(
    writer: Writer, verb: Callable[Concatenate[Transaction, P], Any], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Hands in a verb that gives work back. If it cannot be committed the work stays with this owner, who is about to
    end, and the next one rescues it: nothing is lost but an attempt."""
    try:
        await writer(verb, *args, **kwargs)
    except WriteFailed as trouble:
        log.error("work could not be given back", reason=str(trouble))
