"""How soon the server is there, and how much memory it holds."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from tests.bench.rig import median_of, show
from tests.stepglass import COMMAND, Server, serving

MANY = """
id = "many"
[step.many]
type = "test_job_generator"
worker_count = 100000
log_count = 2
log_delay_ms = 0
failure_rate = 0
"""


def test_ready(tmp_path: Path) -> None:
    """Target: 1.5 s, from the start of the process to the first answer; with a new database, and with an old one."""

    def once(folder: Path) -> float:
        began = time.perf_counter()
        with serving(folder, program=COMMAND) as server:
            httpx.get(f"{server.url}/healthz").raise_for_status()
            return time.perf_counter() - began

    new, new_all = median_of(5, lambda number: once(tmp_path / f"new{number}"))
    old, old_all = median_of(5, lambda number: once(tmp_path / "new0"))
    show("server ready, new database", new, "s", new_all, "target 1.5")
    show("server ready, existing database", old, "s", old_all, "target 1.5")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_resident_memory(tmp_path: Path) -> None:
    """Target: under 150 MB after 100,000 work items with 200,000 log lines, pages read meanwhile."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "many.toml").write_text(MANY)
    with serving(tmp_path / "data", "--definitions", definitions, "--slots", "200", program=COMMAND) as server:
        before = _resident(server)
        began = time.perf_counter()
        url = httpx.post(f"{server.url}/api/jobs", json={"definition": "many"}).json()["url"]
        while (job := httpx.get(f"{server.url}/api{url}").json())["status"] in ("pending", "running"):
            httpx.get(f"{server.url}/queue").raise_for_status()
            time.sleep(0.5)
        seconds = time.perf_counter() - began
        assert job["counts"]["completed"] == 100_000
        structure = httpx.get(f"{server.url}/api{url}/structure").json()
        lines = structure["steps"][0]["log_count"]
        for path in ("/queue", url, "/jobs?kind=worker"):
            httpx.get(f"{server.url}{path}").raise_for_status()
        after = _resident(server)
    show("resident at the start", before, "MB")
    show(f"resident after 100,000 work items with {lines:,} lines", after, "MB", (), "target 150")
    show("which took", seconds, "s", (), f"{100_000 / seconds:,.0f} items/s through the whole server")


def _resident(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024
