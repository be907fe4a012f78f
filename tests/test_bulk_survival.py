"""kill -9 in the middle of a bulk action, and a restart: every job is acted on, and none twice."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from app.queue import audit
from app.queue.database import Database
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import Snapshot
from app.queue.step_monitor import StepMonitor
from app.queue.store.claim import claim
from app.queue.store.finish import Ending, finish
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.queue.writer import Writer
from tests.stepglass import serving

ITEMS = 2_000


async def write_failures(directory: Path) -> None:
    """A run of which every work item has failed."""
    database = Database.in_directory(directory)
    bring_up_to_date(database)
    write = Writer(database, StepMonitor().hear)
    await write(start, RunPlan("trial", "Trial", (StepPlan("one", "trial"),)))
    (planned,) = await write(claim_plans, 1)
    step_id = planned.step.step_id
    await write(plan, step_id, planned.attempt, [NewItem(f"item {number}") for number in range(ITEMS)])
    await write(end_planning, step_id, planned.attempt)
    items = (await write(claim, {step_id: ITEMS})).items
    await write(finish, step_id, [Ending(item.id, item.attempt, error="boom", permanent=True) for item in items])
    await write.close()
    database.close()


@pytest.mark.slow
def test_a_bulk_action_that_was_killed_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    asyncio.run(write_failures(tmp_path))
    with serving(tmp_path, "--slots", "2") as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        frozen = client.post("/api/bulk", json={"kind": "worker", "status": "failed"}).json()
        url = f"/api/bulk/{frozen['token']}"
        started = client.post(f"{url}/confirmation", json={"action": "acknowledge"}).json()
        while not client.get(url).json()["report"]["done"]:
            pass
        server.process.kill()
        server.process.wait()
    with Snapshot.of(Database.in_directory(tmp_path)) as snapshot:
        assert snapshot.bulk.frozen_set(frozen["token"]).report.waiting
    with serving(tmp_path, "--slots", "2") as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get(url).json()["total"] == ITEMS
        while client.get(f"/api/jobs/{started['job_id']}").json()["finished_at"] is None:
            pass
        assert client.get(url).json()["report"] == {"done": ITEMS, "skipped": [], "failed": [], "waiting": 0}
        assert client.get("/api/jobs/stats").json()["open_failures"] == 0
        log = client.get(f"/jobs/{started['job_id']}/steps/act/log.txt").text
    told = Counter(re.findall(r"job (\d+) \(item \d+\): acknowledge: done", log))
    assert (len(told), set(told.values())) == (ITEMS, {1})
    assert audit.check(Database.in_directory(tmp_path)) == []
