"""Large pages are read in a process of their own: the parsers let nothing else run meanwhile, and a page may be made to
keep them busy for long."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress

from app.steps.crawling.pages import Page
from app.work.step_type import PermanentError

PATIENCE = 60.0
"""Seconds for one page."""
_LARGE = 100_000
"""Characters."""
_DEEP = re.compile(r"<(?:blockquote|pre)\b", re.IGNORECASE)
"""What makes even a small page take a second, when enough of it is nested: they are counted, nested or not."""
_MOST_DEEP = 200
_LENGTH = 8
_COMMAND = (sys.executable, "-m", "app.steps.crawling._apart")


def takes_long(text: str) -> bool:
    """Whether a page may take the parsers longer than others should wait."""
    return len(text) >= _LARGE or sum(1 for _ in _DEEP.finditer(text)) > _MOST_DEEP


class LargePages:
    """One page after the other. The process is started when it is needed, and anew when it has been ended."""

    def __init__(self, command: Sequence[str] = _COMMAND, patience: float = PATIENCE) -> None:
        self._command = command
        self._patience = patience
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def read(self, text: str, url: str, robots: str) -> Page:
        """As `read_page`. Raises PermanentError for a page that takes too long, or on which the parsers break down."""
        question = json.dumps([text, url, robots]).encode()
        async with self._turn:
            answered = False
            try:
                async with asyncio.timeout(self._patience):
                    page = Page(*json.loads(await self._answer(question)))
                answered = True
                return page
            except TimeoutError:
                told = f"the page cannot be read: its HTML keeps the parser busy for more than {self._patience:g} s"
                raise PermanentError(told) from None
            except (OSError, EOFError):
                raise PermanentError("the page cannot be read: the parser breaks down on its HTML") from None
            finally:
                if not answered:  # also when this was cancelled: the answer would be taken for that of the next page
                    await self.end()

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        assert process.stdin
        process.stdin.close()
        await process.wait()

    async def _answer(self, question: bytes) -> bytes:
        process = self._process = self._process or await self._start()
        assert process.stdin and process.stdout
        process.stdin.write(len(question).to_bytes(_LENGTH) + question)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(_LENGTH))
        return await process.stdout.readexactly(length)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
