"""Random histories of a queue, held against an independent account of what should be so.

After every move all numbers that the store keeps, all that a snapshot shows and a recount from scratch must agree with
the account.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from app.queue import audit
from app.queue.actor import Actor, Place
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.pauses import QUEUE, Scope
from app.queue.run_plan import FailureAction, OnError, RunPlan, StepPlan, Tolerance
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import JobFilter, LogFilter, RunFilter, Snapshot
from app.queue.status import Status
from app.queue.store.acknowledge import Failures, acknowledge, reopen
from app.queue.store.cancel import cancel, cancel_item, cancel_step
from app.queue.store.claim import claim, release, rescue
from app.queue.store.delete import NotOver, delete_run, deletions_begun
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.pause import NothingToPause, pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan, spawn
from app.queue.store.retry import Again, NothingToRetry, retry
from app.queue.store.start import start
from app.queue.tables import metadata, sequence
from app.queue.writer import Writer
from tests.queue.account import ERRORS, Item, Run, Step

HISTORIES = int(os.environ.get("HISTORIES", "3"))
"""How many histories are drawn; `make histories` draws thousands."""


STEPS = st.lists(
    st.tuples(
        st.sampled_from([OnError.FAIL, OnError.CONTINUE]),
        st.booleans(),
        st.sets(st.integers(0, 2), max_size=2),
    ),
    min_size=1,
    max_size=4,
)
TOLERANCE = st.builds(Tolerance, st.integers(-1, 3), st.sampled_from(list(FailureAction)))
OVER = ("failed", "cancelled", "skipped")
PICK = st.integers(0, 10_000)
ANN = Actor(Place.PAGE, "ann")


class Histories(RuleBasedStateMachine):
    """One writer, many hands. `address`: that of an empty PostgreSQL database; without it SQLite is used."""

    address: str | None = None

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.runs: list[Run] = []
        self.number = 0
        self.going: list[int] = []
        """Runs whose deletion has begun."""
        self.paused: set[Scope] = set()
        self.last_revision = 0
        self._open()
        if self.address:
            _empty(self.database)

    def _open(self) -> None:
        self.database = Database(self.address) if self.address else Database.in_directory(Path(self.folder.name))
        bring_up_to_date(self.database)

        async def make() -> Writer:
            return Writer(self.database, lambda commit: None)

        self.writer = self.loop.run_until_complete(make())

    def write(self, verb: Any, *arguments: Any) -> Any:
        async def write() -> Any:
            return await self.writer(verb, *arguments)

        return self.loop.run_until_complete(write())

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self._close()
            self.loop.close()
            self.folder.cleanup()

    def _close(self) -> None:
        self.loop.run_until_complete(self.writer.close())
        self.database.close()

    @rule(shape=STEPS, tolerance=TOLERANCE)
    @precondition(lambda self: len(self.runs) < 4)
    def start_a_run(self, shape: Any, tolerance: Tolerance) -> None:
        plans = tuple(
            StepPlan(f"s{n}", "trial", "", tuple(f"s{d}" for d in sorted(depends) if d < n), on_error, always_run)
            for n, (on_error, always_run, depends) in enumerate(shape)
        )
        self.number += 1
        run_plan = RunPlan(f"definition {self.number}", "Trial", plans, tolerance=tolerance)
        manager_id = self.write(start, run_plan)
        steps = [Step(step, manager_id + 1 + n) for n, step in enumerate(plans)]
        self.runs.append(Run(manager_id, tolerance, steps, number=self.number))

    @rule(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=3), end=st.booleans(), fail=st.booleans())
    @precondition(lambda self: self.runs)
    def plan_what_is_released(self, sizes: list[int], end: bool, fail: bool) -> None:
        for claimed in self.write(claim_plans, 2):
            run, step = self._step(claimed.step.step_id)
            assert not self._begins_nothing(run)
            step.status, step.planner, step.began = "running", claimed.attempt, True
            run.status, run.began = "running", True
            for number, size in enumerate(sizes):
                names = [f"{number}.{n}" for n in range(size)]
                self._expect_items(step, names, self.write(plan, step.id, step.planner, list(map(NewItem, names))))
            if fail:
                self._fail_planning(run, step)
            elif end:
                self._end_planning(run, step)

    def _expect_items(self, step: Step, names: list[str], accepted: bool) -> None:
        assert accepted == (step.status == "running")
        if not accepted:
            return
        known = {item.name for item in step.items.values()}
        fresh = [name for name in names if name not in known]
        page = self._read(lambda snapshot: snapshot.jobs(self._of(step), 1000))
        ids = {job.name: job.id for job in page.jobs}
        for name in fresh:
            step.items[ids[name]] = Item(name)

    @rule(pick=PICK)
    def end_some_planning(self, pick: int) -> None:
        planning = [(r, s) for r, s in self._steps() if s.status == "running" and s.planner and not s.planned]
        assume(planning)
        self._end_planning(*planning[pick % len(planning)])

    def _end_planning(self, run: Run, step: Step) -> None:
        self.write(end_planning, step.id, step.planner - 1)
        self.write(end_planning, step.id, step.planner)
        step.planned = True
        run.settle()

    def _fail_planning(self, run: Run, step: Step) -> None:
        self.write(fail_planning, step.id, step.planner, "no reason")
        run.cancel_items(step, by_failure=True)
        step.status, step.unplanned = "failed", "open"
        step.lines += 1
        run.settle()

    @rule(pick=PICK, most=st.integers(1, 4))
    def claim_some(self, pick: int, most: int) -> None:
        steps = self._steps()
        assume(steps)
        run, step = steps[pick % len(steps)]
        expected = [item_id for item_id, item in sorted(step.items.items()) if item.status == "pending"][:most]
        if self._begins_nothing(run):
            expected = []
        claimed = self.write(claim, {step.id: most}).items
        assert [item.id for item in claimed] == expected
        for item in claimed:
            mine = step.items[item.id]
            mine.status, mine.began = "running", True
            mine.attempt += 1
            assert mine.attempt == item.attempt

    @rule(picks=st.lists(st.tuples(PICK, st.booleans(), st.sampled_from([0, 0, 0, -1, 1])), min_size=1, max_size=4))
    def finish_some(self, picks: list[tuple[int, bool, int]]) -> None:
        """Ends items of one step together, some by late attempts, some twice."""
        steps = [(run, step) for run, step in self._steps() if step.items]
        assume(steps)
        run, step = steps[picks[0][0] % len(steps)]
        endings = []
        ends: list[tuple[Item, str]] = []
        ids = sorted(step.items)
        for pick, succeeds, late in picks:
            item_id = ids[pick % len(ids)]
            attempt = step.items[item_id].attempt + late
            error = f"boom {pick}" if pick % 2 else "bang"
            endings.append(Ending(item_id, attempt, {"n": pick}, None if succeeds else error))
            if not late:
                ends.append((step.items[item_id], "" if succeeds else error.partition(" ")[0]))
        self.write(finish, step.id, endings)
        # Successes are stored first: one statement for all of them.
        failed = False
        for item, error in sorted(ends, key=lambda end: bool(end[1])):
            if item.status == "running":
                item.status, item.error = "failed" if error else "completed", error
                step.lines += bool(error)
                failed = failed or bool(error)
        if failed:
            run.bear(step)
        run.settle()

    @rule(pick=PICK, names=st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    def spawn_from_one(self, pick: int, names: list[str]) -> None:
        owners = [(step, item_id) for _, step in self._steps() for item_id in step.items]
        assume(owners)
        step, item_id = owners[pick % len(owners)]
        item = step.items[item_id]
        accepted = self.write(spawn, step.id, item_id, item.attempt, list(map(NewItem, names)))
        assert accepted == (item.status == "running")
        if accepted:
            self._expect_items(step, names, True)

    @rule(pick=PICK, lines=st.integers(1, 5))
    def log_something(self, pick: int, lines: int) -> None:
        steps = [step for _, step in self._steps()]
        assume(steps)
        step = steps[pick % len(steps)]
        owner = next(iter(step.items), None)
        self.write(log, [Line(step.id, owner, 1.0, "info", f"line {n}") for n in range(lines)])
        step.lines += lines

    @rule(pick=PICK)
    def give_one_back(self, pick: int) -> None:
        running = [(s, i) for _, s in self._steps() for i, item in s.items.items() if item.status == "running"]
        assume(running)
        step, item_id = running[pick % len(running)]
        item = step.items[item_id]
        self.write(release, step.id, [(item_id, item.attempt)])
        item.status, item.attempt, item.began = "pending", item.attempt - 1, False

    @rule(pick=PICK)
    def cancel_a_run(self, pick: int) -> None:
        assume(self.runs)
        run = self.runs[pick % len(self.runs)]
        could = run.status in ("pending", "running")
        assert self.write(cancel, run.id, "cancelled by a person") == could
        if could:
            run.stop("cancelled")

    @rule(pick=PICK)
    def cancel_a_step(self, pick: int) -> None:
        steps = self._steps()
        assume(steps)
        run, step = steps[pick % len(steps)]
        could = not step.final
        assert self.write(cancel_step, step.id, "cancelled by a person") == could
        if could:
            run.cancel_items(step, by_failure=False)
            step.status, step.by_failure = "cancelled", False
            step.lines += 1
            run.settle()

    @rule(pick=PICK)
    def cancel_an_item(self, pick: int) -> None:
        items = [(r, s, item_id) for r, s in self._steps() for item_id in s.items]
        assume(items)
        run, step, item_id = items[pick % len(items)]
        item = step.items[item_id]
        could = item.status in ("pending", "running")
        assert self.write(cancel_item, item_id, "cancelled by a person") == could
        if could:
            item.status, item.by_failure = "cancelled", False
            step.lines += 1
            run.settle()

    @rule(pick=PICK, of=st.sampled_from(["run", "definition", "queue"]), end=st.booleans())
    def pause_or_resume(self, pick: int, of: str, end: bool) -> None:
        assume(self.runs)
        run = self.runs[pick % len(self.runs)]
        manager = run.id if of == "run" else None
        scope = Scope(f"definition {run.number}" if of == "definition" else None, manager)
        paused = self._paused()
        if end:
            assert self.write(resume_as, scope, ANN) == (scope in paused)
            self.paused.discard(scope)
        elif of == "run" and run.status not in ("pending", "running"):
            with pytest.raises(NothingToPause):
                self.write(pause_as, scope, ANN)
        else:
            assert self.write(pause_as, scope, ANN) == (scope not in paused)
            self.paused.add(scope)

    def _paused(self) -> set[Scope]:
        """What is paused: with its end a run is not paused any more."""
        active = {run.id for run in self.runs if run.status in ("pending", "running")}
        self.paused = {scope for scope in self.paused if scope.manager_id is None or scope.manager_id in active}
        return self.paused

    def _begins_nothing(self, run: Run) -> bool:
        return bool({QUEUE, Scope(f"definition {run.number}"), Scope(manager_id=run.id)} & self._paused())

    @rule(pick=PICK, scope=st.sampled_from(["run", "step", "item", "group"]), cancelled=st.booleans())
    def retry_what_failed(self, pick: int, scope: str, cancelled: bool) -> None:
        steps = self._steps()
        assume(steps)
        # Rather one that something can be retried of.
        over = [each for each in steps if each[1].status in OVER or each[1].number("failed")]
        run, step = (over or steps)[pick % len(over or steps)]
        covered = run.steps if scope == "run" else [step]
        items = {item_id: item for each in covered for item_id, item in each.items.items()}
        chosen = [item for item in items.values() if item.status == "failed"]
        cancelled = cancelled and scope != "group"
        if cancelled:
            chosen += [item for item in items.values() if item.status == "cancelled"]
        again = Again(run.id, None if scope == "run" else step.id, cancelled=cancelled)
        if scope == "item":
            assume(items)
            item_id = sorted(items)[pick % len(items)]
            chosen = [item for item in chosen if item is items[item_id]]
            again = replace(again, worker_id=item_id)
        elif scope == "group":
            error = tuple(ERRORS)[pick % 2]
            chosen = [item for item in chosen if item.error == error]
            again = replace(again, pattern=ERRORS[error])
        planners = [(each.id, each.planner) for each in run.steps if not each.planned and each.planner]
        foreseen = self._read(lambda snapshot: snapshot.foresee(again))
        assert foreseen.total == sum(len(each.items) for each in run.steps)
        assert foreseen.kept == sum(each.number("completed") for each in run.steps)
        if run.retry(covered, chosen, scope in ("run", "step"), cancelled):
            done = self.write(retry, again, "retried by a person")
            assert (foreseen.items, list(foreseen.steps)) == (done.items, done.steps)
            for step_id, planner in planners:
                if not self._step(step_id)[1].planner:
                    self.write(end_planning, step_id, planner)  # one that was told to stop, and comes too late
        else:
            assert foreseen.is_nothing
            with pytest.raises(NothingToRetry):
                self.write(retry, again, "retried by a person")

    @rule(pick=PICK, scope=st.sampled_from(["run", "step", "item", "group"]), back=st.booleans())
    def acknowledge_what_failed(self, pick: int, scope: str, back: bool) -> None:
        steps = [each for each in self._steps() if each[1].unplanned or each[1].number("failed")]
        assume(steps)
        run, step = steps[pick % len(steps)]
        covered = run.steps if scope == "run" else [step]
        chosen = {key: item for each in covered for key, item in each.items.items() if item.status == "failed"}
        meant = Failures(run.id, None if scope == "run" else step.id)
        if scope == "item":
            assume(chosen)
            item_id = sorted(chosen)[pick % len(chosen)]
            chosen, meant = {item_id: chosen[item_id]}, replace(meant, worker_ids=(item_id,))
        elif scope == "group":
            error = tuple(ERRORS)[pick % 2]
            chosen = {key: item for key, item in chosen.items() if item.error == error}
            meant = replace(meant, pattern=ERRORS[error])
        moved = 0
        for each in covered:
            mine = [item for key, item in each.items.items() if key in chosen and item.seen is back]
            plans = scope in ("run", "step") and each.unplanned == ("seen" if back else "open")
            for item in mine:
                item.seen = not back
            if plans:
                each.unplanned = "open" if back else "seen"
            each.lines += bool(mine) or plans
            moved += len(mine) + plans
        ann = Actor(Place.PAGE, "ann")
        assert self.write(*((reopen, meant, ann) if back else (acknowledge, meant, "known", ann))) == moved

    @rule(pick=PICK, most=st.integers(1, 9), batches=st.integers(1, 4))
    def delete_a_run(self, pick: int, most: int, batches: int) -> None:
        assume(self.runs)
        run = self.runs[pick % len(self.runs)]
        if run.status in ("pending", "running"):
            with pytest.raises(NotOver):
                self.write(delete_run, run.id, most)
            return
        self.runs.remove(run)
        self.going.append(run.id)
        self._delete(run.id, most, batches)

    @rule(pick=PICK, most=st.integers(1, 9))
    def delete_some_more(self, pick: int, most: int) -> None:
        assume(self.going)
        self._delete(self.going[pick % len(self.going)], most, 1)

    def _delete(self, manager_id: int, most: int, batches: int) -> None:
        for _ in range(batches):
            if not self.write(delete_run, manager_id, most):
                self.going.remove(manager_id)
                return

    @rule()
    def crash_and_recover(self) -> None:
        """The owner ends with everything in its hands, and the next one takes it back, and ends what it deleted."""
        self._close()
        self._open()
        self.write(rescue)
        assert self.write(deletions_begun) == sorted(self.going)
        for manager_id in tuple(self.going):
            self._delete(manager_id, 1000, 1)
        assert not self.going
        for run, step in self._steps():
            if step.planner:
                self.write(end_planning, step.id, step.planner)  # a planner that comes too late
                step.planner = 0
            spent = False
            for item in step.items.values():
                if item.status == "running":
                    again = item.attempt - item.kept < 3
                    item.status, item.began, item.error = ("pending", False, "") if again else ("failed", True, "lost")
                    step.lines += not again
                    spent = spent or not again
            if spent:
                run.bear(step)
            run.settle()

    @invariant()
    def every_number_is_the_same_everywhere(self) -> None:
        if not hasattr(self, "writer"):
            return
        assert audit.check(self.database) == []
        self._read(self._compare)

    def _compare(self, snapshot: Snapshot) -> None:
        assert snapshot.revision >= self.last_revision
        self.last_revision = snapshot.revision
        shown = {run.id: run for run in snapshot.runs(RunFilter(), 100).runs}
        assert sorted(shown) == [run.id for run in self.runs]
        for run in self.runs:
            assert shown[run.id].status == run.status
            going_on = run.status in ("pending", "running")
            assert (shown[run.id].paused is not None) == (going_on and self._begins_nothing(run))
            for step, row in zip(run.steps, shown[run.id].steps, strict=True):
                assert (row.id, row.status, row.log_count) == (step.id, step.status, step.lines)
                assert row.reason or row.status is Status.RUNNING
                assert row.open_failures == step.open_failures
                for status in ("pending", "running", "completed", "failed", "cancelled"):
                    assert getattr(row.counts, status) == step.number(status)
                assert snapshot.log(LogFilter(step_id=step.id), 3).total == step.lines
                for item_id, item in step.items.items():
                    if item.kept:
                        attempts = snapshot.item(item_id).attempts
                        assert len(attempts) == item.kept + item.began
                        assert item.status == "running" or attempts[0].status != "running"
        statistics = snapshot.statistics()
        assert statistics.open_failures == sum(run.open_failures for run in shown.values())
        assert statistics.open_failures == snapshot.jobs(JobFilter(open=True), 1).total
        assert statistics.worker.total == sum(run.counts.total for run in shown.values())
        for kind in (None, *Kind):
            for status, number in statistics.of_kind(kind).by_status().items():
                assert snapshot.jobs(JobFilter(kind=kind, status=status), 1).total == number

    def _read(self, reading: Any) -> Any:
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)

    def _steps(self) -> list[tuple[Run, Step]]:
        return [(run, step) for run in self.runs for step in run.steps]

    def _step(self, step_id: int) -> tuple[Run, Step]:
        return next((run, step) for run, step in self._steps() if step.id == step_id)

    def _of(self, step: Step) -> JobFilter:
        run, _ = self._step(step.id)
        return JobFilter(kind=Kind.WORKER, manager_id=run.id, step_name=step.plan.name)


def _empty(database: Database) -> None:
    """As new, which costs less than a new one."""
    with database.writing.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not sequence:
                connection.execute(delete(table))
        connection.execute(delete(sequence).where(sequence.c.name.not_in(("job", "revision"))))


def _play(address: str | None, histories: int) -> None:
    class OfThatDatabase(Histories):
        pass

    OfThatDatabase.address = address
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        OfThatDatabase,
        settings=settings(
            max_examples=histories,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a failing history is printed as it is: making it smaller takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_history_ends_as_the_rules_say() -> None:
    _play(None, HISTORIES)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_history_ends_as_the_rules_say_on_postgresql(postgres_database: str) -> None:
    _play(postgres_database, max(1, HISTORIES // 4))
