"""Plain `def` handlers that are told to end, and what each makes of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.work.step_type import Cancelled, Context, Settings, StepType, WorkItem


class Where(Settings):
    items: list[str]
    """What happens to them; "plan" happens to the planning itself."""
    folder: str
    """Where a file `busy` is while one is at work, and a pipe `said` that its program writes to."""


class Told(StepType[Where]):
    name = "told"
    summary = "Is told to end."
    settings_type = Where

    def plan(self, context: Context[Where]) -> Iterator[WorkItem]:
        for name in context.settings.items:
            if name == "plan":
                _tidy(context)
            yield WorkItem(name)

    def run(self, context: Context[Where], item: WorkItem) -> Any:
        folder = Path(context.settings.folder)
        match item.name.split():
            case ["tidy", *_]:
                _tidy(context)
            case ["look", *more]:
                context.log("looks")
                while not context.cancelled:
                    time.sleep(0.01)
                context.log("has seen it")
                if more == ["on"]:
                    _tidy(context)
            case ["program"]:
                _program(folder, "trap 'sleep 0.2; echo told; exit' TERM; echo; while :; do sleep 0.05; done")
                time.sleep(1000)
            case ["deaf"]:
                _program(folder, "trap '' TERM; echo; sleep 1000")
                while True:
                    with suppress(Cancelled):
                        time.sleep(1000)
        return "done"


def _tidy(context: Context[Where]) -> None:
    busy = Path(context.settings.folder, "busy")
    busy.touch()
    try:
        context.log("is busy")
        time.sleep(1000)
    finally:
        busy.unlink()
        context.log("has tidied up")


def _program(folder: Path, text: str) -> None:
    with (folder / "said").open("wb") as pipe:
        subprocess.Popen(["sh", "-c", text], stdout=pipe)
