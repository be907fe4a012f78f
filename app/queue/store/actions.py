"""What people do is recorded with who, when and what, in the transaction that does it."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select

from app.queue.actor import Actor
from app.queue.tables import action
from app.queue.writer import Transaction

_said = select(action.c.said).where(action.c.key == bindparam("of_key"))
_made = select(action.c.made_id).where(action.c.key == bindparam("of_key"))


def record(
    transaction: Transaction,
    actor: Actor,
    verb: str,
    said: str,
    manager_id: int | None = None,
    job_id: int | None = None,
    key: str | None = None,
    made_id: int | None = None,
) -> None:
    """`said`: what was done, after who did it: "cancelled the run: ...". `job_id`: of the run, or a part of it."""
    row = {
        "manager_id": manager_id,
        "job_id": job_id,
        "at": transaction.now,
        "who": actor.who,
        "verb": verb,
        "said": said,
        "key": key,
        "made_id": made_id,
    }
    transaction.connection.execute(insert(action), row)


def made_by(transaction: Transaction, key: str) -> int | None:
    """The run that the action of that key started, if it was carried out already."""
    made: int | None = transaction.connection.execute(_made, {"of_key": key}).scalar_one_or_none()
    return made


def said_of(transaction: Transaction, key: str) -> str | None:
    """What the action of that key did, if it was carried out already."""
    said: str | None = transaction.connection.execute(_said, {"of_key": key}).scalar_one_or_none()
    return said


def items(number: int) -> str:
    """1 work item; 1,204 work items"""
    return f"{number:,} work item{'' if number == 1 else 's'}"
