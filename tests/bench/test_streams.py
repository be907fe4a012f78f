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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.bench.observed import Observed
from tests.bench.readers import reading
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
log_delay_ms = 60
"""


LOAD = """
id = "load"
[step.load]
type = "test_job_generator"
worker_count = 100000
log_count = 1
log_delay_ms = 100
failure_rate = 0
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
    messages: int
    delays: Sequence[float]
    """Seconds that each commit was on its way to each reader, in order."""
    missed: int
    length: float
    """Bytes of a message."""

    @property
    def cpu_per_message(self) -> float:
        """Microseconds."""
        return 1e6 * self.cpu / self.messages

    @property
    def statements_per_message(self) -> float:
        """To read, for a message to everybody."""
        return self.statements / self.messages_per_second

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.streams / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return 1000 * self.delays[min(len(self.delays) - 1, int(len(self.delays) * percent / 100))]


def test_2000_streams_of_one_view(tmp_path: Path) -> None:
    """Targets: all delivered, 99th percentile 250 ms, CPU 1.5 times a bare sender's, 40 kB resident per stream; as many
    queries for 2,000 viewers as for one, and none when nothing changes."""
    ours, bare, single, idle = [], [], [], []
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with _chatting(folder) as (server, observed):
            single.append(_send(server, observed, {"/queue/stream": 1}, folder))
            ours.append(_send(server, observed, {"/queue/stream": STREAMS}, folder))
            idle.append(_statements_of_a_resting_queue(server, observed, folder))
        with _bare(folder, round(ours[-1].length)) as (server, observed):
            bare.append(_send(server, observed, {"/": STREAMS}, folder))
    for who, sendings in (("1 viewer", single), (f"{STREAMS:,} viewers", ours)):
        show(f"statements to read, {who}", _median(sendings, "statements"), "per second", (), "target: the same")
        show(f"statements to read, {who}", _median(sendings, "statements_per_message"), "per message")
    show(f"statements, {STREAMS:,} viewers of a queue that rests", max(idle), "per second", (), "target 0")
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


def test_50_views_under_load(tmp_path: Path) -> None:
    """Targets: 99th percentile 400 ms from commit to delivery; work goes on at 0.8 of its pace without viewers."""
    calm, busy, sendings, bare = [], [], [], []
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with _working(folder) as (server, observed, job_id):
            calm.append(_transitions(server, job_id, lambda: time.sleep(SECONDS)))
            views = fifty_views(server, job_id)
            busy.append(
                _transitions(server, job_id, lambda: sendings.append(_send(server, observed, views, folder)))  # noqa: B023
            )
        with _bare(folder, round(sendings[-1].length)) as (server, observed):
            bare.append(_send(server, observed, {"/": len(views)}, folder))
    ratios = [with_viewers / without for with_viewers, without in zip(busy, calm, strict=True)]
    show("transitions, no viewers", statistics.median(calm), "per second", calm, "target 1,000")
    show("transitions, 50 views watched", statistics.median(busy), "per second", busy)
    show("which is", statistics.median(ratios), "of the pace without viewers", ratios, "target 0.8")
    for who, each in (("50 views", sendings), ("the bare sender", bare)):
        show(f"{who}, messages per stream", _median(each, "messages_per_second"), "per second")
        show(f"{who}, bytes of a message", _median(each, "length"), "")
        show(f"{who}, CPU", statistics.median(one.cpu / one.seconds for one in each), "of a core")
        show(f"{who}, median", statistics.median(one.percentile(50) for one in each), "ms")
        tails = [one.percentile(99) for one in each]
        show(f"{who}, 99th percentile", statistics.median(tails), "ms", tails, "target 400")


def fifty_views(server: Server, job_id: int) -> dict[str, int]:
    """One stream each of fifty views that have something to say of every item of that run."""
    items = httpx.get(f"{server.url}/api/jobs?kind=worker&manager_id={job_id}&limit=19").json()["jobs"]
    since = [f"2020-01-01T00:{minute:02}" for minute in range(12)]
    step, whole = f"/jobs/{job_id}/steps/load/stream", f"/jobs/{job_id}/log/stream"
    paths = [
        "/queue/stream",
        *(f"/queue/stream?definition=load&from={time}" for time in since),
        "/jobs/stream?kind=worker",
        *(f"/jobs/stream?kind=worker&status=completed&from={time}" for time in since),
        f"/jobs/{job_id}/stream",
        *(f"/jobs/{item['id']}/stream" for item in items),
        *(step, f"{step}?level=info", whole, f"{whole}?q=page"),
    ]
    assert len(set(paths)) == 50
    return dict.fromkeys(paths, 1)


@contextmanager
def _working(folder: Path) -> Iterator[tuple[Server, Observed, int]]:
    """A server at something above 1,000 transitions a second, well below what it could."""
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "load.toml").write_text(LOAD)
    observed = Observed(folder / "observed")
    options = ("--definitions", definitions, "--slots", "60")
    with serving(folder / "data", *options, program=observed.program) as server:
        job = httpx.post(f"{server.url}/api/jobs", json={"definition": "load"}).raise_for_status().json()
        while not _ended(server, job["job_id"]):
            time.sleep(0.1)
        yield server, observed, job["job_id"]


def _transitions(server: Server, job_id: int, meanwhile: Callable[[], object]) -> float:
    """Claims and completions per second meanwhile."""
    began, before = time.monotonic(), _ended(server, job_id)
    meanwhile()
    after, ended = _ended(server, job_id), time.monotonic()
    return 2 * (after - before) / (ended - began)


def _ended(server: Server, job_id: int) -> int:
    """Work items that are over."""
    job = httpx.get(f"{server.url}/api/jobs/{job_id}", timeout=60).raise_for_status().json()
    assert job["status"] in ("pending", "running"), "the load ended before the measurement did"
    return int(job["counts"].get("completed", 0))


def _statements_of_a_resting_queue(server: Server, observed: Observed, folder: Path) -> float:
    for job in httpx.get(f"{server.url}/api/jobs?kind=manager&status=running").json()["jobs"]:
        httpx.post(f"{server.url}/api/jobs/{job['id']}/cancellation").raise_for_status()
    with reading(server.url, {"/queue/stream": STREAMS}, folder / "arrivals"):
        time.sleep(SETTLING)
        before = sum(observed.statements)
        time.sleep(SECONDS)
        return (sum(observed.statements) - before) / SECONDS


@contextmanager
def _chatting(folder: Path) -> Iterator[tuple[Server, Observed]]:
    """A server with one run that logs more often than ten times a second, which is the pace of messages."""
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
    commits = {revision: at for revision, at in observed.commits.items() if began <= at < ended}
    received = [[each for each in reader.messages if each[1] in commits] for reader in arrivals]
    by_path: dict[str, set[int]] = {}
    for reader, messages in zip(arrivals, received, strict=True):
        by_path.setdefault(reader.path, set()).update(revision for _, revision in messages)
    total = sum(map(len, received))
    missed = sum(len(by_path[reader.path]) for reader in arrivals) - total
    delays = sorted(delay for messages in received for delay in _delays(messages, commits))
    length = sum(each.length for each in arrivals) / sum(len(each.messages) for each in arrivals)
    seconds = ended - began
    return Sending(number, seconds, cpu, resident, statements / seconds, total, delays, missed, length)


def _delays(messages: Sequence[tuple[float, int]], commits: Mapping[int, float]) -> Iterator[float]:
    """From each commit to the first message that shows it."""
    for (_, before), (at, revision) in pairwise(messages):
        yield from (at - commits[each] for each in range(before + 1, revision + 1) if each in commits)


def _cpu(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(server: Server) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1])


def _median(sendings: Sequence[Sending], name: str) -> float:
    return statistics.median(getattr(each, name) for each in sendings)
