"""Who has a data directory: this process from now on, or the server that owns it already."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from app.main import Stepglass, open_stepglass
from app.queue.ownership import AlreadyOwned, Owner
from app.settings import Settings

START_PATIENCE = 10.0
"""Seconds that a server which is just starting gets to say where it is."""


async def here_or_there(settings: Settings, stack: ExitStack, command: str) -> Stepglass | Owner:
    """The data directory, which is ours, as `command`, until the end of `stack`; or the server that owns it."""
    deadline = asyncio.get_running_loop().time() + START_PATIENCE
    while True:
        try:
            return stack.enter_context(open_stepglass(settings, command, kind="command"))
        except AlreadyOwned as owned:
            if owned.owner.url:
                return owned.owner
            if not owned.owner.is_starting or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.1)
