"""Streams with many viewers: 2,000 of one view beside the least server that could do it, and 50 views under load.

A delivery's time runs from the COMMIT to the moment in which another process has read the message from its socket.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.bench.observed import Observed
from tests.bench.readers import Arrivals, reading
from tests.bench.rig import show
from tests.stepglass import Server, serving

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
    pytest.mark.timeout(900),
]

STREAMS = int(os.environ.get("STREAMS", 2_000))
ROUNDS = 3
SECONDS = 10.0
"""Of each measurement."""
SETTLING = 1.0

CHATTY = """
id = "chatty"
[step.chat]
type = "test_job_generator"
worker_count = 1
log_count = 100000
log_delay_ms = 100
"""


@dataclass
class Sending:
    """What it took to send to that many readers for a while."""

    streams: int
    seconds: float
    cpu: float
    """Seconds of the server's process."""
    resident: float
    """kB that the open streams added to it."""
    statements: float
    """To read for pages, per second."""
    delays: Sequence[float]
    """Seconds of each delivery, in order."""
    missed: int
    length: float
    """Bytes of a message."""

    @property
    def cpu_per_message(self) -> float:
        """Microseconds."""
        return 1e6 * self.cpu / len(self.delays)

    @property
    def messages_per_second(self) -> float:
        return len(self.delays) / self.streams / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return 1000 * self.delays[min(len(self.delays) - 1, int(len(self.delays) * percent / 100))]


def test_2000_streams_of_one_view(tmp_path: Path) -> None:
    """Targets: all delivered, 99th percentile 250 ms, CPU 1.5 times a bare sender's, 40 kB resident per stream; as many
    queries for 2,000 viewers as for one, and none when nothing changes."""
    ours, bare, single = [], [], []
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with _chatting(folder) as (server, observed):
            single.append(_send(server, observed, {"/queue/stream": 1}, folder))
            ours.append(_send(server, observed, {"/queue/stream": STREAMS}, folder))
            idle = _idle(server, observed, folder) if not number else idle  # noqa: F821
        with _bare(folder, round(ours[-1].length)) as (server, observed):
            bare.append(_send(server, observed, {"/": STREAMS}, folder))
    show("statements per second to read, 1 viewer", _median(single, "statements"), "per second")
    show(f"the same, {STREAMS:,} viewers", _median(ours, "statements"), "per second", (), "target: the same")
    show(f"the same, {STREAMS:,} viewers of a queue that rests", idle, "per second", (), "target 0")
    for who, sendings in ((f"{STREAMS:,} streams", ours), ("the bare sender", bare)):
        show(f"{who}, messages per stream", _median(sendings, "messages_per_second"), "per second")
        show(f"{who}, bytes of a message", _median(sendings, "length"), "")
        show(f"{who}, messages missed", sum(each.missed for each in sendings), "", (), "target 0")
        show(f"{who}, median", statistics.median(each.percentile(50) for each in sendings), "ms")
        tails = [each.percentile(99) for each in sendings]
        show(f"{who}, 99th percentile", statistics.median(tails), "ms", tails, "target 250")
    cpu = [each.cpu_per_message for each in ours]
    floor = [each.cpu_per_message for each in bare]
    ratios = [ours / bare for ours, bare in zip(cpu, floor, strict=True)]
    show("CPU per delivered message, bare sender", statistics.median(floor), "µs", floor)
    show("CPU per delivered message", statistics.median(cpu), "µs", cpu)
    show("which is", statistics.median(ratios), "times the bare sender's", ratios, "target 1.5")
    for who, sendings in (("", ours), (", bare sender", bare)):
        resident = [each.resident / STREAMS for each in sendings]
        show(f"resident per stream{who}", statistics.median(resident), "kB", resident, "target 40")
    assert not any(each.missed for each in ours)


def _idle(server: Server, observed: Observed, folder: Path) -> float:
    for job in httpx.get(f"{server.url}/api/jobs?kind=manager&status=running").json()["jobs"]:
        httpx.post(f"{server.url}/api/jobs/{job['id']}/cancellation").raise_for_status()
    with reading(server.url, {"/queue/stream": STREAMS}, folder / "arrivals"):
        time.sleep(SETTLING)
        before = sum(observed.statements)
        time.sleep(SECONDS)
        return (sum(observed.statements) - before) / SECONDS


@contextmanager
def _chatting(folder: Path) -> Iterator[tuple[Server, Observed]]:
    """A server with one run that logs ten lines a second."""
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "chatty.toml").write_text(CHATTY)
    observed = Observed(folder / "observed")
    with serving(folder / "data", "--definitions", definitions, program=observed.program) as server:
        httpx.post(f"{server.url}/api/jobs", json={"definition": "chatty"}).raise_for_status()
        httpx.get(f"{server.url}/queue").raise_for_status()
        yield server, observed


@contextmanager
def _bare(folder: Path, length: int) -> Iterator[tuple[Server, Observed]]:
    observed = Observed(folder / "bare")
    assert observed.program  # makes the files
    command = [sys.executable, "-m", "tests.bench.bare_sender", str(observed.folder), str(length)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        yield Server(process.stdout.readline().split()[-1], process), observed
        process.kill()
        process.wait()


def _send(server: Server, observed: Observed, streams: Mapping[str, int], folder: Path) -> Sending:
    resident = _resident(server)
    number = sum(streams.values())
    with reading(server.url, streams, folder / "arrivals") as arrivals:
        time.sleep(SETTLING)
        cpu, statements, began = _cpu(server), observed.statements[0], time.monotonic()
        time.sleep(SECONDS)
        cpu, statements, ended = _cpu(server) - cpu, observed.statements[0] - statements, time.monotonic()
        resident = _resident(server) - resident
        time.sleep(SETTLING)
    commits = sorted((at, revision) for revision, at in observed.commits.items())
    first, last = (commits[bisect_left(commits, (when, 0))][1] for when in (began, ended))
    received = [[(at, revision) for at, revision in each.messages if first <= revision < last] for each in arrivals]
    everything = {revision for messages in received for _, revision in messages}
    missed = number * len(everything) - sum(len({revision for _, revision in messages}) for messages in received)
    delays = _delays(received, observed.commits)
    total = sum(len(each.messages) for each in arrivals)
    length = sum(each.length for each in arrivals) / total
    return Sending(number, ended - began, cpu, resident, statements / (ended - began), delays, missed, length)


def _delays(received: Sequence[Sequence[tuple[float, int]]], commits: Mapping[int, float]) -> list[float]:
    """How long the latest commit of each message was on its way."""
    return sorted(at - commits[revision] for messages in received for at, revision in messages)


def _cpu(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(server: Server) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1])


def _median(sendings: Sequence[Sending], name: str) -> float:
    return statistics.median(getattr(each, name) for each in sendings)
