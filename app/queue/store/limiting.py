"""How many work items of a step the limits let begin now. Counted in the transaction that lets them begin."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, text, update

from app.queue.among import among
from app.queue.limits import Limited, Limits, Rate, rate_of, scopes_of
from app.queue.status import Status
from app.queue.store.waiting import Wait
from app.queue.tables import limit_state, manager_job, step_counter, step_job, step_type_limit
from app.queue.waiting import clock
from app.queue.writer import Transaction

BUSY = 0.05
"""Seconds until a limit is looked at again that another process is just claiming under."""
MOST_HOLDERS = 3
"""Runs that are named as those that hold a limit."""

_running = (
    select(
        step_job.c.manager_id,
        manager_job.c.definition,
        step_job.c.name,
        step_job.c.type,
        step_counter.c.number,
    )
    .join(step_counter, step_counter.c.step_id == step_job.c.id)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(
        step_job.c.status == Status.RUNNING,
        step_counter.c.status == Status.RUNNING,
        step_counter.c.number > 0,
    )
)
# Held until the end of the transaction, so that no two processes count at once; none waits for another.
_hold = (
    select(limit_state.c.scope, limit_state.c.full_at)
    .where(among(limit_state.c.scope, "scopes"))
    .with_for_update(skip_locked=True)
)
_open = text("INSERT INTO limit_state (scope, full_at) VALUES (:scope, 0) ON CONFLICT DO NOTHING")
_use = update(limit_state).where(limit_state.c.scope == bindparam("of_scope")).values(full_at=bindparam("until"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no more work items may begin. `wait`: what is to be said, None if that stays as it is. `due_at`: when to ask
    again; None: whoever frees the limit lets it be known."""

    wait: Wait | None
    due_at: float | None


class Ledger:
    """What is used of the limits, while one claim goes through its steps. `limits`: all those that it falls under,
    whose rows it takes hold of at once, before it counts."""

    def __init__(self, transaction: Transaction, limits: Sequence[Limited]) -> None:
        self._transaction = transaction
        self._running: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._full_at = _take_hold(transaction, sorted({each.scope for each in limits})) if limits else {}
        if any(each.limits.work_items is not None for each in limits):
            for row in transaction.connection.execute(_running):
                for scope in scopes_of(row.definition, row.name, row.type):
                    self._running[scope][row.manager_id] += row.number

    def room(self, limits: Sequence[Limited]) -> int | None:
        """How many work items under these limits may begin; None if another process is just finding that out."""
        if any(each.scope not in self._full_at for each in limits):
            return None
        return max(0, min(room for each in limits for room in self._rooms(each)))

    def refusal(self, limits: Sequence[Limited], manager_id: int) -> Refusal | None:
        """Why no more of them may begin for that run, or None if more may."""
        now, due_at, wait = self._transaction.now, 0.0, None
        for each in limits:
            if each.scope not in self._full_at:
                return Refusal(None, now + BUSY)
            most = each.limits.work_items
            held = self._running[each.scope]
            if most is not None and held.total() >= most:
                return Refusal(_said_of_number(each, held, most, manager_id), None)
            if each.limits.rate is not None:
                rate = rate_of(each.limits.rate)
                full_at = rate.full_at(self._full_at[each.scope], now)
                if not rate.room(full_at, now) and rate.next_at(full_at) > due_at:
                    due_at = rate.next_at(full_at)
                    wait = _said_of_rate(each, rate, due_at)
        return Refusal(wait, due_at) if wait else None

    @property
    def is_unlimited(self) -> bool:
        """Nothing has to be counted."""
        return not self._full_at

    def took(self, limits: Sequence[Limited], manager_id: int, step: tuple[str, str, str], number: int) -> None:
        """So many work items of that run begin. `step`: its definition, name and type."""
        for scope in scopes_of(*step):
            self._running[scope][manager_id] += number
        for each in limits:
            if each.limits.rate is not None and number:
                rate = rate_of(each.limits.rate)
                until = rate.full_at(self._full_at[each.scope], self._transaction.now) + number * rate.interval
                self._full_at[each.scope] = until
                self._transaction.connection.execute(_use, {"of_scope": each.scope, "until": until})

    def _rooms(self, limited: Limited) -> list[int]:
        rooms, now = [], self._transaction.now
        if limited.limits.work_items is not None:
            rooms.append(limited.limits.work_items - self._running[limited.scope].total())
        if limited.limits.rate is not None:
            rate = rate_of(limited.limits.rate)
            rooms.append(rate.room(rate.full_at(self._full_at[limited.scope], now), now))
        return rooms


def _take_hold(transaction: Transaction, scopes: Sequence[str]) -> dict[str, float]:
    """By scope, what is stored of those that no other process has taken hold of."""
    held = {row.scope: row.full_at for row in transaction.connection.execute(_hold, {"scopes": scopes})}
    for scope in scopes:
        if scope not in held and transaction.connection.execute(_open, {"scope": scope}).rowcount:
            held[scope] = 0.0
    return held


def limits_of(row: Any) -> tuple[Limited, ...]:
    """The limits of a step, from its row with those of its run and its step type."""
    if (
        row.run_most_running is row.run_rate is row.most_running is None
        and row.rate is row.type_most_running is row.type_rate is None
    ):
        return ()
    definition, step, type = scopes_of(row.definition, row.name, row.type)
    found = (
        (definition, definition, row.run_most_running, row.run_rate),
        (step, f"step {row.name} of {row.definition}", row.most_running, row.rate),
        (type, f"step {type}", row.type_most_running, row.type_rate),
    )
    return tuple(
        Limited(scope, words, Limits(most, rate))
        for scope, words, most, rate in found
        if most is not None or rate is not None
    )


def set_type_limits(transaction: Transaction, limits: Mapping[str, Limits]) -> None:
    """From now on these are the limits of step types, and no others."""
    transaction.connection.execute(delete(step_type_limit))
    rows = [{"type": type, "most_running": each.work_items, "rate": each.rate} for type, each in limits.items()]
    if rows:
        transaction.connection.execute(insert(step_type_limit), rows)


def _said_of_number(limited: Limited, held: Mapping[int, int], most: int, manager_id: int) -> Wait:
    """limit 4 of 4 held by job 12 (step type crawler)"""
    others = sorted(each for each, number in held.items() if number and each != manager_id)
    holders = ["this run"] if held.get(manager_id) else []
    named = others[:MOST_HOLDERS]
    if named:
        holders.append(f"job{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}")
    if len(others) > len(named):
        holders.append(f"{len(others) - len(named):,} more")
    total = sum(held.values())
    by = " and ".join(filter(None, [", ".join(holders[:-1]), holders[-1]]))
    sentence = f"limit {total:,} of {most:,} held by {by} ({limited.words})"
    return Wait(limited.scope, sentence, others[0] if others else None)


def _said_of_rate(limited: Limited, rate: Rate, next_at: float) -> Wait:
    """rate limit 10/minute, next at 14:03:06 (step type http_request). No time where it would be another one at
    every look."""
    when = f", next at {clock(next_at)}" if rate.interval >= 1 else ""
    return Wait("", f"rate limit {limited.limits.rate}{when} ({limited.words})")
