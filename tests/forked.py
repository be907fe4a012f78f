"""Starts processes by forking one that has imported what they need: a start costs a tenth of what the imports take.

A `stepglass` that begins so is a process like any other, with the arguments, environment, folder and files that it is
given, and runs the same entry point. How it comes to be there is not tested so: tests of that start it anew.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, TextIO

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.web.stage", "tests.imported"])

READ_AT_A_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_")
"""What begins so is looked at by the interpreter, or the C library, once: with another value it has to start anew."""


class Forked:
    """A `stepglass` that was begun so, to be used as a `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        """Its stdout is there to be read, unless it goes to a file."""
        self.stdout, out = (None, stdout) if stdout else _pipe()
        files = [DupFd(number) for number in (0, out.fileno(), stderr.fileno() if stderr else 2)]
        given = (list(arguments), dict(environment), str(cwd or Path.cwd()), files)
        self._process = FORKING.Process(target=_stepglass, args=given, daemon=True)
        self._process.start()
        if self.stdout:
            out.close()
        self.pid: int = self._process.pid  # type: ignore[assignment]
        self.returncode: int | None = None
        self._looking = threading.Lock()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout:
            self.stdout.close()
        self.wait()

    def poll(self) -> int | None:
        with self._looking:
            self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired("stepglass", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def is_as_here(environment: Mapping[str, str]) -> bool:
    """Whether a start in that environment would find the interpreter as it is here. Only Linux lets it be forked."""
    return sys.platform == "linux" and _read_at_a_start(environment) == _read_at_a_start(os.environ)


def _read_at_a_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_A_START)}


def _pipe() -> tuple[IO[str], IO[str]]:
    reading, writing = os.pipe()
    return os.fdopen(reading), os.fdopen(writing, "w")


def _stepglass(arguments: list[str], environment: dict[str, str], cwd: str, files: list[Any]) -> None:
    """Makes of this process what a start with these would have made, and runs it."""
    for number, file in enumerate(files):
        os.dup2(opened := file.detach(), number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv, sys.path[0] = ["stepglass", *arguments], cwd
    sys.stdin = sys.__stdin__ = _text(0, "r", sys.__stdin__)
    sys.stdout = sys.__stdout__ = _text(1, "w", sys.__stdout__)
    sys.stderr = sys.__stderr__ = _text(2, "w", sys.__stderr__)
    runpy.run_module("app.cli", run_name="__main__", alter_sys=True)


def _text(number: int, mode: str, before: TextIO) -> TextIO:
    """A stream as Python makes it at its start."""
    at_once = mode == "w" and before.write_through  # type: ignore[attr-defined]
    return io.TextIOWrapper(
        open(number, f"{mode}b", buffering=0 if at_once else -1, closefd=False),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=number == 2 or os.isatty(number),
        write_through=at_once,
    )
