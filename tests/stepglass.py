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


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]

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


def stepglass(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean_environment(), **environment},
    )


@contextmanager
def serving(
    data: Path, *options: str | Path, program: Sequence[str | Path] = COMMAND, **environment: str
) -> Iterator[Server]:
    """A server on that data directory and any free port, until the end of the block."""
    command = [*map(str, program), "serve", "--port", "0", "--data", str(data), *map(str, options)]
    # Its stderr comes with the test's, so that a server that does not start says why.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**clean_environment(), **environment})
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


def clean_environment() -> dict[str, str]:
    """Without any setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STEPGLASS_")}
