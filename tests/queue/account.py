"""An independent account of what should be so.

It knows nothing of counters, SQL or orchestration: it keeps every work item by hand and says, from DESIGN's rules
alone, what its steps and runs should look like.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.queue.run_plan import FailureAction, OnError, StepPlan, Tolerance

ERRORS = {"boom": "boom <n>", "bang": "bang"}
"""What work items fail with, and what such failures have in common."""


@dataclass(eq=False)
class Item:
    """`by_failure`: it was cancelled because others failed, not by a person. `kept`: its attempts before the last, of
    which `lost` ended with their owner. `due_at`: before then it is nobody's to claim. `seen`: somebody has
    acknowledged that it failed."""

    name: str
    status: str = "pending"
    attempt: int = 0
    began: bool = False
    kept: int = 0
    lost: int = 0
    error: str = ""
    by_failure: bool = False
    due_at: float = 0.0
    seen: bool = False

    def run_again(self, due_at: float = 0.0) -> None:
        self.kept += self.began
        self.status, self.began, self.due_at, self.seen = "pending", False, due_at, False

    def end(self, error: str) -> None:
        self.status, self.error = "failed" if error else "completed", error


@dataclass(eq=False)
class Step:
    plan: StepPlan
    id: int
    status: str = "pending"
    began: bool = False
    by_failure: bool = False
    planner: int = 0
    planned: bool = False
    items: dict[int, Item] = field(default_factory=dict)
    lines: int = 0
    taken: bool = False
    """Its results are those of the run that this one repeats."""
    unplanned: str = ""
    """"open" or "seen", once its planning has failed."""

    @property
    def open_failures(self) -> int:
        unseen = sum(item.status == "failed" and not item.seen for item in self.items.values())
        return unseen + (self.unplanned == "open")

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
    began: bool = False
    number: int = 0
    """That of its definition."""
    limit: int | None = None
    """Work items at once, of all runs of its definition."""
    priority: int = 0

    @property
    def is_active(self) -> bool:
        return self.status in ("pending", "running")

    def before(self, first: str) -> list[Step]:
        """The steps whose results are taken when the run is repeated from that step on."""
        names = [step.plan.name for step in self.steps]
        again = set(names[names.index(first) :])
        while more := {s.plan.name for s in self.steps if again & set(s.plan.depends)} - again:
            again |= more
        return [step for step in self.steps if step.plan.name not in again]

    def settle(self) -> None:
        """Applies DESIGN's rules until nothing moves any more."""
        while self._end_a_step() or self._skip_a_step():
            pass
        if self.is_active and all(step.final for step in self.steps):
            fatal = [s for s in self.steps if s.status == "failed" and s.plan.on_error is not OnError.CONTINUE]
            own = [step.status for step in self.steps if not step.taken]
            stopped = "cancelled" in own and "failed" not in own and "completed" not in own
            self.status = "failed" if fatal else "cancelled" if stopped else "completed"

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
            before = _before(step, by_name)
            if step.status != "pending" or not all(other.final for other in before) or step.plan.always_run:
                continue
            if any(_bars(other) for other in before):
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
        self.cancel_items(step, by_failure=True)
        step.status = "failed"
        step.lines += 1
        if action is FailureAction.STOP_ALL:
            self.stop("failed")

    def stop(self, status: str) -> None:
        for step in self.steps:
            if step.final:
                continue
            never_started = step.status == "pending" and status != "cancelled"
            self.cancel_items(step, by_failure=status == "failed")
            step.status = "skipped" if never_started else "cancelled"
            step.by_failure = status == "failed"
            step.lines += 1
        self.status = status

    @staticmethod
    def cancel_items(step: Step, by_failure: bool) -> None:
        for item in step.items.values():
            if item.status in ("pending", "running"):
                item.status, item.by_failure = "cancelled", by_failure

    def retry(self, covered: list[Step], chosen: list[Item], whole: bool, cancelled: bool) -> bool:
        """The chosen work items run again; False if there is nothing to run again. What failed because of them goes on.
        `whole`: whole steps were asked for; `cancelled`: what a person cancelled, too."""
        stopped = [step for step in self.steps if step.status == "cancelled" and step.by_failure]
        reopened = [step for step in self.steps if step.final and any(item in chosen for item in step.items.values())]
        if whole:
            reopened += [
                step
                for step in covered
                if (step.status == "failed" and not step.planned)
                or step in stopped
                or (cancelled and step.status == "cancelled")
            ]
        if not chosen and not reopened:
            return False
        skipped = [step for step in self.steps if step.status == "skipped" and not step.taken]
        going_on = [step for step in (*reopened, *stopped) if step.began]
        starting = self._starting([step for step in (*reopened, *stopped, *skipped) if not step.began], going_on)
        if not chosen and not going_on and not starting:
            return False
        for step in self.steps:
            again = [item for item in step.items.values() if item in chosen]
            if step in going_on and (step.status == "failed" or step in stopped):
                again += [i for i in step.items.values() if i.status == "cancelled" and i.by_failure and i not in again]
            for item in again:
                item.run_again()
            step.lines += bool(again) or step in going_on or step in starting
        for step in (*going_on, *starting):
            step.status, step.by_failure = "running" if step in going_on else "pending", False
            step.planner = step.planner if step.planned else 0
            step.unplanned = ""
        if not self.is_active:
            self.status = "running" if self.began else "pending"
        self.settle()
        return True

    def _starting(self, waiting: list[Step], going_on: list[Step]) -> list[Step]:
        """Those steps that nothing bars from starting, now that others go on."""
        barred: list[Step] = []
        by_name = {step.plan.name: step for step in self.steps}
        while True:
            left = [step for step in waiting if step not in barred]
            more = [
                step
                for step in left
                if not step.plan.always_run
                and all(each.final and each not in (*going_on, *left) for each in _before(step, by_name))
                and any(_bars(each) for each in _before(step, by_name))
            ]
            if not more:
                return [step for step in self.steps if step in left]
            barred += more


def _before(step: Step, by_name: dict[str, Step]) -> list[Step]:
    return [by_name[name] for name in step.plan.depends]


def _bars(step: Step) -> bool:
    """Whether the steps after it are skipped."""
    if step.taken:
        return False
    return step.status in ("skipped", "cancelled") or (
        step.status == "failed" and step.plan.on_error is not OnError.CONTINUE
    )
