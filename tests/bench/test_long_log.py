"""A log of a million lines is opened, leafed through, searched and downloaded like one of a thousand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from app.queue.run_plan import RunPlan, StepPlan
from app.queue.store.claim import claim
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, plan
from app.queue.store.start import start
from tests.bench.rig import median_of, show
from tests.stepglass import COMMAND, Server, serving
from tests.web.stage import NOON, open_access

LEVELS = ["info"] * 80 + ["debug"] * 10 + ["warn"] * 8 + ["error"] * 2
BATCH, ITEMS = 5_000, 1_000
STEP = "/jobs/1/steps/one"
WINDOWS = ("", "?level=info", "?level=warn", "?level=error", "?after=0", "?line={middle}", "?level=error&line={middle}")
OTHERS = ("/jobs/1/log", "/jobs/500", "/jobs/1", "/queue", "/fragments/jobs/2/log")
SEARCHES = ("file_{middle}.py", "no-such-text", "as+test", "classified")


@pytest.mark.parametrize("lines", [1_000, 1_000_000])
def test_log_pages(tmp_path: Path, lines: int) -> None:
    """Targets: each page under 30 ms and 1.5 times its time at 1,000 lines; a first search under 1 s."""
    asyncio.run(_write(tmp_path, lines))
    with serving(tmp_path, program=COMMAND) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for path in [*(STEP + query for query in WINDOWS), *OTHERS]:
            path = path.format(middle=lines // 2)
            _time(client, path)
            figure, all_of_them = median_of(9, lambda _, path=path: _time(client, path))  # type: ignore[misc]
            show(f"{lines:,} lines, {path}", figure, "ms", all_of_them, "target 30")
        _download(server, client, lines)  # before the searches, which hold more memory than it may
        for text in SEARCHES:
            path = f"{STEP}?q={text.format(middle=lines // 2)}"
            first = _time(client, path)
            figure, all_of_them = median_of(5, lambda _, path=path: _time(client, path))  # type: ignore[misc]
            show(f"{lines:,} lines, first search {path}", first, "ms", (), f"then {figure:.3g}; target 1,000")


def _download(server: Server, client: httpx.Client, lines: int) -> None:
    before, began, size = _peak(server), perf_counter(), 0
    with client.stream("GET", f"{STEP}/log.txt", headers={"Accept-Encoding": "identity"}) as answer:
        for part in answer.iter_raw():
            size += len(part)
    seconds, grown = perf_counter() - began, _peak(server) - before
    show(
        f"{lines:,} lines, download", size / seconds / 1e6, "MB/s", (), f"{size / 1e6:,.0f} MB; memory +{grown:.0f} MB"
    )


async def _write(folder: Path, lines: int) -> None:
    async with open_access(folder) as access:
        write = access.writer
        await write(start, RunPlan("long", "Long", (StepPlan("one", "trial"),)))
        (planned,) = await write(claim_plans, 1)
        step_id = planned.step.step_id
        await write(plan, step_id, planned.attempt, [NewItem(f"item {number}") for number in range(ITEMS)])
        items = (await write(claim, {step_id: ITEMS})).items
        began = perf_counter()
        for first in range(0, lines, BATCH):
            numbers = range(first, min(first + BATCH, lines))
            await write(log, [_line(step_id, items[number % ITEMS].id, number) for number in numbers])
        show(f"{lines:,} lines written", lines / (perf_counter() - began), "per second")


def _line(step_id: int, worker_id: int, number: int) -> Line:
    kind = "test" if number % 3 else "source"
    message = f"classified src/module_{number % 977}/file_{number}.py as {kind} code in {number % 50} ms"
    return Line(step_id, worker_id, NOON + number / 1000, LEVELS[number * 7919 % 100], message)


def _time(client: httpx.Client, path: str) -> float:
    began = perf_counter()
    client.get(path, headers={"Accept-Encoding": "identity"}).raise_for_status()
    return (perf_counter() - began) * 1000


def _peak(server: Server) -> float:
    """The most memory that the server has held, in MB; 0 where /proc does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0
