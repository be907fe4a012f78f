"""The runners that the suite of this folder is done by, made in one place: `TEST_RUNNER` names one, else the embedded.

Another one is added to RUNNERS, and nothing else changes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from app.work.runner import Runner

Running = Callable[..., AbstractAsyncContextManager[Runner]]


@asynccontextmanager
async def embedded(*given: Any, grace: float = 0.0, **named: Any) -> AsyncIterator[Runner]:
    """What is `given` is what Runner takes; `grace` goes to its stop()."""
    runner = Runner(*given, **named)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop(grace)


RUNNERS: dict[str, Running] = {"embedded": embedded}


def running() -> Running:
    return RUNNERS[os.environ.get("TEST_RUNNER", "embedded")]
