"""owners: who works says so, and that it lives. What a dead one held is taken over by whoever sees that it is dead.

An owner counts its beat up while it holds work. Whether it is dead is for the others to judge, each by its own steady
clock: they name the beat that they saw last, and what they say is void if there has been another one since. An owner
that was taken for dead has ended for good: nothing that it says under that name is stored any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import bindparam, delete, insert, select, update

from app.queue.changes import OwnersChanged, StepChanged
from app.queue.limits import Limits
from app.queue.owner_reading import owners
from app.queue.status import Status
from app.queue.store.claim import rescue
from app.queue.store.workforce import workforce_changed
from app.queue.tables import owner, step_job, worker_job
from app.queue.whereabouts import place_of, told
from app.queue.writer import Transaction

P = ParamSpec("P")
T = TypeVar("T")

KEPT = 50
"""Owners that are remembered when they have ended."""
PLANNING = "planning work items"


class OwnerLost(Exception):
    """The owner was taken for dead, and what it held is somebody else's."""


@dataclass(frozen=True, slots=True)
class NewOwner:
    """An owner that begins. `lease`: seconds that it may be silent. `kind`: server, worker or command. `label`: the
    name that it was given. `offers`: the step types that it works on; None: it does not say, and is silent while it
    holds nothing. `limits`: those of step types that it was told."""

    name: str
    lease: float
    slots: int
    version: str
    kind: str = "server"
    label: str = ""
    offers: Sequence[str] | None = None
    limits: Mapping[str, Limits] = field(default_factory=dict)


_of_name = owner.c.name == bindparam("of_name")
_is_alive = owner.c.ended_at.is_(None)
_long_ago = select(owner.c.name).where(~_is_alive).order_by(owner.c.ended_at.desc()).offset(KEPT)
_forget = delete(owner).where(owner.c.name.in_(_long_ago))
_end_others = (
    update(owner)
    .where(owner.c.name != bindparam("of_name"), _is_alive)
    .values(ended_at=bindparam("now"), end=bindparam("how"), silence="", silent_since=None, takeover_at=None)
)
_end = (
    update(owner)
    .where(_of_name, _is_alive)
    .values(ended_at=bindparam("now"), end=bindparam("how"), silence="", silent_since=None, takeover_at=None)
)
_withdraw = update(owner).where(_of_name, _is_alive).values(offers=[])
_beat = (
    update(owner)
    .where(_of_name, _is_alive)
    .values(beat=owner.c.beat + 1, renewed_at=bindparam("now"))
    .returning(owner.c.silence)
)
_heard_again = update(owner).where(_of_name).values(silence="", silent_since=None, takeover_at=None)
_silent = (
    update(owner)
    .where(_of_name, _is_alive, owner.c.beat == bindparam("seen"), owner.c.silence == "")
    .values(silence=bindparam("said"), silent_since=bindparam("since"), takeover_at=bindparam("until"))
)
_alive = select(owner.c.name).where(_of_name, _is_alive)
_held = select(owner.c.silence).where(_of_name, _is_alive, owner.c.beat == bindparam("seen"))
_running_steps = select(step_job).where(step_job.c.status == Status.RUNNING)
_tell_items = (
    update(worker_job)
    .where(
        worker_job.c.step_id == bindparam("of_step"),
        worker_job.c.status == Status.RUNNING,
        worker_job.c.claimed_by == bindparam("of_name"),
    )
    .values(reason=bindparam("said"))
)
_tell_step = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"), step_job.c.reason == bindparam("instead_of"))
    .values(reason=bindparam("said"))
)


def open_owner(transaction: Transaction, new: NewOwner, alone: bool) -> int:
    """Enters an owner. `alone`: it is known that no other one lives, so it takes back, at once, whatever is running.
    Returns how many work items that were."""
    transaction.connection.execute(_forget)
    _enter(transaction, new)
    rescued = 0
    if alone:
        gone = {"of_name": new.name, "now": transaction.now, "how": "ended without a word"}
        transaction.living.clear()
        transaction.connection.execute(_end_others, gone)
        rescued = rescue(transaction)
    workforce_changed(transaction, quiet=alone and not new.slots)
    return rescued


def _enter(transaction: Transaction, new: NewOwner) -> None:
    host, process = place_of(new.name)
    row = {
        "name": new.name,
        "started_at": transaction.now,
        "renewed_at": transaction.now,
        "lease": new.lease,
        "slots": new.slots,
        "version": new.version,
        "host": host,
        "pid": int(process or 0),
        "kind": new.kind,
        "label": new.label,
        "offers": None if new.offers is None else sorted(new.offers),
        "limits": {type: [each.work_items, each.rate] for type, each in new.limits.items()},
    }
    transaction.connection.execute(insert(owner), {"beat": 0, "silence": "", "end": "", **row})
    transaction.changes.append(OwnersChanged())


def beat(transaction: Transaction, name: str) -> bool:
    """Lets the others know that an owner lives; False if it was taken for dead."""
    row = transaction.connection.execute(_beat, {"of_name": name, "now": transaction.now}).one_or_none()
    if row is not None and row.silence:
        transaction.connection.execute(_heard_again, {"of_name": name})
        _tell(transaction, name, "", row.silence)
    return row is not None


def withdraw(transaction: Transaction, name: str) -> None:
    """An owner is about to end, and begins nothing more: it offers nothing from now on."""
    if transaction.connection.execute(_withdraw, {"of_name": name}).rowcount:
        transaction.changes.append(OwnersChanged())
        workforce_changed(transaction)


def end_owner(transaction: Transaction, name: str) -> None:
    """An owner has given back what it held, and ends. One that could not does not end: it falls silent, and others take
    that over."""
    if any(each.held for each in owners(transaction.connection) if each.name == name):
        return
    transaction.living.discard(name)
    ended = transaction.connection.execute(_end, {"of_name": name, "now": transaction.now, "how": "stopped"})
    if ended.rowcount:
        transaction.changes.append(OwnersChanged())
        if owners(transaction.connection):  # else nobody is there to see it
            workforce_changed(transaction)


def as_owner(
    transaction: Transaction,
    name: str,
    verb: Callable[Concatenate[Transaction, P], T],
    /,
    *arguments: P.args,
    **named: P.kwargs,
) -> T:
    """Carries out a verb for an owner. Raises OwnerLost, and does nothing, if it was taken for dead. As one transaction
    writes at a time, nobody takes over from an owner that is just about to commit something."""
    if name not in transaction.living:
        if transaction.connection.execute(_alive, {"of_name": name}).one_or_none() is None:
            raise OwnerLost(name)
        transaction.living.add(name)
    return verb(transaction, *arguments, **named)


def note_silence(transaction: Transaction, name: str, seen: int, silent: float, left: float) -> None:
    """Says of what an owner holds that its beat has been missing for `silent` seconds, `seen` being the last one, and
    that it is taken over in `left` seconds."""
    since, until = transaction.now - silent, transaction.now + left
    said = f"no heartbeat from {told(name)} since {_clock(since)}, will be taken over at {_clock(until)}"
    values = {"of_name": name, "seen": seen, "said": said, "since": since, "until": until}
    if transaction.connection.execute(_silent, values).rowcount:
        _tell(transaction, name, said, "")


def take_over(transaction: Transaction, name: str, seen: int, silent: float) -> int | None:
    """Ends an owner whose beat has not moved from `seen` for `silent` seconds, and gives what it held to whoever comes
    first. Returns how many work items that were; None if it has moved, or somebody else was first."""
    held = transaction.connection.execute(_held, {"of_name": name, "seen": seen}).one_or_none()
    if held is None:
        return None
    if held.silence:
        _tell(transaction, name, "", held.silence)
    had = any(each.held for each in owners(transaction.connection) if each.name == name)
    how = f"{'taken over' if had else 'given up'} after {silent:.0f} s without a heartbeat"
    transaction.living.discard(name)
    transaction.connection.execute(_end, {"of_name": name, "now": transaction.now, "how": how})
    transaction.changes.append(OwnersChanged())
    rescued = rescue(transaction, name)
    workforce_changed(transaction)
    return rescued


def _tell(transaction: Transaction, name: str, said: str, instead_of: str) -> None:
    """Puts a sentence on every work item that the owner holds, and on their steps, or takes it off."""
    transaction.changes.append(OwnersChanged())
    for step in transaction.connection.execute(_running_steps).all():
        of_step = {"of_step": step.id, "said": said}
        items = transaction.connection.execute(_tell_items, {**of_step, "of_name": name}).rowcount
        if items or step.planned_by == name or step.reason == instead_of != "":
            usual = "" if step.planned else PLANNING
            of_step = {"of_step": step.id, "said": said or usual, "instead_of": instead_of or usual}
            transaction.connection.execute(_tell_step, of_step)
            transaction.changes.append(StepChanged(step.manager_id, step.id, step.name, step.status))


def _clock(at: float) -> str:
    """12:00:05, as the pages show times."""
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"
