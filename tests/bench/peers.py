"""Peers, doing the same: fan out no-op items, run them, wait for the last. Run as a program of its own.

python -m tests.bench.peers FOLDER ITEMS        Huey on SQLite, synchronous=FULL (its default), one worker process
"""

from __future__ import annotations

import sys
import time

from huey import SqliteHuey

FOLDER, ITEMS = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else (".", 0)

huey = SqliteHuey("bench", filename=f"{FOLDER}/huey.db", results=False)
_done = 0


@huey.task()
def no_op(number: int) -> None:
    global _done
    _done += 1


def main() -> None:
    """Prints items per second, from the first enqueue to the end of the last item."""
    began = time.perf_counter()
    for number in range(ITEMS):
        no_op(number)
    consumer = huey.create_consumer(workers=4, worker_type="thread", periodic=False, initial_delay=0.01)
    consumer.start()
    while _done < ITEMS:
        time.sleep(0.005)
    print(ITEMS / (time.perf_counter() - began))
    consumer.stop()


if __name__ == "__main__":
    main()
