"""Step types that behave well and badly, in every way that a handler can."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from app.work.step_type import Context, Document, PassingError, PermanentError, Settings, StepType, WorkItem

GATES: dict[str, asyncio.Event] = {}
"""What "wait" on the event loop waits for, by its marker."""


class Does(Settings):
    """`items`: their names, which say what happens to them."""

    items: list[str] = Field(default_factory=list)
    marker: str = ""
    """A file that says, by being there, that an item has begun."""
    plan_error: str = ""


def _wait_for(context: Context[Does]) -> None:
    while not Path(f"{context.settings.marker}{context.attempt}").exists():
        time.sleep(0.01)


def _huge(item: WorkItem) -> Any:
    return {"number": 2**70} if item.name == "a huge number" else None


def _misbehave(context: Context[Does], item: WorkItem) -> Any:
    """What plain and async handlers can do alike."""
    what = item.name.split()[0]
    if what == "raise":
        raise ValueError("no such thing")
    if what == "permanent":
        raise PermanentError("it will never work")
    if what == "exit":
        sys.exit(3)
    if what == "object":
        return object()
    if what == "log":
        for number in range(3):
            context.log(f"line {number} of {item.name}", "warn" if number == 1 else "info")
    if what == "untitled":
        context.save_document(Document("trial:untitled", None, "body", "trial"))  # type: ignore[arg-type]
    if what == "not":
        return {"number": float("nan")}
    if what == "a":
        return _huge(item)
    if what == "level":
        context.log("loud", "fatal")  # type: ignore[arg-type]
    if what == "document":
        context.save_document(Document(f"trial:{item.name}", item.name, "body", "trial", ("a", "b")))
    if what == "use":
        context.add_to_totals({"tokens": 5, "cost": 0.25})
    if what == "odd":
        context.add_to_totals({"tokens": float("nan")})
    if what == "spawn":
        context.spawn(WorkItem(f"log child of {item.name}"))
        context.spawn(WorkItem(f"log child of {item.name}"))
    if what == "few":
        for number in range(1, 6):
            context.spawn(WorkItem(f"log {number} of {item.name}"), at_most=4)
    if what == "busy" and context.attempt == 1:
        raise PassingError("come back later", 3600)
    if what == "flaky" and context.attempt < 3:
        raise OSError(f"attempt {context.attempt} did not work")
    return {"did": what, "attempt": context.attempt}


class OnLoop(StepType[Does]):
    name = "on_loop"
    summary = "Behaves as its items are called, on the event loop."
    settings_type = Does

    async def plan(self, context: Context[Does]) -> AsyncIterator[WorkItem]:
        for name in context.settings.items:
            yield WorkItem(name, {"name": name})
        if context.settings.plan_error:
            raise RuntimeError(context.settings.plan_error)

    async def run(self, context: Context[Does], item: WorkItem) -> Any:
        if item.name.startswith("hang"):
            await asyncio.to_thread(Path(context.settings.marker).touch)
            await asyncio.Event().wait()
        if item.name == "wait" and context.settings.marker in GATES:
            await GATES[context.settings.marker].wait()
        elif item.name == "wait":
            context.log(f"attempt {context.attempt} waits")
            await asyncio.to_thread(_wait_for, context)
            context.log(f"attempt {context.attempt} is done")
        if item.name.startswith("stubborn"):
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
        return _misbehave(context, item)


class InProcess(StepType[Does]):
    name = "in_process"
    summary = "Behaves as its items are called, in a worker process."
    settings_type = Does

    def plan(self, context: Context[Does]) -> Iterator[WorkItem]:
        context.log("looking around")
        for name in context.settings.items:
            yield WorkItem(name, {"name": name})
        if context.settings.plan_error:
            raise RuntimeError(context.settings.plan_error)

    def run(self, context: Context[Does], item: WorkItem) -> Any:
        what = item.name.split()[0]
        if what == "hang":
            Path(context.settings.marker).touch()
            while True:
                time.sleep(1)
        if what == "wait":
            context.log(f"attempt {context.attempt} waits")
            _wait_for(context)
            context.log(f"attempt {context.attempt} is done")
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "quit":
            os._exit(7)
        if what == "program":
            with Path(context.settings.marker).open("wb") as pipe:
                subprocess.run(["sh", "-c", "echo; exec sleep 1000"], stdout=pipe, check=True)
        if what == "read":
            return [document.address for document in context.documents(tags=["a"], under="trial:document 1")]
        return _misbehave(context, item)
