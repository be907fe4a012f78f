"""A server whose disk fails under it: nothing acknowledged is lost, the page stays up, work goes on by itself."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.queue import audit
from app.queue.database import Database
from tests.stepglass import Server, definitions, serving

WORK = """
id = "work"
[step.work]
type = "test_job_generator"
worker_count = 40
log_count = 10
log_delay_ms = 5
failure_rate = 0
"""


@contextmanager
def failing_disk(server: Server) -> Iterator[None]:
    """Files of the server cannot grow beyond a page."""
    limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)


@pytest.mark.skipif(sys.platform != "linux", reason="sets limits of another process")
def test_a_server_whose_disk_fails_says_so_and_goes_on_by_itself(tmp_path: Path) -> None:
    folder = definitions(tmp_path / "definitions")
    (folder / "work.toml").write_text(WORK)
    with serving(tmp_path / "data", "--definitions", folder) as server:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            acknowledged = client.post("/api/jobs", json={"definition": "work"}).json()["job_id"]
            with failing_disk(server):
                until(client, "/healthz", lambda told: told["status"] == "trouble")
                health = client.get("/healthz")
                assert health.status_code == 503
                assert "disk I/O error; look at its disk" in health.json()["detail"]
                page = client.get("/queue")
                assert page.status_code == 200
                assert "disk I/O error; look at its disk" in page.text
                refused = client.post("/api/jobs", json={"definition": "quick"})
                assert (refused.status_code, refused.json()["error"]) == (503, "not_written")
            until(client, "/healthz", lambda told: told["status"] == "ok")
            until(client, f"/api/jobs/{acknowledged}", lambda told: told["status"] == "completed")
            assert "disk I/O error" not in client.get("/queue").text
            assert client.get("/api/jobs?kind=manager").json()["total"] == 1
            assert client.get(f"/api/jobs/{acknowledged}").json()["counts"]["completed"] == 40
        assert server.stop() == 0
    database = Database.in_directory(tmp_path / "data")
    assert audit.check(database) == []
    database.close()


def until(client: httpx.Client, path: str, true: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true(told := client.get(path).json()):
        assert time.monotonic() < deadline, told
