"""The workforce: all who live, taken together. What nobody of them offers says so; of the limits of a step type that
they were told the strictest hold."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, select

from app.queue.among import among
from app.queue.changes import StepChanged
from app.queue.limits import strictest
from app.queue.owner_reading import Workforce, workforce
from app.queue.status import ACTIVE, Status
from app.queue.store.limiting import set_type_limits
from app.queue.store.waiting import Wait, begin_anew, note_wait
from app.queue.tables import step_counter, step_job, step_wait
from app.queue.writer import Transaction

NOBODY = "worker"
"""The scope of what waits for somebody who offers its step type."""

_has_pending = (
    select(step_counter.c.step_id)
    .where(
        step_counter.c.step_id == step_job.c.id,
        step_counter.c.status == Status.PENDING,
        step_counter.c.number > 0,
    )
    .exists()
)
# Not those that wait for something else.
_not_offered = select(step_job.c.id, step_job.c.manager_id, step_job.c.name, step_job.c.status, step_job.c.type).where(
    step_job.c.status.in_(ACTIVE),
    ~among(step_job.c.type, "types"),
    or_(step_job.c.ready, step_job.c.status == Status.PENDING, _has_pending),
    step_job.c.id.not_in(select(step_wait.c.step_id)),
)


def workforce_changed(transaction: Transaction, quiet: bool = False) -> None:
    """Somebody has begun to work, or has ended: what holds for all is found out again. `quiet`: nobody works on
    purpose, and no step needs to say so."""
    living = workforce(transaction.connection, transaction.now)
    set_type_limits(transaction, strictest(living.limits))
    begin_anew(transaction)
    if not quiet:
        _note_not_offered(transaction, (), living)


def note_not_offered(transaction: Transaction, own: Collection[str] = ()) -> None:
    """Lets the steps say so that nobody who lives can work on. `own`: what the caller offers."""
    if transaction.connection.execute(_not_offered, {"types": sorted(own)}).first() is not None:
        _note_not_offered(transaction, own, workforce(transaction.connection, transaction.now))


def _note_not_offered(transaction: Transaction, own: Collection[str], living: Workforce) -> None:
    if living.offers is None:
        return
    types = sorted(living.offers.union(own))
    for row in transaction.connection.execute(_not_offered, {"types": types}).all():
        change = StepChanged(row.manager_id, row.id, row.name, row.status)
        note_wait(transaction, change, Wait(NOBODY, f"no worker offers the step type {row.type}"))
