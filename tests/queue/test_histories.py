"""Random histories of a queue, held against an independent account of what should be so.

The account below knows nothing of counters, SQL or orchestration: it keeps every work item by hand and says, from
DESIGN's rules alone, what its steps and runs should look like. After every move all numbers that the store keeps, all
that a snapshot shows and a recount from scratch must agree with it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.queue import audit
from app.queue.database import Database
from app.queue.models import Kind
from app.queue.run_plan import FailureAction, OnError, RunPlan, StepPlan, Tolerance
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import JobFilter, LogFilter, RunFilter, Snapshot
from app.queue.status import Status
from app.queue.store.cancel import cancel
from app.queue.store.claim import claim, release, rescue
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan, spawn
from app.queue.store.start import start
from app.queue.writer import Writer

HISTORIES = int(os.environ.get("HISTORIES", "4"))
"""How many histories are drawn; `make histories` draws thousands."""


@dataclass
class Item:
    name: str
    status: str = "pending"
    attempt: int = 0


@dataclass
class Step:
    plan: StepPlan
    id: int
    status: str = "pending"
    planner: int = 0
    planned: bool = False
    items: dict[int, Item] = field(default_factory=dict)
    lines: int = 0

    def number(self, status: str) -> int:
        return sum(item.status == status for item in self.items.values())

    @property
    def final(self) -> bool:
        return self.status not in ("pending", "running")


@dataclass
class Run:
    id: int
    tolerance: Tolerance
    steps: list[Step]
    status: str = "pending"

    def settle(self) -> None:
        """Applies DESIGN's rules until nothing moves any more."""
        while self._end_a_step() or self._skip_a_step():
            pass
        if self.status in ("pending", "running") and all(step.final for step in self.steps):
            fatal = [s for s in self.steps if s.status == "failed" and s.plan.on_error is not OnError.CONTINUE]
            self.status = "failed" if fatal else "completed"

    def _end_a_step(self) -> bool:
        for step in self.steps:
            open_items = step.number("pending") + step.number("running")
            if step.status == "running" and step.planned and not open_items:
                done, failed, cancelled = (step.number(s) for s in ("completed", "failed", "cancelled"))
                if failed and not done and not cancelled:
                    step.status = "failed"
                elif cancelled and not done and not failed:
                    step.status = "cancelled"
                else:
                    step.status = "completed"
                step.lines += 1
                return True
        return False

    def _skip_a_step(self) -> bool:
        by_name = {step.plan.name: step for step in self.steps}
        for step in self.steps:
            before = [by_name[name] for name in step.plan.depends]
            if step.status != "pending" or not all(other.final for other in before) or step.plan.always_run:
                continue
            stopped = any(
                other.status in ("skipped", "cancelled")
                or (other.status == "failed" and other.plan.on_error is not OnError.CONTINUE)
                for other in before
            )
            if stopped:
                step.status = "skipped"
                step.lines += 1
                return True
        return False

    def bear(self, step: Step) -> None:
        """Checks the tolerance after a failure of the step."""
        allowed, action = self.tolerance.max_child_failures, self.tolerance.failure_action
        if allowed < 0 or action is FailureAction.MARK_WARNING or step.final:
            return
        run_failures = sum(each.number("failed") for each in self.steps)
        failures = run_failures if action is FailureAction.STOP_ALL else step.number("failed")
        if failures <= allowed:
            return
        self.cancel_items(step)
        step.status = "failed"
        step.lines += 1
        if action is FailureAction.STOP_ALL:
            self.stop("failed")

    def stop(self, status: str) -> None:
        for step in self.steps:
            if step.final:
                continue
            never_started = step.status == "pending" and status != "cancelled"
            self.cancel_items(step)
            step.status = "skipped" if never_started else "cancelled"
            step.lines += 1
        self.status = status

    @staticmethod
    def cancel_items(step: Step) -> None:
        for item in step.items.values():
            if item.status in ("pending", "running"):
                item.status = "cancelled"


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
PICK = st.integers(0, 10_000)


class Histories(RuleBasedStateMachine):
    """One writer, many hands."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.runs: list[Run] = []
        self.last_revision = 0
        self._open()

    def _open(self) -> None:
        self.database = Database.in_directory(Path(self.folder.name))
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
        run_plan = RunPlan(f"definition {len(self.runs)}", "Trial", plans, tolerance=tolerance)
        manager_id = self.write(start, run_plan)
        steps = [Step(step, manager_id + 1 + n) for n, step in enumerate(plans)]
        self.runs.append(Run(manager_id, tolerance, steps))

    @rule(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=3), end=st.booleans(), fail=st.booleans())
    @precondition(lambda self: self.runs)
    def plan_what_is_released(self, sizes: list[int], end: bool, fail: bool) -> None:
        for claimed in self.write(claim_plans, 2):
            run, step = self._step(claimed.step.step_id)
            step.status, step.planner = "running", claimed.attempt
            run.status = "running"
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
        run.cancel_items(step)
        step.planned, step.status = True, "failed"
        step.lines += 1
        run.settle()

    @rule(pick=PICK, most=st.integers(1, 4))
    def claim_some(self, pick: int, most: int) -> None:
        steps = [step for _, step in self._steps()]
        assume(steps)
        step = steps[pick % len(steps)]
        expected = [item_id for item_id, item in sorted(step.items.items()) if item.status == "pending"][:most]
        claimed = self.write(claim, {step.id: most}).items
        assert [item.id for item in claimed] == expected
        for item in claimed:
            mine = step.items[item.id]
            mine.status = "running"
            mine.attempt += 1
            assert mine.attempt == item.attempt

    @rule(picks=st.lists(st.tuples(PICK, st.booleans(), st.sampled_from([0, 0, 0, -1, 1])), min_size=1, max_size=4))
    def finish_some(self, picks: list[tuple[int, bool, int]]) -> None:
        """Ends items of one step together, some by late attempts, some twice."""
        steps = [(run, step) for run, step in self._steps() if step.items]
        assume(steps)
        run, step = steps[picks[0][0] % len(steps)]
        endings = []
        ends: list[tuple[Item, bool]] = []
        ids = sorted(step.items)
        for pick, succeeds, late in picks:
            item_id = ids[pick % len(ids)]
            attempt = step.items[item_id].attempt + late
            endings.append(Ending(item_id, attempt, {"n": pick}, None if succeeds else "boom"))
            if not late:
                ends.append((step.items[item_id], succeeds))
        self.write(finish, step.id, endings)
        # Successes are stored first: one statement for all of them.
        failed = False
        for item, succeeds in sorted(ends, key=lambda end: not end[1]):
            if item.status == "running":
                item.status = "completed" if succeeds else "failed"
                step.lines += not succeeds
                failed = failed or not succeeds
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
        item.status, item.attempt = "pending", item.attempt - 1

    @rule(pick=PICK)
    def cancel_a_run(self, pick: int) -> None:
        assume(self.runs)
        run = self.runs[pick % len(self.runs)]
        could = run.status in ("pending", "running")
        assert self.write(cancel, run.id, "cancelled by a person") == could
        if could:
            run.stop("cancelled")

    @rule()
    def crash_and_recover(self) -> None:
        """The owner ends with everything in its hands, and the next one takes it back."""
        self._close()
        self._open()
        self.write(rescue)
        for run, step in self._steps():
            if step.planner:
                self.write(end_planning, step.id, step.planner)  # a planner that comes too late
                step.planner = 0
            spent = False
            for item in step.items.values():
                if item.status == "running":
                    item.status = "pending" if item.attempt < 3 else "failed"
                    step.lines += item.status == "failed"
                    spent = spent or item.status == "failed"
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
            for step, row in zip(run.steps, shown[run.id].steps, strict=True):
                assert (row.id, row.status, row.log_count) == (step.id, step.status, step.lines)
                assert row.reason or row.status is Status.RUNNING
                for status in ("pending", "running", "completed", "failed", "cancelled"):
                    assert getattr(row.counts, status) == step.number(status)
                assert snapshot.log(LogFilter(step_id=step.id), 3).total == step.lines
        statistics = snapshot.statistics()
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


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failing history is printed as it is: making it smaller takes minutes
    suppress_health_check=list(HealthCheck),
)
