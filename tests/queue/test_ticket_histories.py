"""Random histories in which work is claimed by tickets alone: whatever can be claimed has one, at every moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.queue.changes import Change
from app.queue.database import Database
from app.queue.engine import settle_engine
from app.queue.store.claim import claim
from app.queue.store.limiting import set_type_limits
from app.queue.store.plan import claim_plans
from app.queue.store.waiting import begin_anew
from app.queue.tickets import LATER, Ticket, claim_by_tickets, claim_plans_by_tickets, enqueue
from app.queue.writer import Transaction, Writer
from tests.queue.test_histories import HISTORIES, Histories, play

WAITING = sa.text(
    "SELECT id, args, queueing_lock FROM stepglass_engine.procrastinate_jobs WHERE status = 'todo'"
    " ORDER BY priority DESC, id"
)
STEPS = sa.text(
    "SELECT step_job.id, step_job.ready, step_job.status, min(worker_job.due_at) AS due_at FROM step_job"
    " LEFT JOIN worker_job ON worker_job.step_id = step_job.id AND worker_job.status = 'pending'"
    " WHERE step_job.status IN ('pending', 'running') GROUP BY step_job.id"
)


class TicketHistories(Histories):
    """As if somebody drew the tickets it takes before each claim; and eagerly, every one that comes to nothing."""

    def _open(self) -> None:
        settle_engine(self.database, "procrastinate")

        async def make() -> Writer:
            return Writer(self.database, lambda commit: None, self._enqueue)

        self.writer = self.loop.run_until_complete(make())

    def _enqueue(self, connection: sa.Connection, changes: list[Change]) -> None:
        enqueue(connection, changes, self.now)

    def write(self, verb: Any, *arguments: Any) -> Any:
        if verb is claim:
            return super().write(self._claim, *arguments)
        if verb is claim_plans:
            return super().write(self._claim_plans, *arguments)
        answer = super().write(verb, *arguments)
        if verb is set_type_limits:  # as whoever sets them does
            super().write(begin_anew)
        return answer

    def _claim(self, transaction: Transaction, wanted: dict[int, int]) -> Any:
        ((step_id, most),) = wanted.items()
        drawn: list[Ticket] = []
        for ticket, due_at in _waiting(transaction.connection):
            if ticket.step_id == step_id and ticket.most and due_at <= self.now and most > sum(t.most for t in drawn):
                drawn.append(ticket)
        if drawn:  # all that is wanted, although nobody may have counted so many
            drawn[-1] = replace(drawn[-1], most=max(drawn[-1].most, most))
        claimed, used = claim_by_tickets(transaction, wanted, "a:1", {step_id: drawn})
        assert used or not claimed.items, "claimed without a ticket"
        return claimed

    def _claim_plans(self, transaction: Transaction, most: int) -> Any:
        drawn = [ticket for ticket, _ in _waiting(transaction.connection) if not ticket.most]
        return claim_plans_by_tickets(transaction, "a:1", drawn[:most])

    def _check(self) -> None:
        super()._check()
        with self.database.read() as connection:
            waiting = _waiting(connection)
            steps = connection.execute(STEPS).all()
        shown = {step.id for _, step in self._steps()}
        for row in steps:
            if row.id in shown:
                self._check_step(row, [(t, due) for t, due in waiting if t.step_id == row.id])
        super().write(self._draw_in_vain)

    def _draw_in_vain(self, transaction: Transaction) -> None:
        due_at = {row.id: row.due_at for row in transaction.connection.execute(STEPS)}
        for ticket, drawn_at in _waiting(transaction.connection):
            known = [(run, step) for run, step in self._steps() if step.id == ticket.step_id]
            paused = any(self._begins_nothing(run) for run, _ in known)
            if not ticket.most:
                if paused or not known:
                    assert claim_plans_by_tickets(transaction, "a:1", [ticket]) == []
                continue
            nothing = due_at.get(ticket.step_id) is None or due_at[ticket.step_id] > self.now
            if drawn_at <= self.now and (paused or nothing or not all(self._room(*each) for each in known)):
                claimed, used = claim_by_tickets(transaction, {ticket.step_id: 1}, "a:1", {ticket.step_id: [ticket]})
                assert (claimed.items, used) == ([], [ticket.id])

    def _check_step(self, row: Any, waiting: list[tuple[Ticket, float]]) -> None:
        run, step = self._step(row.id)
        if self._begins_nothing(run):
            return
        assert not row.ready or any(not ticket.most for ticket, _ in waiting), "nobody will plan it"
        if row.due_at is not None and row.status == "running" and self._room(run, step):
            assert any(ticket.most and due_at <= max(row.due_at, self.now) + LATER for ticket, due_at in waiting), (
                "nobody will claim its work items"
            )


def _waiting(connection: Any) -> list[tuple[Ticket, float]]:
    """The tickets that wait, in their order, and when they can be drawn."""
    found = []
    for ticket_id, args, lock in connection.execute(WAITING):
        later = (lock or "").partition(" at ")[2]
        ticket = Ticket(ticket_id, args.get("step") or args["plan"], args.get("most", 0), args.get("again", False))
        found.append((ticket, int(later) * LATER if later else 0.0))
    return found


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_whatever_can_be_claimed_has_a_ticket(postgres_database: str) -> None:
    play(Database(postgres_database), max(1, HISTORIES // 12), TicketHistories)
