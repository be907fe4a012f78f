"""Thousands of readers of streams in a process of their own, as cheap as they can be.

`python -m tests.bench.readers HOST:PORT FILE` reads a path and a number per line until an empty one, opens that many
streams of each, says so, and reads until its input ends. Then it writes to FILE what came when.
"""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_REVISION = re.compile(rb'data-revision="(\d+)"')
_AT_ONCE = 50
"""Connections that are opened before any of them is waited for."""


@dataclass
class Arrivals:
    """What the readers of one server got: for each stream its messages, as (when, revision), and bytes."""

    path: str
    messages: list[tuple[float, int]] = field(default_factory=list)
    length: int = 0
    ended: bool = False

    def read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 20)
        except BlockingIOError:
            return
        self.length += len(data)
        self.ended = not data
        for revision in _REVISION.findall(data):
            self.messages.append((time.monotonic(), int(revision)))


@contextmanager
def reading(url: str, streams: Mapping[str, int], results: Path) -> Iterator[list[Arrivals]]:
    """Opens that many streams of each path, all read until the end of the block; then the list is filled."""
    command = [sys.executable, "-m", "tests.bench.readers", url.removeprefix("http://"), str(results)]
    arrivals: list[Arrivals] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        for path, number in streams.items():
            process.stdin.write(f"{number} {path}\n")
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "open\n", "the readers could not open their streams"
        yield arrivals
        process.stdin.close()
    arrivals += [Arrivals(**each) for each in json.loads(results.read_text())]


def main() -> None:
    address, results = sys.argv[1:]
    host, _, port = address.partition(":")
    paths = [path for line in iter(sys.stdin.readline, "\n") for path in _paths(line)]
    polled = select.epoll()
    arrivals: dict[int, Arrivals] = {}
    connections: dict[int, socket.socket] = {}
    for place, path in enumerate(paths):
        connection = socket.create_connection((host, int(port)), timeout=60)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        arrivals[connection.fileno()] = Arrivals(path)
        polled.register(connection, select.EPOLLIN)
        if place % _AT_ONCE == 0:
            _read(polled, connections, arrivals, 0.01)
    while not all(each.length for each in arrivals.values()):
        _read(polled, connections, arrivals, 1)
    print("open", flush=True)
    polled.register(sys.stdin, select.EPOLLIN)
    while not _read(polled, connections, arrivals, 1):
        pass
    Path(results).write_text(json.dumps([vars(each) for each in arrivals.values()]))


def _paths(line: str) -> list[str]:
    number, path = line.split()
    return [path] * int(number)


def _read(
    polled: select.epoll, connections: Mapping[int, socket.socket], arrivals: Mapping[int, Arrivals], timeout: float
) -> bool:
    """Reads what there is; whether it is time to end."""
    over = False
    for descriptor, _ in polled.poll(timeout):
        if descriptor == sys.stdin.fileno():
            over = True
            continue
        arrivals[descriptor].read(connections[descriptor])
        if arrivals[descriptor].ended:
            polled.unregister(descriptor)
    return over


if __name__ == "__main__":
    main()
