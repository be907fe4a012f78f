"""A process that works on a database which it shares with others: `python -m tests.work.shared_database FOLDER LEASE`.

Test harness only: nothing but the lease keeps it and the others apart. It says when it commits, and ends when its
input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.queue.database import Database
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Commit, Writer
from app.work.registry import StepTypes
from app.work.runner import Runner
from tests.work import trial_steps


def tell(commit: Commit) -> None:
    print(commit.revision, flush=True)


async def work(folder: Path, lease: float) -> None:
    database = Database.in_directory(folder)
    monitor = StepMonitor()
    writer = Writer(database, monitor.hear)
    step_types = StepTypes([trial_steps.OnLoop, trial_steps.InProcess])
    runner = Runner(database, writer, monitor, step_types, slots=4, lease=lease, alone=False)
    with monitor.listening(tell):
        await runner.start()
        await asyncio.to_thread(sys.stdin.read)
        await runner.stop(0)
    await writer.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), float(sys.argv[2])))
