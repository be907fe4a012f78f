"""Parses files in a process of its own: a file on which a parser breaks down takes nothing else along.

It is started as `python -m app.steps.imports._apart`, reads a file per line, `[path, text]` in JSON, and answers each
with a line before it reads the next. It ends when its stdin is closed.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence

from app.steps.imports._parsing import MOST_SECONDS, imports_of
from app.steps.imports.found import FileImports, parsed_as

PATIENCE = 3 * MOST_SECONDS
"""Seconds to wait for an answer. The other process keeps to its limits, unless a parser never comes back to it."""
_COMMAND = (sys.executable, "-m", __spec__.name)


class Apart:
    """Starts the process when it is needed, and anew when it has died."""

    def __init__(self, command: Sequence[str] = _COMMAND, patience: float = PATIENCE) -> None:
        self._command = command
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def imports_of(self, path: str, text: str) -> FileImports:
        """As `_parsing.imports_of`, and never the end of this process."""
        answer = self._answer(json.dumps([path, text]).encode() + b"\n")
        if answer.endswith(b"\n") and (found := FileImports.kept(json.loads(answer), "")):
            return found
        self._end()
        known = parsed_as(path)
        assert known
        return FileImports(known[0], problem="the parser broke down on it")

    def _answer(self, question: bytes) -> bytes:
        """The other's answer; not a whole line when it has died, or has been waited for too long."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(question)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], self._patience)
            return process.stdout.readline() if ready else b""
        except OSError:
            return b""

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, sys.path))
        return subprocess.Popen(  # noqa: S603  ourselves
            self._command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        # Its pipes are closed before it is waited for: what could not be written is of no use to anybody.
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe:
                    pipe.close()
            except OSError:
                pass
        self._process.wait()
        self._process = None


def _main() -> None:
    for line in sys.stdin.buffer:
        path, text = json.loads(line)
        sys.stdout.write(json.dumps(imports_of(path, text).facts("")) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
