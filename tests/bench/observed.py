"""The `stepglass` command, observed: when each revision was committed, and how many statements were executed.

Called as `python -m tests.bench.observed DIRECTORY stepglass-arguments...`; what it sees is read with `Observed`.
"""

from __future__ import annotations

import sys
import threading
import time
from array import array
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.cli import main as stepglass
from app.queue.writer import Commit, Writer

_COUNTERS = 2
_READS, _WRITES = range(_COUNTERS)


@dataclass(frozen=True)
class Observed:
    """What an observed server has done so far."""

    folder: Path

    @property
    def statements(self) -> tuple[int, int]:
        """Statements executed to read for pages and streams, and by everybody else."""
        reads, writes = array("Q", (self.folder / "statements").read_bytes())
        return reads, writes

    @property
    def commits(self) -> dict[int, float]:
        """When each revision was committed, by the clock that all processes share."""
        lines = (self.folder / "commits").read_text().splitlines()
        return {int(revision): float(at) for revision, at in map(str.split, lines)}

    @property
    def program(self) -> list[str]:
        """What to start instead of the `stepglass` command."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "statements").write_bytes(bytes(8 * _COUNTERS))
        (self.folder / "commits").touch()
        return [sys.executable, "-m", "tests.bench.observed", str(self.folder)]


def _count_statements(file: Path) -> None:
    with file.open("r+b") as opened:
        counters = memoryview(mmap(opened.fileno(), 0)).cast("Q")

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def count(*_: Any) -> None:
        reads = threading.current_thread().name.startswith("stepglass-reader")
        counters[_READS if reads else _WRITES] += 1


def _note_commits(file: Path) -> None:
    commit = Writer._commit
    notes = file.open("w", buffering=1)

    def noted(writer: Writer, connection: Any, batch: Any) -> Commit | None:
        made = commit(writer, connection, batch)
        if made:
            notes.write(f"{made.revision} {time.monotonic()}\n")
        return made

    Writer._commit = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    _count_statements(folder / "statements")
    _note_commits(folder / "commits")
    stepglass()
