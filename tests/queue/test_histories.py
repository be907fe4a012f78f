"""Random histories of a queue, held against an independent account of what should be so.

After every move all numbers that the store keeps, all that a snapshot shows and a recount from scratch must agree with
the account.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, product
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
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
from app.queue.limits import Limits
from app.queue.models import Kind
from app.queue.pauses import QUEUE, Scope
from app.queue.rerun_reading import repeating
from app.queue.run_plan import FailureAction, OnError, RunPlan, StepPlan, Tolerance
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import JobFilter, LogFilter, RunFilter, Snapshot
from app.queue.status import Status
from app.queue.store.acknowledge import Failures, acknowledge, reopen
from app.queue.store.cancel import cancel, cancel_item, cancel_step
from app.queue.store.claim import claim, release, release_plan, rescue
from app.queue.store.deadlines import time_out
from app.queue.store.delete import NotOver, delete_run, deletions_begun
from app.queue.store.finish import Ending, finish
from app.queue.store.limiting import set_type_limits
from app.queue.store.logging import Line, log
from app.queue.store.pause import NothingToPause, pause_as, resume_as
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan, spawn
from app.queue.store.priority import NothingToPrioritise, prioritise_as
from app.queue.store.rerun import NotRepeatable, rerun_as
from app.queue.store.retry import Again, NothingToRetry, retry
from app.queue.store.start import AlreadyRunning, start
from app.queue.tables import metadata, sequence
from app.queue.writer import Transaction, Writer
from tests.queue.account import ERRORS, Item, Run, Step

T = TypeVar("T")

HISTORIES = int(os.environ.get("HISTORIES", "12"))
"""How many histories are drawn; `make histories` draws thousands."""
SEED = int(os.environ.get("SEED", "1"))
"""Another number draws other histories."""
CHECKED = 1 if HISTORIES < 100 else 4
"""After so many moves everything is compared, on PostgreSQL after four; nothing that is wrong mends itself."""
ENOUGH = 5000
"""Of so many histories, everything that can happen has happened in some."""

HAPPENS = {
    *(f"cancel an item that is {status}" for status in ("pending", "running", "completed", "cancelled")),
    *(f"cancel a step that is {status}" for status in Status if status != "failed"),
    *(
        f"{end} a run that is {status}"
        for end in ("cancel", "timeout of")
        for status in ("pending", "running", "failed")
    ),
    *(f"retry of a{scope}" for scope in ("n item", " group", " step", " run")),
    *(f"retry of a{scope} and what was cancelled" for scope in ("n item", " step", " run")),
    "retry of a run beside which there is room for none",
    *(f"{verb} of the {scope}" for verb in ("pause", "resume") for scope in ("run", "definition", "queue")),
    *(f"tolerance exceeded: {action}" for action in FailureAction),
    *("claim of what is paused", "claim of what is not yet due", "attempt after a wait"),
    *("claim of what a limit allows no more of", "acknowledgement", "reopening"),
    *("release", "release of a plan", "rescue: run again", "rescue: lost too often", "delete"),
    *("rerun", "rerun from a step on", "rerun that is refused: AlreadyRunning", "rerun that is refused: NotRepeatable"),
}
"""What long forms have drawn in the end."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(OnError)),
        st.booleans(),
        st.sets(st.integers(0, 2), max_size=2),
    ),
    min_size=1,
    max_size=4,
)
SIZES = st.lists(st.integers(0, 4), min_size=1, max_size=3)
TOLERANCE = st.builds(Tolerance, st.integers(-1, 3), st.sampled_from(list(FailureAction)))
OVER = ("failed", "cancelled", "skipped")
PICK = st.integers(0, 10_000)
ENDINGS = st.tuples(
    PICK, st.booleans(), st.sampled_from([0, 0, 0, -1, 1]), st.sampled_from([False, False, False, True])
)
"""Which work item, whether it succeeds, by which attempt beside the current one, whether its error is permanent."""
LIMIT = st.sampled_from([None, None, 1, 2, 3])
PRIORITY = st.integers(-1, 1)
ANN = Actor(Place.PAGE, "ann")


class Histories(RuleBasedStateMachine):
    """One writer, many hands, on a database that is emptied before each history. `drawn`: how often what happened."""

    database: Database
    drawn: Counter[str]
    checked: int

    @initialize(shape=STEPS, tolerance=TOLERANCE, sizes=SIZES)
    def open(self, shape: Any, tolerance: Tolerance, sizes: list[int]) -> None:
        _empty(self.database)
        self.loop = asyncio.new_event_loop()
        self.runs: list[Run] = []
        self.number = 0
        self.moves = 0
        self.going: list[int] = []
        """Runs whose deletion has begun."""
        self.paused: set[Scope] = set()
        self.keys: list[str] = []
        """Those of the reruns so far."""
        self.now = 1_000_000.0
        self.lists = cycle(product((None, *Kind), Status))
        """The lists behind the numbers: one of them is looked at after each move."""
        self.type_limit: int | None = None
        self.last_revision = 0
        self._open()
        self.start_a_run(shape, tolerance, None, None, 0)
        self.plan_what_is_released(sizes, True, 1)

    def _open(self) -> None:
        async def make() -> Writer:
            return Writer(self.database, lambda commit: None)

        self.writer = self.loop.run_until_complete(make())

    def write(self, verb: Any, *arguments: Any) -> Any:
        def at_that_time(transaction: Transaction) -> Any:
            transaction.now = self.now
            return verb(transaction, *arguments)

        async def write() -> Any:
            return await self.writer(at_that_time)

        return self.loop.run_until_complete(write())

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            if self.moves % self.checked:
                self._check()
            self._close()
            self.loop.close()

    def _close(self) -> None:
        self.loop.run_until_complete(self.writer.close())

    @rule(shape=STEPS, tolerance=TOLERANCE, limit=LIMIT, of_steps=LIMIT, priority=PRIORITY)
    @precondition(lambda self: len(self.runs) < 4)
    def start_a_run(
        self, shape: Any, tolerance: Tolerance, limit: int | None, of_steps: int | None, priority: int
    ) -> None:
        plans = tuple(
            StepPlan(
                f"s{n}",
                "trial",
                "",
                tuple(f"s{d}" for d in sorted(depends) if d < n),
                on_error,
                always_run,
                limits=Limits(of_steps),
            )
            for n, (on_error, always_run, depends) in enumerate(shape)
        )
        self.number += 1
        number = (self.number + 1) // 2  # two runs of each definition
        run_plan = RunPlan(
            f"definition {number}",
            "Trial",
            plans,
            tolerance=tolerance,
            limits=Limits(limit),
            priority=priority,
            concurrency=9,
        )
        manager_id = self.write(start, run_plan)
        steps = [Step(step, manager_id + 1 + n) for n, step in enumerate(plans)]
        run = Run(manager_id, tolerance, steps, number=number, limit=limit, priority=priority)
        self.runs.append(run)

    @rule(limit=LIMIT)
    def limit_the_step_type(self, limit: int | None) -> None:
        self.type_limit = limit
        self.write(set_type_limits, {} if limit is None else {"trial": Limits(limit)})

    @rule(pick=PICK, priority=PRIORITY)
    @precondition(lambda self: self.runs)
    def change_a_priority(self, pick: int, priority: int) -> None:
        run = self.runs[pick % len(self.runs)]
        if run.is_active:
            assert self.write(prioritise_as, run.id, priority, ANN) == (priority != run.priority)
            run.priority = priority
        else:
            with pytest.raises(NothingToPrioritise):
                self.write(prioritise_as, run.id, priority, ANN)

    @rule(sizes=SIZES, end=st.booleans(), pick=PICK)
    @precondition(lambda self: self.runs)
    def plan_what_is_released(self, sizes: list[int], end: bool, pick: int) -> None:
        plans = self.write(claim_plans, 2)
        order = [(-self._step(claimed.step.step_id)[0].priority, claimed.step.step_id) for claimed in plans]
        assert order == sorted(order)
        for claimed in plans:
            run, step = self._step(claimed.step.step_id)
            assert not self._begins_nothing(run)
            step.status, step.planner, step.began = "running", claimed.attempt, True
            run.status, run.began = "running", True
            for number, size in enumerate(sizes):
                names = [f"{number}.{n}" for n in range(size)]
                self._expect_items(step, names, self.write(plan, step.id, step.planner, list(map(NewItem, names))))
            if pick % 8 == 0:
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
    @precondition(lambda self: self._planning())
    def end_some_planning(self, pick: int) -> None:
        planning = self._planning()
        self._end_planning(*planning[pick % len(planning)])

    def _planning(self) -> list[tuple[Run, Step]]:
        return [(r, s) for r, s in self._steps() if s.status == "running" and s.planner and not s.planned]

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
    @precondition(lambda self: self.runs)
    def claim_some(self, pick: int, most: int) -> None:
        run, step = self._rather(pick, self._with("pending"), self._steps())
        pending = {item_id: item for item_id, item in sorted(step.items.items()) if item.status == "pending"}
        due = [item_id for item_id, item in pending.items() if item.due_at <= self.now]
        if paused := self._begins_nothing(run):
            self._drawn("claim of what is paused", pending)
            due = []
        room = self._room(run, step)
        expected = due[: min(most, room)]
        claimed = self.write(claim, {step.id: most})
        assert [item.id for item in claimed.items] == expected
        is_full = not paused and len(expected) == room
        limited = is_full and len(due) > len(expected)
        assert claimed.limited == ({step.id} if limited else set())
        later = [] if paused or limited else [pending[each].due_at for each in pending if each not in expected]
        wanted = {} if len(expected) == most and not is_full else {step.id: min(later, default=None)}
        assert claimed.due_at == wanted
        self._drawn("claim of what is not yet due", any(wanted.values()))
        self._drawn("claim of what a limit allows no more of", limited)
        for item in claimed.items:
            mine = step.items[item.id]
            mine.status, mine.began = "running", True
            mine.attempt += 1
            assert mine.attempt == item.attempt

    def _room(self, run: Run, step: Step) -> int:
        """How many of the step's work items may begin, by every limit that there is."""
        rooms = [999]
        for limit, counted in (
            (self.type_limit, lambda other, its: True),
            (run.limit, lambda other, its: other.number == run.number),
            (
                step.plan.limits.work_items,
                lambda other, its: other.number == run.number and its.plan.name == step.plan.name,
            ),
        ):
            if limit is not None:
                at_work = sum(its.number("running") for other, its in self._steps() if counted(other, its))
                rooms.append(max(0, limit - at_work))
        return min(rooms)

    @rule(seconds=st.sampled_from([1, 2, 4, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(picks=st.lists(ENDINGS, min_size=1, max_size=4))
    @precondition(lambda self: self._with())
    def finish_some(self, picks: list[tuple[int, bool, int, bool]]) -> None:
        """Ends items of one step together, some by late attempts, some twice."""
        run, step = self._rather(picks[0][0], self._with("running"), self._with())
        endings = []
        ends: list[tuple[Item, str, bool]] = []
        ids = sorted(step.items)
        running = [item_id for item_id in ids if step.items[item_id].status == "running"]
        for pick, succeeds, late, permanent in picks:
            item_id = self._rather(pick, running, ids)
            attempt = step.items[item_id].attempt + late
            error = f"boom {pick}" if pick % 2 else "bang"
            endings.append(Ending(item_id, attempt, {"n": pick}, None if succeeds else error, permanent=permanent))
            if not late:
                ends.append((step.items[item_id], "" if succeeds else error.partition(" ")[0], permanent))
        self.write(finish, step.id, endings)
        # Successes are stored first: one statement for all of them.
        failed = False
        for item, error, permanent in sorted(ends, key=lambda end: bool(end[1])):
            if item.status != "running":
                continue
            step.lines += bool(error)
            if error and step.plan.on_error is OnError.RETRY and not permanent and item.attempt < 3:
                item.run_again(due_at=self.now + 2**item.attempt)
                self._drawn("attempt after a wait")
                continue
            item.end(error)
            failed = failed or bool(error)
        if failed:
            self._bear(run, step)
        run.settle()

    def _bear(self, run: Run, step: Step) -> None:
        was = step.status
        run.bear(step)
        self._drawn(f"tolerance exceeded: {run.tolerance.failure_action}", step.status != was)
        borne = run.tolerance.max_child_failures not in (-1, *range(step.number("failed"), 9))
        self._drawn(f"tolerance exceeded: {FailureAction.MARK_WARNING}", borne and step.status == was)

    def _with(self, *statuses: str) -> list[tuple[Run, Step]]:
        """The steps that have work items, of any of these statuses if there are some."""
        steps = [(run, step) for run, step in self._steps() if step.items]
        return [each for each in steps if any(map(each[1].number, statuses))] if statuses else steps

    @staticmethod
    def _rather(pick: int, better: list[T], all_of_them: list[T]) -> T:
        """Mostly one of those with which more happens, now and then any."""
        choice = better if better and pick % 8 else all_of_them
        return choice[pick // 8 % len(choice)]

    @rule(pick=PICK, names=st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    @precondition(lambda self: self._with())
    def spawn_from_one(self, pick: int, names: list[str]) -> None:
        owners = [(step, item_id) for _, step in self._steps() for item_id in step.items]
        step, item_id = owners[pick % len(owners)]
        item = step.items[item_id]
        accepted = self.write(spawn, step.id, item_id, item.attempt, list(map(NewItem, names)))
        assert accepted == (item.status == "running")
        if accepted:
            self._expect_items(step, names, True)

    @rule(pick=PICK, lines=st.integers(1, 5))
    @precondition(lambda self: self.runs)
    def log_something(self, pick: int, lines: int) -> None:
        steps = [step for _, step in self._steps()]
        step = steps[pick % len(steps)]
        owner = next(iter(step.items), None)
        self.write(log, [Line(step.id, owner, 1.0, "info", f"line {n}") for n in range(lines)])
        step.lines += lines

    # Work is done more often than it is disturbed.
    plan_more = plan_what_is_released
    claim_more = claim_yet_more = claim_some
    finish_more = finish_yet_more = finish_some

    @rule(pick=PICK)
    @precondition(lambda self: self._with("running") or self._planning())
    def give_something_back(self, pick: int) -> None:
        if self._planning() and (pick % 4 == 0 or not self._with("running")):
            self._give_a_plan_back(pick)
        else:
            self._give_an_item_back(pick)

    def _give_an_item_back(self, pick: int) -> None:
        running = [(s, i) for _, s in self._steps() for i, item in s.items.items() if item.status == "running"]
        step, item_id = running[pick % len(running)]
        item = step.items[item_id]
        self.write(release, step.id, [(item_id, item.attempt)])
        item.status, item.attempt, item.began = "pending", item.attempt - 1, False
        self._drawn("release")

    def _give_a_plan_back(self, pick: int) -> None:
        planning = self._planning()
        _, step = planning[pick % len(planning)]
        self.write(release_plan, step.id, step.planner)
        self.write(end_planning, step.id, step.planner)  # it comes too late
        step.planner = 0
        self._drawn("release of a plan")

    @rule(pick=PICK, what=st.sampled_from(["item", "item", "step", "run", "too long"]))
    @precondition(lambda self: self.runs)
    def cancel(self, pick: int, what: str) -> None:
        if what == "item" and self._with():
            self._cancel_an_item(pick)
        elif what in ("item", "step"):
            self._cancel_a_step(pick)
        else:
            self._cancel_a_run(pick, what == "too long")

    def _cancel_a_run(self, pick: int, takes_too_long: bool) -> None:
        run = self.runs[pick % len(self.runs)]
        could = run.is_active
        self._drawn(f"{'timeout of' if takes_too_long else 'cancel'} a run that is {run.status}")
        if takes_too_long:
            assert self.write(time_out, run.id, 7) == could
        else:
            assert self.write(cancel, run.id, "cancelled by a person") == could
        if could:
            run.stop("failed" if takes_too_long else "cancelled")

    def _cancel_a_step(self, pick: int) -> None:
        steps = self._steps()
        run, step = steps[pick % len(steps)]
        could = not step.final
        self._drawn(f"cancel a step that is {step.status}")
        assert self.write(cancel_step, step.id, "cancelled by a person") == could
        if could:
            run.cancel_items(step, by_failure=False)
            step.status, step.by_failure = "cancelled", False
            step.lines += 1
            run.settle()

    def _cancel_an_item(self, pick: int) -> None:
        items = [(r, s, item_id) for r, s in self._steps() for item_id in s.items]
        running = [(r, s, item_id) for r, s, item_id in items if s.items[item_id].status == "running"]
        run, step, item_id = self._rather(pick, running, items)
        item = step.items[item_id]
        could = item.status in ("pending", "running")
        self._drawn(f"cancel an item that is {item.status}")
        assert self.write(cancel_item, item_id, "cancelled by a person") == could
        if could:
            item.status, item.by_failure = "cancelled", False
            step.lines += 1
            run.settle()

    @rule(pick=PICK, of=st.sampled_from(["run", "definition", "queue"]), end=st.booleans())
    @precondition(lambda self: self.runs)
    def pause_or_resume(self, pick: int, of: str, end: bool) -> None:
        run = self.runs[pick % len(self.runs)]
        manager = run.id if of == "run" else None
        scope = Scope(f"definition {run.number}" if of == "definition" else None, manager)
        paused = self._paused()
        self._drawn(f"{'resume' if end else 'pause'} of the {of}", (scope in paused) == end)
        if end:
            assert self.write(resume_as, scope, ANN) == (scope in paused)
            self.paused.discard(scope)
        elif of == "run" and not run.is_active:
            with pytest.raises(NothingToPause):
                self.write(pause_as, scope, ANN)
        else:
            assert self.write(pause_as, scope, ANN) == (scope not in paused)
            self.paused.add(scope)

    def _paused(self) -> set[Scope]:
        """What is paused: with its end a run is not paused any more."""
        active = {run.id for run in self.runs if run.is_active}
        self.paused = {scope for scope in self.paused if scope.manager_id is None or scope.manager_id in active}
        return self.paused

    def _begins_nothing(self, run: Run) -> bool:
        return bool({QUEUE, Scope(f"definition {run.number}"), Scope(manager_id=run.id)} & self._paused())

    @rule(
        pick=PICK,
        scope=st.sampled_from(["run", "step", "item", "group"]),
        cancelled=st.booleans(),
        limited=st.booleans(),
    )
    @precondition(lambda self: self.runs)
    def retry_what_failed(self, pick: int, scope: str, cancelled: bool, limited: bool) -> None:
        over = [each for each in self._steps() if each[1].status in OVER or each[1].number("failed")]
        run, step = self._rather(pick, over, self._steps())
        covered = run.steps if scope == "run" else [step]
        items = {item_id: item for each in covered for item_id, item in each.items.items()}
        chosen = [item for item in items.values() if item.status == "failed"]
        scope = "group" if scope == "item" and not items else scope
        cancelled = cancelled and scope != "group"
        if cancelled:
            chosen += [item for item in items.values() if item.status == "cancelled"]
        again = Again(run.id, None if scope == "run" else step.id, cancelled=cancelled)
        if scope == "item":
            failed = [item_id for item_id, item in sorted(items.items()) if item.status == "failed"]
            item_id = self._rather(pick, failed, sorted(items))
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
        if limited and not run.is_active and self._in_progress(run) and not foreseen.is_nothing:
            with pytest.raises(AlreadyRunning):
                self.write(retry, again, "retried by a person", 1)
            self._drawn("retry of a run beside which there is room for none")
        elif run.retry(covered, chosen, scope in ("run", "step"), cancelled):
            self._drawn(f"retry of a{'n' * (scope == 'item')} {scope}{' and what was cancelled' if cancelled else ''}")
            done = self.write(retry, again, "retried by a person")
            assert (foreseen.items, list(foreseen.steps)) == (done.items, done.steps)
            for step_id, planner in planners:
                if not self._step(step_id)[1].planner:
                    self.write(end_planning, step_id, planner)  # one that was told to stop, and comes too late
        else:
            assert foreseen.is_nothing
            with pytest.raises(NothingToRetry):
                self.write(retry, again, "retried by a person")

    @rule(pick=PICK, first=st.integers(0, 3), whole=st.booleans(), twice=st.booleans())
    @precondition(lambda self: 0 < len(self.runs) < 4)
    def run_again(self, pick: int, first: int, whole: bool, twice: bool) -> None:
        """Starts a run that repeats another, wholly or from a step on."""
        over = [run for run in self.runs if not run.is_active and not self._in_progress(run)]
        original = self._rather(pick, over, self.runs)
        names = [step.plan.name for step in original.steps]
        start_at = None if whole else names[first % len(names)]
        plan_of_it = repeating(self._read(lambda snapshot: snapshot.plan_of(original.id)), original.id, start_at)
        taken = [] if start_at is None else original.before(start_at)
        key = f"again {len(self.keys)}"
        if any(not step.final for step in taken):
            refused: type[Exception] | None = NotRepeatable
        else:
            refused = AlreadyRunning if original.is_active or self._in_progress(original) else None
        if refused:
            with pytest.raises(refused):
                self.write(rerun_as, plan_of_it, ANN, key)
            self._drawn(f"rerun that is refused: {refused.__name__}")
            return
        manager_id = self.write(rerun_as, plan_of_it, ANN, key)
        self.keys.append(key)
        if twice:
            assert self.write(rerun_as, plan_of_it, ANN, key) == manager_id
        steps = [Step(step.plan, manager_id + 1 + n) for n, step in enumerate(original.steps)]
        for step, of_original in zip(steps, original.steps, strict=True):
            if of_original in taken:
                step.status, step.taken = "skipped", True
        run = replace(original, id=manager_id, steps=steps, status="pending", began=False)
        self.runs.append(run)
        run.settle()
        self._drawn("rerun" if not taken else "rerun from a step on")

    def _in_progress(self, run: Run) -> bool:
        """Whether another run of its definition is."""
        return any(other.is_active and other.number == run.number for other in self.runs if other is not run)

    @rule(pick=PICK, scope=st.sampled_from(["run", "step", "item", "group"]), back=st.booleans())
    @precondition(lambda self: self.runs)
    def acknowledge_what_failed(self, pick: int, scope: str, back: bool) -> None:
        failed = [each for each in self._steps() if each[1].unplanned or each[1].number("failed")]
        run, step = self._rather(pick, failed, self._steps())
        covered = run.steps if scope == "run" else [step]
        chosen = {key: item for each in covered for key, item in each.items.items() if item.status == "failed"}
        meant = Failures(run.id, None if scope == "run" else step.id)
        if scope == "item" and chosen:
            item_id = sorted(chosen)[pick % len(chosen)]
            chosen, meant = {item_id: chosen[item_id]}, replace(meant, worker_ids=(item_id,))
        elif scope == "item":
            scope = "step"
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
        assert self.write(*((reopen, meant, ANN) if back else (acknowledge, meant, "known", ANN))) == moved
        self._drawn("reopening" if back else "acknowledgement", moved)

    @rule(pick=PICK, most=st.integers(1, 9), batches=st.integers(1, 4))
    @precondition(lambda self: self.runs)
    def delete_a_run(self, pick: int, most: int, batches: int) -> None:
        run = self.runs[pick % len(self.runs)]
        if run.is_active:
            with pytest.raises(NotOver):
                self.write(delete_run, run.id, most)
            return
        self._drawn("delete")
        self.runs.remove(run)
        self.going.append(run.id)
        self._delete(run.id, most, batches)

    @rule(pick=PICK, most=st.integers(1, 9))
    @precondition(lambda self: self.going)
    def delete_some_more(self, pick: int, most: int) -> None:
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
                    again = item.lost < 2
                    item.lost, item.kept = item.lost + again, item.kept + again
                    item.status, item.began, item.error = ("pending", False, "") if again else ("failed", True, "lost")
                    step.lines += not again
                    spent = spent or not again
                    self._drawn(f"rescue: {'run again' if again else 'lost too often'}")
            if spent:
                self._bear(run, step)
            run.settle()

    @invariant()
    def every_number_is_the_same_everywhere(self) -> None:
        if hasattr(self, "writer"):
            self.moves += 1
            if self.moves % self.checked == 0:
                self._check()

    def _check(self) -> None:
        assert audit.check(self.database) == []
        self._read(self._compare)

    def _compare(self, snapshot: Snapshot) -> None:
        assert snapshot.revision >= self.last_revision
        self.last_revision = snapshot.revision
        shown = {run.id: run for run in snapshot.runs(RunFilter(), 100).runs}
        assert sorted(shown) == [run.id for run in self.runs]
        for run in self.runs:
            assert (shown[run.id].status, shown[run.id].priority) == (run.status, run.priority)
            assert (shown[run.id].paused is not None) == (self._begins_nothing(run) and run.is_active)
            for step, row in zip(run.steps, shown[run.id].steps, strict=True):
                assert (row.id, row.status, row.log_count) == (step.id, step.status, step.lines)
                assert row.reason or row.status is Status.RUNNING
                assert row.open_failures == step.open_failures
                for status in ("pending", "running", "completed", "failed", "cancelled"):
                    assert getattr(row.counts, status) == step.number(status)
                for item_id, item in step.items.items():
                    if item.kept:
                        attempts = snapshot.item(item_id).attempts
                        assert len(attempts) == item.kept + item.began
                        assert item.status == "running" or attempts[0].status != "running"
        statistics = snapshot.statistics()
        assert statistics.open_failures == sum(run.open_failures for run in shown.values())
        assert statistics.open_failures == snapshot.jobs(JobFilter(open=True), 1).total
        assert statistics.worker.total == sum(run.counts.total for run in shown.values())
        for _, step in self._steps()[self.moves % 7 :: 7]:
            assert snapshot.log(LogFilter(step_id=step.id), 3).total == step.lines
        kind, status = next(self.lists)
        number = statistics.of_kind(kind).by_status()[status]
        assert snapshot.jobs(JobFilter(kind=kind, status=status), 1).total == number

    def _read(self, reading: Any) -> Any:
        with Snapshot.of(self.database) as snapshot:
            return reading(snapshot)

    def _drawn(self, what: str, so: object = True) -> None:
        if so:
            self.drawn[what] += 1

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


def play(database: Database, histories: int, kind: type[Histories] = Histories) -> Counter[str]:
    """Draws that many histories; returns how often what happened in them."""
    bring_up_to_date(database)

    class OfThatDatabase(kind):  # type: ignore[valid-type, misc]
        pass

    OfThatDatabase.database, OfThatDatabase.drawn = database, Counter()
    OfThatDatabase.checked = CHECKED if database.is_sqlite else 4
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            seed(SEED)(OfThatDatabase),
            settings=settings(
                max_examples=histories,
                stateful_step_count=30,
                deadline=None,
                database=None,
                phases=[Phase.generate],  # a failing history is printed as it is: making it smaller takes minutes
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        database.close()
    if histories >= ENOUGH:
        assert HAPPENS - OfThatDatabase.drawn.keys() == set()
    return OfThatDatabase.drawn


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_history_ends_as_the_rules_say(tmp_path: Path) -> None:
    play(Database.in_directory(tmp_path), HISTORIES)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_history_ends_as_the_rules_say_on_postgresql(postgres_as_new: Callable[[], Database]) -> None:
    play(postgres_as_new(), max(1, HISTORIES * 5 // 12))
