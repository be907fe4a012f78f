"""Runs that have already happened, made with the store verbs alone: what the API has to tell is known exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.queue.database import Database
from app.queue.run_plan import OnError, RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.step_monitor import StepMonitor
from app.queue.store.cancel import cancel
from app.queue.store.claim import claim
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, plan
from app.queue.store.start import start
from app.queue.writer import Writer

BOOM = "boom <b>"


def write_history(directory: Path) -> None:
    """Run 1 (import, classify) completed although 3 of 8 work items failed, two of them alike; run 2 was cancelled."""
    asyncio.run(_write(directory))


async def _write(directory: Path) -> None:
    database = Database.in_directory(directory)
    bring_up_to_date(database)
    write = Writer(database, StepMonitor().hear)
    steps = (
        StepPlan("import", "trial", "Reads files", on_error=OnError.CONTINUE),
        StepPlan("classify", "trial", depends=("import",), on_error=OnError.CONTINUE),
    )
    await write(start, RunPlan("trial", "A trial", steps, ("one", "two"), {"folder": "/srv/x", "deep": True}))
    await _work(write, {"a": None, "b": BOOM, "c": BOOM, "d": "other"})
    await _work(write, {"a": None, "b": None, "c": None, "d": None})
    cancelled = await write(start, RunPlan("trial", "A trial", steps))
    await write(cancel, cancelled, "not wanted")
    await write.close()
    database.close()


async def _work(write: Writer, items: dict[str, str | None]) -> None:
    (planned,) = await write(claim_plans, 10)
    step_id = planned.step.step_id
    await write(plan, step_id, planned.attempt, [NewItem(name, {"file": name}) for name in items])
    claimed = (await write(claim, {step_id: 10})).items
    lines = [Line(step_id, None, 1000.0, "debug", "looking around")]
    lines += [Line(step_id, item.id, 1001.0, "info", f"reading {item.name}") for item in claimed]
    lines += [Line(step_id, claimed[0].id, 1002.0, "warn", "reading took long")]
    await write(log, lines)
    endings = [Ending(item.id, item.attempt, {"size": 1}, error=items[item.name]) for item in claimed]
    await write(finish, step_id, endings)
    await write(end_planning, step_id, planned.attempt)
