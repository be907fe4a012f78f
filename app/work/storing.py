"""Handing in what must be stored, whatever state the database is in just now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from app.queue.writer import Transaction, WriteFailed, Writer

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


async def until_stored(
    writer: Writer, verb: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Hands in a verb again and again until it is committed; raises what the verb itself raises."""
    with suppress(WriteFailed):
        return await writer(verb, *args, **kwargs)
    with writer.storage.owing():
        while True:
            await writer.storage.another_try()
            with suppress(WriteFailed):
                return await writer(verb, *args, **kwargs)


async def give_back(
    writer: Writer, verb: Callable[Concatenate[Transaction, P], Any], *args: P.args, **kwargs: P.kwargs
) -> bool:
    """Hands in a verb that gives work back. If it cannot be committed the work stays with this owner, who is about to
    end, and the next one rescues it: nothing is lost but an attempt. Returns whether it was committed."""
    try:
        await writer(verb, *args, **kwargs)
    except WriteFailed as trouble:
        log.error("work could not be given back", reason=str(trouble))
        return False
    return True
