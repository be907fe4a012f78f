"""From COMMIT to pixels: how long a log line that is stored takes into the browser's DOM.

The clock starts at the first COMMIT after the handler said the line: when idle its own, under load that or an earlier
one, so that the figures are upper bounds. The lines are further apart than the hub's pace, so that idle means idle.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page

from tests.bench.observed import Observed
from tests.bench.rig import show
from tests.stepglass import Server, serving

LINES = 120
MARKER = f"""
id = "marker"
[step.marks]
type = "test_job_generator"
worker_count = 1
log_count = {LINES}
log_delay_ms = 170
failure_rate = 0
"""
LOAD = """
id = "load"
[step.load]
type = "test_job_generator"
worker_count = 20000
log_count = 1
log_delay_ms = 100
failure_rate = 0
"""
WATCH = """
window.arrivals = {};
new MutationObserver(records => {
  const now = performance.timeOrigin + performance.now();
  for (const record of records)
    for (const node of record.addedNodes)
      if (node.querySelectorAll)
        for (const line of [node, ...node.querySelectorAll('[data-line]')]) {
          const owner = line.closest && line.closest('[data-kind="step"]');
          if (line.dataset && line.dataset.line && owner) window.arrivals[owner.id + '.' + line.dataset.line] ??= now;
        }
}).observe(document.body, {childList: true, subtree: true});
"""


def test_idle(tmp_path: Path, page: Page) -> None:
    """Target: median 10 ms, 99th percentile 50 ms."""
    with _server(tmp_path) as (server, observed):
        delays = delays_in_browser(server, observed, page)
    show("commit to DOM, idle, median", percentile(delays, 50), "ms", delays, "target 10")
    show("commit to DOM, idle, 99th percentile", percentile(delays, 99), "ms", (), "target 50")


def test_at_1000_transitions_a_second(tmp_path: Path, page: Page) -> None:
    """Target: 99th percentile 250 ms."""
    with _server(tmp_path) as (server, observed):
        before = httpx.post(f"{server.url}/api/jobs", json={"definition": "load"}).json()["job_id"]
        delays = delays_in_browser(server, observed, page)
        load = httpx.get(f"{server.url}/api/jobs/{before}").json()
        done = load["counts"]["completed"]
        seconds = (datetime.now().astimezone() - datetime.fromisoformat(load["started_at"])).total_seconds()
        assert load["status"] == "running", "the load ended before the measurement did"
    show("transitions meanwhile", 2 * done / seconds, "per second", (), "target 1,000")
    show("commit to DOM under load, median", percentile(delays, 50), "ms", delays)
    show("commit to DOM under load, 99th percentile", percentile(delays, 99), "ms", (), "target 250")


@contextmanager
def _server(tmp_path: Path) -> Iterator[tuple[Server, Observed]]:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "marker.toml").write_text(MARKER)
    (definitions / "load.toml").write_text(LOAD)
    observed = Observed(tmp_path / "observed")
    options = ("--definitions", definitions, "--slots", "60")
    with serving(tmp_path / "data", *options, program=observed.program) as server:
        yield server, observed


def delays_in_browser(server: Server, observed: Observed, page: Page) -> list[float]:
    """Milliseconds from the commit of each marked line to its arrival in the DOM of the queue page."""
    with page.expect_response(lambda response: "/stream" in response.url and response.status == 200):
        page.goto(f"{server.url}/queue")
    page.evaluate(WATCH)
    job_id = httpx.post(f"{server.url}/api/jobs", json={"definition": "marker"}).json()["job_id"]
    with httpx.stream("GET", f"{server.url}/api/events?job_id={job_id}", timeout=120) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and json.loads(line[5:]) | {
                "context": "job",
                "status": "completed",
            } == json.loads(line[5:]):
                break
    page.wait_for_timeout(500)
    arrivals = page.evaluate("window.arrivals")
    answer = httpx.get(f"{server.url}/api/jobs/{job_id}/logs?limit=1000&step=marks").json()
    step_id = httpx.get(f"{server.url}/api/jobs?kind=step&manager_id={job_id}").json()["jobs"][0]["id"]
    # Not the first and last few: they share a message with the start and the end of their run, and wait for its turn.
    said = {str(line["line"]): datetime.fromisoformat(line["at"]).timestamp() for line in answer["lines"][3:-3]}
    since_epoch = time.time() - time.monotonic()
    commits = [since_epoch + at for at in sorted(observed.commits.values())]
    stored = {f"job-{step_id}.{line}": commits[bisect_left(commits, at)] for line, at in said.items()}
    delays = [arrivals[key] - 1000 * at for key, at in stored.items() if key in arrivals]
    assert len(delays) >= LINES / 2, f"only {len(delays)} of {LINES} lines were seen to arrive"
    return sorted(delays)


def percentile(delays: list[float], percent: int) -> float:
    return delays[min(len(delays) - 1, len(delays) * percent // 100)]
