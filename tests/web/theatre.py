"""Puts a stage on: starts it as a process on a free loopback port, speaks to it, stops it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.forked import FORKING
from tests.web import stage


class Theatre:
    """A server process. Its socket is ours, so that a client may connect before it listens, and while it restarts."""

    def __init__(
        self, directory: Path, heartbeat: float = 5.0, embedding_sites: Sequence[str] = (), url: str = ""
    ) -> None:
        self._directory, self._heartbeat, self._embedding_sites = directory, heartbeat, embedding_sites
        self._url = url
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._process: multiprocessing.process.BaseProcess | None = None
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.end()
        self._socket.close()

    def begin(self) -> None:
        given = (self._socket, self._directory, self._heartbeat, self._embedding_sites, self._url)
        self._process = FORKING.Process(target=stage.serve, args=given)
        self._process.start()

    @property
    def working_time(self) -> float:
        """Seconds that the server's threads have been at work so far, as Linux counts them."""
        assert self._process
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    def end(self) -> int:
        """Stops the server as a person would, and returns its exit status."""
        assert self._process and self._process.pid
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(20)
        assert self._process.exitcode is not None, "the stage does not end"
        status = self._process.exitcode
        self._process.close()
        return status

    def play(self, verb: str, **arguments: Any) -> Any:
        """Calls a verb of the stage; what it did is committed, and heard of, when it returns."""
        answer = self.client.post(f"/stage/{verb}", json=arguments)
        answer.raise_for_status()
        return answer.json()["answer"]

    def html(self, path: str) -> str:
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.text
