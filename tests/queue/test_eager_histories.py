"""Random histories in which some of what a transaction makes claimable is claimed in it: the account then reads as if
that had been claimed right after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis.stateful import invariant

from app.queue.changes import WorkAdded
from app.queue.database import Database
from app.queue.store.claim import ClaimedStep
from app.queue.store.eager import ClaimedEagerly, claim_eagerly, makes_claimable
from app.queue.writer import Commit, Followed, Transaction
from tests.queue.test_histories import HISTORIES, Histories, play
from tests.queue.test_ticket_histories import TicketHistories

OWNER = "a:1"
ENOUGH = 20
"""Of so many histories, some claim eagerly."""


class Eager(Histories):
    """As if a runner offered its room now and then, for all that comes or for work items alone."""

    offer = 0
    for_items = False
    claimed: ClaimedEagerly | None = None
    """What is not in the account yet."""

    def _open(self) -> None:
        self._account()
        super()._open()
        self.offer = 0
        self.writer.follow_up = self._follow_up

    def write(self, verb: Any, *arguments: Any) -> Any:
        self._account()
        return super().write(verb, *arguments)

    @invariant()
    def everything_is_accounted_for(self) -> None:
        if hasattr(self, "writer"):
            self._account()
            self.offer, self.for_items = self.moves % 4, self.moves % 8 < 4

    def _check(self) -> None:
        self._account()
        offer, self.offer = self.offer, 0
        super()._check()
        self.offer = offer

    def _follow_up(self, transaction: Transaction) -> Followed | None:
        if not self.offer or not makes_claimable(transaction):
            return None
        if self.for_items and not any(isinstance(change, WorkAdded) for change in transaction.changes):
            return None  # else nearly all offers would be used by what is to be planned
        transaction.living.add(OWNER)
        claimed = claim_eagerly(transaction, OWNER, {"trial"}, self.offer, self._shares)

        def followed(commit: Commit | None) -> None:
            assert commit
            self.offer, self.claimed = 0, claimed

        return followed

    def _shares(self, steps: Sequence[ClaimedStep], added: Mapping[int, int]) -> dict[int, int]:
        return {step.step_id: min(self.offer, added[step.step_id]) for step in steps}

    def _account(self) -> None:
        """Enters what was claimed, as soon as what came before it in the same transaction is in the account."""
        known = {step.id for _, step in self._steps()}
        if not (claimed := self.claimed) or any(plan.step.step_id not in known for plan in claimed.plans):
            return
        self.claimed = None
        for plan in claimed.plans:
            run, step = self._step(plan.step.step_id)
            assert not self._begins_nothing(run)
            step.status, step.planner, step.began = "running", plan.attempt, True
            run.status, run.began = "running", True
            self._drawn("a plan that was claimed eagerly")
        for item in claimed.items:
            run, step = self._step(item.step_id)
            mine = step.items[item.id]
            first = min(each for each, its in step.items.items() if its.status == "pending" and its.due_at <= self.now)
            assert item.id == first
            assert self._room(run, step) > 0
            assert not self._begins_nothing(run)
            mine.status, mine.began, mine.attempt = "running", True, mine.attempt + 1
            assert mine.attempt == item.attempt
            self._drawn("a work item that was claimed eagerly")


class EagerTickets(Eager, TicketHistories):
    """The same, where whatever is left must have tickets."""


def _play(database: Database, histories: int, kind: type[Eager]) -> None:
    drawn = play(database, histories, kind)
    if histories >= ENOUGH:
        assert {"a plan that was claimed eagerly", "a work item that was claimed eagerly"} <= drawn.keys()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_what_is_claimed_eagerly_is_claimed_by_the_rules(tmp_path: Path) -> None:
    _play(Database.in_directory(tmp_path), max(1, HISTORIES // 4), Eager)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_what_is_left_of_it_has_its_tickets(postgres_database: str) -> None:
    _play(Database(postgres_database), max(1, HISTORIES // 12), EagerTickets)
