"""Watching the folders of definitions."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from app.queue.store.definitions import note_new_files
from app.queue.writer import WriteFailed, Writer
from app.work.definitions import Definitions

WATCH_INTERVAL = 2.0
"""Seconds between two looks at the folders of definitions."""


async def watch(files: Definitions, writer: Writer) -> None:
    """Lets open pages hear of definition files that are added, changed or removed."""
    known = await asyncio.to_thread(files.state)
    while True:
        await asyncio.sleep(WATCH_INTERVAL)
        found = await asyncio.to_thread(files.state)
        if found != known:
            with suppress(WriteFailed):  # then it is tried again
                await writer(note_new_files)
                known = found
