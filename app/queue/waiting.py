"""Why something waits: one sentence, the same on every row and page and in the API.

It is put together from what is written: the pause, the refusal of the last claim (see `store.waiting`), the reason of
the step or work item itself. The nearest reason is told.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.queue.pauses import pause_of, pauses
from app.queue.records import Paused, RunRecord, StepRecord
from app.queue.tables import manager_job, step_job, step_wait

FREE_SLOT = "waiting for a free slot"


class Why(NamedTuple):
    """`held_by`: the run that holds what is waited for, if it is another one."""

    sentence: str
    held_by: int | None = None


_waits = (
    select(step_wait.c.step_id, step_wait.c.sentence, step_wait.c.held_by)
    .join(step_job, step_job.c.id == step_wait.c.step_id)
    .where(step_job.c.manager_id.in_(bindparam("ids", expanding=True)))
)
_of_items = (
    select(step_job.c.id, step_job.c.manager_id, manager_job.c.definition, step_wait.c.sentence, step_wait.c.held_by)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .outerjoin(step_wait, step_wait.c.step_id == step_job.c.id)
    .where(step_job.c.id.in_(bindparam("ids", expanding=True)))
)


def waits_of_runs(connection: Connection, ids: Sequence[int]) -> dict[int, Why]:
    """By step of these runs, as far as the last claim was refused."""
    return {row.step_id: Why(row.sentence, row.held_by) for row in connection.execute(_waits, {"ids": ids})}


def told_why(run: RunRecord, waits: Mapping[int, Why], ready: Container[int]) -> RunRecord:
    """The run with the reasons of what waits in it; one that is over waits for nothing. `ready`: the steps that only
    wait to be planned."""
    if run.is_final:
        return run
    steps = tuple(_step_told(step, _why_step(step, run.paused, waits, step.id in ready)) for step in run.steps)
    why = _why_run(run, steps, ready)
    return replace(run, steps=steps, reason=why.sentence, held_by=why.held_by)


def _step_told(step: StepRecord, why: Why) -> StepRecord:
    return step if why.sentence == step.reason else replace(step, reason=why.sentence, held_by=why.held_by)


def _why_step(step: StepRecord, paused: Paused | None, waits: Mapping[int, Why], is_ready: bool) -> Why:
    """Of a step with work items that wait, or that waits to be planned."""
    if step.is_final or not (step.counts.pending or is_ready):
        return Why(step.reason)
    if paused:
        return _paused(paused)
    has_begun = step.counts.pending < step.counts.total  # then it gets a slot time and again
    return waits.get(step.id) or Why(step.reason or ("" if has_begun else FREE_SLOT))


def _why_run(run: RunRecord, steps: Sequence[StepRecord], ready: Container[int]) -> Why:
    """Of a run in which nothing is at work: what the first of its steps waits for that waits for no other step."""
    if run.paused:
        return _paused(run.paused)
    if run.counts.running:
        return Why(run.reason)
    for step in steps:
        if not step.is_final and (step.counts.pending or step.id in ready):
            named = step.reason and step.reason != FREE_SLOT
            return Why(f"step {step.name}: {step.reason}" if named else step.reason, step.held_by)
    return Why(run.reason)


def _paused(paused: Paused) -> Why:
    return Why(f"{paused.what} was paused by {paused.who}")


def why_items_wait(connection: Connection, step_ids: Sequence[int]) -> dict[int, Why]:
    """Of the pending work items of these steps."""
    if not step_ids:
        return {}
    paused = pauses(connection)
    whys = {}
    for row in connection.execute(_of_items, {"ids": step_ids}):
        pause = pause_of(paused, row.manager_id, row.definition)
        whys[row.id] = _paused(pause) if pause else Why(row.sentence or FREE_SLOT, row.held_by)
    return whys


def why_item_waits(own: str, due_at: float, of_step: Why) -> Why:
    """`own`: what is written on the work item itself: when it is tried again, who wants it again."""
    if due_at and of_step.sentence == FREE_SLOT:
        return Why(own or next_attempt(due_at))
    if own and of_step.sentence != FREE_SLOT:
        return Why(f"{own}; {of_step.sentence}", of_step.held_by)
    return Why(own) if own else of_step


def next_attempt(due_at: float) -> str:
    return f"next attempt at {clock(due_at)}"


def clock(at: float) -> str:
    """12:00:05, where the server stands."""
    return time.strftime("%H:%M:%S", time.localtime(at))
