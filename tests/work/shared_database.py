"""A process that works on a database which it shares with others: `python -m tests.work.shared_database ADDRESS LEASE`.

Test harness only: nothing but the lease keeps it and the others apart. It says when it commits, and ends when its
input does.
"""

from __future__ import annotations

import asyncio
import sys

from app.queue.database import Database
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Commit, Writer
from app.work.registry import StepTypes
from tests.work import trial_steps
from tests.work.runners import prepared, running


def tell(commit: Commit) -> None:
    print(commit.revision, flush=True)


async def work(address: str, lease: float) -> None:
    database = Database.at(address, readers=4, lease=lease)
    monitor = StepMonitor()
    writer = Writer(database, monitor.hear, prepared(database))
    step_types = StepTypes([trial_steps.OnLoop, trial_steps.InProcess])
    with monitor.listening(tell):
        async with running()(database, writer, monitor, step_types, slots=4, lease=lease, alone=False):
            await asyncio.to_thread(sys.stdin.read)
    await writer.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], float(sys.argv[2])))
