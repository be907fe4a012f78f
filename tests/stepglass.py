"""The `stepglass` command as a user has it: in a process of its own, on a free port, stopped by who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.forked import Forked, is_as_here

COMMAND = [sys.executable, "-m", "app.cli"]

QUICK = """
id = "{id}"
concurrency = 1000
[step.work]
type = "test_job_generator"
worker_count = 3
log_count = 2
log_delay_ms = 0
failure_rate = {failure_rate}
"""

ENDLESS = """
id = "endless"
concurrency = 1000
[step.work]
type = "test_job_generator"
worker_count = 1
log_count = 1000000
log_delay_ms = 20
"""


Process = subprocess.Popen[str] | Forked


@dataclass
class Server:
    url: str
    process: Process

    def stop(self) -> int:
        """Asks it to stop as Ctrl-C or a service manager would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def definitions(folder: Path) -> Path:
    """A folder with the definitions quick (completes), failing (fails) and endless."""
    folder.mkdir(exist_ok=True)
    (folder / "quick.toml").write_text(QUICK.format(id="quick", failure_rate=0))
    (folder / "failing.toml").write_text(QUICK.format(id="failing", failure_rate=1))
    (folder / "endless.toml").write_text(ENDLESS)
    return folder


def stepglass(
    *arguments: str | Path,
    program: Sequence[str | Path] | None = None,
    cwd: Path | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end. `program`: COMMAND starts it anew, None may fork what has imported it."""
    with TemporaryFile("w+") as said, TemporaryFile("w+") as complained:
        process = begun(*arguments, program=program, cwd=cwd, stdout=said, stderr=complained, **environment)
        try:
            status = process.wait(timeout=60)
        except BaseException:
            process.kill()
            process.wait()
            raise
        for file in (said, complained):
            file.seek(0)
        return subprocess.CompletedProcess(["stepglass", *arguments], status, said.read(), complained.read())


@contextmanager
def serving(
    data: Path, *options: str | Path, program: Sequence[str | Path] | None = None, **environment: str
) -> Iterator[Server]:
    """A server on that data directory and any free port, until the end of the block. `program`: see `stepglass`."""
    # Its stderr comes with the test's, so that a server that does not start says why.
    process = begun("serve", "--port", "0", "--data", data, *options, program=program, **environment)
    assert process.stdout
    with process.stdout:
        try:
            line = process.stdout.readline()
            assert line.startswith("Stepglass is at http://"), line
            yield Server(line.split()[-1].removesuffix("/queue"), process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)


def begun(
    *arguments: str | Path,
    program: Sequence[str | Path] | None = None,
    cwd: Path | None = None,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
    **environment: str,
) -> Process:
    """A process of the command that has begun. Its stdout is there to be read, unless it goes to a file."""
    told, whole = [*map(str, arguments)], {**clean_environment(), **environment}
    if program is None and is_as_here(whole):
        return Forked(told, whole, cwd, stdout, stderr)
    return subprocess.Popen(
        [*map(str, program or COMMAND), *told],
        cwd=cwd,
        stdout=stdout or subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=whole,
    )


def clean_environment() -> dict[str, str]:
    """Without any setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STEPGLASS_")}
