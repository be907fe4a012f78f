"""Two that work on one database, on different step types: each does what it offers, and the other's waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select

from app.queue.database import Database
from app.queue.limits import Limits
from app.queue.run_plan import StepPlan
from app.queue.snapshot import Snapshot
from app.queue.status import Status
from app.queue.tables import step_job, step_type_limit, worker_job
from app.work.registry import StepTypes
from app.work.step_type import StepType
from tests.work import trial_steps
from tests.work.conftest import Works
from tests.work.runners import running


class Rare(trial_steps.OnLoop):
    name = "rare"


@asynccontextmanager
async def offering(
    works: Works, label: str, *types: type[StepType[Any]], slots: int = 4, **told: str
) -> AsyncIterator[None]:
    async with running()(
        works.database,
        works.write,
        works.monitor,
        StepTypes(types),
        slots,
        alone=False,
        limits=tuple(told.items()),
        kind="worker",
        label=label,
    ):
        yield


def plan(name: str, type: str) -> StepPlan:
    return StepPlan(name, type, settings={"items": ["a", "b"]}, depends=())


SAID = "no worker offers the step type rare"


async def test_work_goes_to_those_who_offer_its_type_and_says_so_while_nobody_does(works: Works) -> None:
    async with offering(works, "common", trial_steps.OnLoop), offering(works, "page", trial_steps.OnLoop, slots=0):
        first = await works.start(plan("one", "on_loop"), plan("other", "rare"))
        await works.until(lambda snapshot: snapshot.run(first).steps[0].status is Status.COMPLETED)
        await works.until(lambda snapshot: snapshot.run(first).steps[1].reason == SAID)
        async with offering(works, "special", Rare):
            assert (await works.ended(first)).status is Status.COMPLETED
        assert by_whom(works) == {"one": {"common"}, "other": {"special"}}
        second = await works.start(plan("other", "rare"))
        await works.until(lambda snapshot: snapshot.run(second).steps[0].reason == SAID)


async def test_who_runs_nothing_says_what_nobody_offers(works: Works) -> None:
    async with offering(works, "page", trial_steps.OnLoop, slots=0):
        run = await works.start(plan("one", "on_loop"))
        await works.until(lambda snapshot: snapshot.run(run).steps[0].reason == SAID.replace("rare", "on_loop"))


async def test_the_strictest_limit_of_two_who_live_holds_until_it_ends(works: Works) -> None:
    async with offering(works, "lax", Rare, rare="5"):
        assert limits(works.database) == Limits(5)
        async with offering(works, "strict", trial_steps.OnLoop, rare="1"), offering(works, "untold", Rare):
            assert limits(works.database) == Limits(1)
        assert limits(works.database) == Limits(5)


def limits(database: Database) -> Limits:
    """As a claim finds them."""
    with database.read() as connection:
        (found,) = connection.execute(select(step_type_limit.c.most_running, step_type_limit.c.rate)).all()
    return Limits(*found)


def by_whom(works: Works) -> dict[str, set[str]]:
    """Who ran the work items of each step."""
    with works.database.read() as connection:
        query = select(step_job.c.name, worker_job.c.claimed_by).join(worker_job, worker_job.c.step_id == step_job.c.id)
        found = connection.execute(query).all()
    with Snapshot.of(works.database) as snapshot:
        labels = {owner.name: owner.label for owner in snapshot.owners(9)}
    return {step: {labels[by] for name, by in found if name == step} for step, _ in found}
