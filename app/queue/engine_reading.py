"""Reading what the tickets of the engine do, and which work has none that should have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.engine import Connection

from app.queue.engine_fact import is_procrastinate
from app.queue.pauses import is_paused
from app.queue.status import ACTIVE, Status
from app.queue.tables import manager_job, step_counter, step_job, step_wait

_is_engine = select(is_procrastinate)
_tickets = text(
    "SELECT count(*) FILTER (WHERE status = 'todo' AND (scheduled_at > now()) IS NOT TRUE) AS waiting,"
    " count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()) AS later,"
    " count(*) FILTER (WHERE status = 'doing') AS drawn"
    " FROM stepglass_engine.procrastinate_jobs"
)
_steps_of_tickets = text(
    "SELECT kind, value::bigint FROM stepglass_engine.procrastinate_jobs, jsonb_each_text(args) AS each (kind, value)"
    " WHERE kind IN ('step', 'plan') AND status IN ('todo', 'doing')"
)
_may_begin = (
    select(step_job.c.id, step_job.c.ready, step_counter.c.number, step_wait.c.scope)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .outerjoin(step_counter, (step_counter.c.step_id == step_job.c.id) & (step_counter.c.status == Status.PENDING))
    .outerjoin(step_wait, step_wait.c.step_id == step_job.c.id)
    .where(step_job.c.status.in_(ACTIVE), ~is_paused)
    .order_by(step_job.c.id)
)
_rescue = text("SELECT extract(epoch FROM at)::float8 AS at, tickets FROM stepglass_engine.last_rescue")


@dataclass(frozen=True, slots=True)
class TicketCounts:
    """What the tickets do, all processes together: those that can be drawn now, those for later, those that somebody
    has drawn and not used up. `rescued_at`: when the last were given back that a dead process had drawn, and how many;
    None: that has not happened."""

    waiting: int
    later: int
    drawn: int
    rescued_at: float | None = None
    rescued: int = 0


def ticket_counts(connection: Connection) -> TicketCounts | None:
    """None where Procrastinate hands out nothing."""
    if not _hands_out(connection):
        return None
    counted = connection.execute(_tickets).one()
    rescue = connection.execute(_rescue).one_or_none()
    return TicketCounts(*counted, *(rescue or ()))


def _hands_out(connection: Connection) -> bool:
    return connection.dialect.name != "sqlite" and bool(connection.execute(_is_engine).scalar_one())


class Ticketless(NamedTuple):
    """A step that could be planned (`is_plan`), or work items of it claimed, and that has no ticket for that."""

    step_id: int
    is_plan: bool


def ticketless(connection: Connection) -> list[Ticketless]:
    """Nobody would work on these; none where Procrastinate hands out nothing."""
    if not _hands_out(connection):
        return []
    known = {(kind, step_id) for kind, step_id in connection.execute(_steps_of_tickets)}
    found = []
    for step in connection.execute(_may_begin):
        if step.ready and ("plan", step.id) not in known:
            found.append(Ticketless(step.id, True))
        if step.number and not step.scope and ("step", step.id) not in known:
            found.append(Ticketless(step.id, False))
    return found


def ticket_drifts(connection: Connection) -> Iterator[str]:
    """As the audit says it."""
    for step_id, is_plan in ticketless(connection):
        what = "it is to be planned" if is_plan else "it has work items to be claimed"
        yield f"step {step_id}: {what}, but no ticket; the next server or worker that starts makes one"
