"""start: a run begins."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import insert, select

from app.queue.changes import RunChanged
from app.queue.run_plan import RunPlan
from app.queue.status import ACTIVE, Status
from app.queue.store.counting import open_counters
from app.queue.store.roll_up import advance
from app.queue.tables import manager_job, run_tag, step_job, switched_off_definition
from app.queue.text import storable
from app.queue.writer import Transaction


class StartRefused(Exception):
    """A definition cannot be started now; the message says why, and what to do."""


class DefinitionDisabled(StartRefused):
    """The definition is not to be run: its file says so, or a person has switched it off."""

    def __init__(self, definition: str, way_out: str) -> None:
        super().__init__(f"{definition} is disabled; {way_out}")
        self.definition = definition


class AlreadyRunning(StartRefused):
    """The definition has as many runs in progress as it allows. `manager_id` is the newest of them."""

    def __init__(self, definition: str, concurrency: int, manager_id: int) -> None:
        many = "" if concurrency == 1 else f" {concurrency} times"
        super().__init__(
            f"{definition} is already running{many} (job {manager_id}); wait for its end, cancel it, "
            f"or set `concurrency` in the definition"
        )
        self.manager_id = manager_id


def start(transaction: Transaction, plan: RunPlan) -> int:
    """Creates the run with all its steps, releases the steps that wait for none, and returns the manager's id.

    Raises AlreadyRunning or DefinitionDisabled.
    """
    refuse_switched_off(transaction, plan.definition)
    refuse_one_too_many(transaction, plan.definition, plan.concurrency)
    manager_id, *step_ids = transaction.new_ids(1 + len(plan.steps))
    transaction.connection.execute(insert(manager_job), _manager_row(plan, manager_id, transaction.now))
    if tags := [{"tag": tag, "manager_id": manager_id} for tag in dict.fromkeys(plan.tags)]:
        transaction.connection.execute(insert(run_tag), tags)
    transaction.connection.execute(insert(step_job), _step_rows(plan, manager_id, step_ids, transaction.now))
    open_counters(transaction, step_ids)
    transaction.changes.append(RunChanged(manager_id, Status.PENDING))
    advance(transaction, manager_id)
    return manager_id


def refuse_switched_off(transaction: Transaction, definition: str) -> None:
    """Raises DefinitionDisabled if a person has switched the definition off."""
    off = select(switched_off_definition.c.at).where(switched_off_definition.c.definition == definition)
    if transaction.connection.execute(off).first():
        raise DefinitionDisabled(definition, "a person has switched it off; enable it on its page")


def refuse_one_too_many(transaction: Transaction, definition: str, concurrency: int) -> None:
    """Raises AlreadyRunning if the definition has that many runs in progress."""
    in_progress = (
        select(manager_job.c.id)
        .where(manager_job.c.definition == definition, manager_job.c.status.in_(ACTIVE))
        .order_by(manager_job.c.id.desc())
    )
    ids = transaction.connection.execute(in_progress).scalars().all()
    if len(ids) >= concurrency:
        raise AlreadyRunning(definition, concurrency, ids[0])


def _manager_row(plan: RunPlan, manager_id: int, now: float) -> dict[str, object]:
    return {
        "id": manager_id,
        "definition": plan.definition,
        "name": storable(plan.name),
        "status": Status.PENDING,
        "reason": "waiting for a free slot",
        "tags": list(plan.tags),
        "parameters": plan.parameters,
        "max_child_failures": plan.tolerance.max_child_failures,
        "failure_action": plan.tolerance.failure_action,
        "timeout": plan.timeout,
        "priority": plan.priority,
        "most_running": plan.limits.work_items,
        "rate": plan.limits.rate,
        "definition_text": plan.text,
        "created_at": now,
        "rerun_of": plan.rerun_of,
    }


def _step_rows(plan: RunPlan, manager_id: int, step_ids: list[int], now: float) -> list[dict[str, object]]:
    return [
        {
            "id": step_id,
            "manager_id": manager_id,
            "position": position,
            "name": step.name,
            "type": step.type,
            "description": step.description,
            "depends": list(step.depends),
            "on_error": step.on_error,
            "always_run": step.always_run,
            "settings": step.settings,
            "timeout": step.timeout,
            "step_timeout": step.step_timeout,
            "retry": asdict(step.retries),
            "most_running": step.limits.work_items,
            "rate": step.limits.rate,
            "status": Status.SKIPPED if step.name in plan.taken else Status.PENDING,
            "reason": f"taken from run {plan.rerun_of}" if step.name in plan.taken else "",
            "ready": False,
            "plan_attempt": 0,
            "planned": False,
            "log_count": 0,
            "document_count": 0,
            "created_at": now,
            "finished_at": now if step.name in plan.taken else None,
            "taken_from": plan.rerun_of if step.name in plan.taken else None,
        }
        for position, (step_id, step) in enumerate(zip(step_ids, plan.steps, strict=True), start=1)
    ]
