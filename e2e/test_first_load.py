"""The first load of the queue page is small, in few requests, and does not move when the page comes alive."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from app.queue.database import Database
from app.queue.run_plan import OnError, RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.step_monitor import StepMonitor
from app.queue.store.claim import claim
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.queue.writer import Writer
from tests.stepglass import serving

RUNS = 20
STEPS = (
    StepPlan("code_map", "code_map"),
    StepPlan("import_files", "import_files", depends=("code_map",)),
    StepPlan("rule_classify_files", "rule_classify_files", depends=("import_files",), on_error=OnError.CONTINUE),
)


async def write_runs(directory: Path) -> None:
    """Runs such as codebase_classify makes, some with failures, with logs."""
    chance = random.Random(1)
    database = Database.in_directory(directory)
    bring_up_to_date(database)
    write = Writer(database, StepMonitor().hear)
    for number in range(RUNS):
        run = RunPlan("codebase_classify", "Classify a code base", STEPS, parameters={"folder": f"/srv/{number}"})
        await write(start, run)
        for size in (1, 6, 40):
            (planned,) = await write(claim_plans, 1)
            step_id = planned.step.step_id
            await write(plan, step_id, planned.attempt, [NewItem(f"src/module_{each}.py") for each in range(size)])
            await write(end_planning, step_id, planned.attempt)
            items = (await write(claim, {step_id: size})).items
            said = [f"classified {item.name}: python, {chance.randint(1, 900)} lines" for item in items]
            lines = [
                Line(step_id, item.id, 1.7e9 + item.id, "info", text) for item, text in zip(items, said, strict=True)
            ]
            await write(log, lines)
            errors = ["cannot decode it" if chance.random() < 0.02 else None for _ in items]
            await write(finish, step_id, [Ending(i.id, i.attempt, error=e) for i, e in zip(items, errors, strict=True)])
    await write.close()
    database.close()


def test_the_queue_page_of_twenty_runs_is_small(page: Page, tmp_path: Path) -> None:
    """At most 30 kB in all, compressed, in at most 6 requests, the stream included."""
    with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop of its own in this thread
        elsewhere.submit(asyncio.run, write_runs(tmp_path)).result()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    urls: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    session.on("Network.requestWillBeSent", lambda event: _note(urls, event))
    session.on("Network.dataReceived", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    with serving(tmp_path) as server:
        page.goto(f"{server.url}/queue")
        expect(page.locator("#liveness .live")).to_have_text("live")
        expect(page.locator("#runs > .run")).to_have_count(RUNS)
        html = page.request.get(f"{server.url}/queue", headers={"Accept-Encoding": "gzip"})
        length = html.headers.get("content-length")
    transferred = {url: sizes[request] for request, url in urls.items()}
    document = next(url for url in transferred if url.endswith("/queue"))
    transferred[document] = transferred[document] or int(length or 0)
    assert len(transferred) <= 6, transferred
    assert transferred[document] > 1_000
    assert sum(transferred.values()) <= 30_000, transferred


def _note(urls: dict[str, str], event: dict[str, Any]) -> None:
    if event["request"]["url"].startswith("http"):
        urls[event["requestId"]] = event["request"]["url"]
