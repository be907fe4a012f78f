"""The runner: claims what is to be done and sees it through, in the process that it is part of.

It never polls. The step monitor tells it of steps to plan and of items to claim, or tickets do that Procrastinate hands
out; what comes while it has nothing to do it claims eagerly; a clock tells of retries that fall due. `async def`
handlers run on the event loop, up to `slots` at once, plain `def` handlers in worker processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import structlog

from app import __version__
from app.queue.changes import (
    ItemsStopped,
    MuchChanged,
    OwnersChanged,
    PriorityChanged,
    RunChanged,
    RunDeleted,
    StepChanged,
    StepReleased,
    WorkAdded,
    WorkStopped,
)
from app.queue.database import Database
from app.queue.limits import limits_by_type
from app.queue.status import FINAL
from app.queue.step_monitor import StepMonitor
from app.queue.store.claim import ClaimedItem, ClaimedStep, release, release_plan, steps_of, workable_steps
from app.queue.store.deadlines import end_overdue
from app.queue.store.delete import deletions_begun
from app.queue.store.eager import ClaimedEagerly
from app.queue.store.held import not_held
from app.queue.store.owners import NewOwner, OwnerLost
from app.queue.store.plan import ClaimedPlan
from app.queue.store.workforce import note_not_offered
from app.queue.tickets import running_steps_of
from app.queue.whereabouts import new_name
from app.queue.writer import Commit, WriteFailed, Writer
from app.work.deadlines import Deadlines
from app.work.eager_claims import EagerClaims
from app.work.lanes import Lanes, by_step
from app.work.lease import Lease
from app.work.loop_work import LoopWork
from app.work.occupied import Occupied, attempts
from app.work.outbox import Outbox
from app.work.planning import Planning
from app.work.process_work import ProcessWork
from app.work.processes import ProcessPool, default_size
from app.work.step_type import StepType
from app.work.storing import until_stored
from app.work.sweeping import Sweeping
from app.work.tickets_in_hand import Room, TicketsInHand, claim_items, claim_plans
from app.work.watch import Watch

log = structlog.get_logger(__name__)

LEASE = 20.0
"""Seconds without a heartbeat after which others take over what a runner holds."""
TROUBLE_PAUSE = 0.5
"""Seconds until claiming is tried again after a fault."""


class Runner:
    """Runs steps of `step_types` (by name). Must be made on a running event loop.

    `slots`: how many work items run at once. Plain `def` ones run in as many processes as there are processors (and
    slots), one after the other; quick ones are handed to a process a few at a time, and count as running from then on.

    `alone`: no other runner can be at work on the database, as a lock proves. Otherwise each watches over the others,
    and `lease` is how many seconds one may be silent. `limits`: those of step types, as (name, "2" or "60/minute").
    `kind`, `label`: as whom it makes itself known, see `NewOwner`. `tickets`: those by which alone it claims; None: it
    claims whatever there is.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        monitor: StepMonitor,
        step_types: Mapping[str, type[StepType[Any]]],
        slots: int,
        lease: float = LEASE,
        alone: bool = True,
        limits: Iterable[tuple[str, str]] = (),
        kind: str = "server",
        label: str = "",
        tickets: TicketsInHand | None = None,
    ) -> None:
        url = database.address
        self._writer = writer
        self._monitor = monitor
        self._slots = slots
        self._listening = ExitStack()
        self._wake = asyncio.Event()
        self._step_types = step_types
        offers, told = tuple(step_types) if slots else (), limits_by_type(limits)
        owner = NewOwner(new_name(), lease, slots, __version__, kind, label, offers, told)
        for unknown in sorted(told.keys() - step_types):
            log.warning("a limit is for a step type that is not known here", step_type=unknown)
        self._lease = Lease(writer, owner, alone, self._holds_work, self._let_go)
        self._watch = None if alone else Watch(database, writer, lambda: self._lease.name, self._lease.interval)
        self._outbox = Outbox(self._lease, self._wake.set, database.clock)
        self._processes = ProcessPool(default_size(slots))
        self._tickets = tickets
        self._lanes = Lanes(step_types, database.clock.now, by_tickets=tickets is not None)
        self._eager = EagerClaims(writer, self._lease, step_types, self._begin_eagerly, self._hear, self._wake.set)
        self._loop_work = LoopWork(self._outbox, writer, url, self._wake.set)
        self._process_work = ProcessWork(self._outbox, writer, url, self._processes, slots, self._wake.set)
        self._planning = Planning(self._outbox, writer, url, self._processes, self._wake.set)
        self._sweeping = Sweeping(writer)
        self._plans_waiting = True
        self._behind = False
        self._deadlines = Deadlines(lambda *reached: self._spawn(self._end_overdue(*reached)), database.clock.now)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped_meanwhile: set[int] = set()
        self._items_stopped_meanwhile: set[int] = set()
        self._stopping = False
        self._hurry = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self.given_back: int | None = None
        """Work items, once it has stopped; None if that did not come to its end."""
        if tickets:
            tickets.wake, tickets.room = self._wake.set, self._room

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def processes(self) -> ProcessPool:
        return self._processes

    async def swept(self) -> None:
        """Waits until no deletion is on its way."""
        await self._sweeping.done()

    def running(self) -> list[Occupied]:
        """What has a slot."""
        on_loop = [Occupied(step, item, None, False) for step, item in self._loop_work.items()]
        return on_loop + [Occupied(*each) for each in self._process_work.items()]

    async def start(self) -> None:
        """Takes back what was running when the last owner died, and ends what it was deleting; then begins to work."""
        self._listening.enter_context(self._monitor.listening(self._hear))
        rescued = await self._lease.open()
        if rescued:
            log.info("work of a server that ended was taken back", items=rescued)
        for manager_id in await self._writer(deletions_begun):
            self._sweeping.sweep(manager_id)
        for step in await self._writer(workable_steps):
            self._open(step)
        self._main = asyncio.create_task(self._work(), name="runner")
        if self._watch:
            self._spawn(self._watch.run(looked=lambda: self._monitor.tell(OwnersChanged())))
        self._wake.set()

    def told_to_stop(self, hurry: bool) -> None:
        """The server is about to stop: claims no more. `hurry`: what runs is not waited for."""
        self._stopping = True
        self._eager.withdraw()
        if self._tickets:
            self._tickets.close()
        self._wake.set()
        if hurry:
            self._hurry.set()

    async def stop(self, grace: float = 2.0) -> None:
        """Claims no more, gives running items `grace` seconds to end, ends the rest and gives those back."""
        self._listening.close()
        self._deadlines.close()
        self._lanes.wake_no_more()
        self.told_to_stop(hurry=False)
        self._writer.storage.hurry()
        if self._main:
            await self._main  # not cancelled: what a claim on its way takes must be run or given back
        await self._eager.close()
        await self._lease.withdraw()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sweeping.stop()
        stopping = self._loop_work.stop(grace, self._hurry), self._process_work.stop(grace, self._hurry)
        *given_back, _ = await asyncio.gather(*stopping, self._planning.stop())
        await self._outbox.close()
        await self._lease.close()
        await self._processes.close()
        self.given_back = sum(given_back)

    def _hear(self, commit: Commit) -> None:
        self._eager.heard(commit)
        for change in commit.changes:
            match change:
                case StepReleased():
                    self._plans_waiting = True
                case WorkAdded(step_id, due_at):
                    self._lanes.fill(step_id, due_at)
                case StepChanged(step_id=step_id, status=status) if status in FINAL:
                    self._lanes.close(step_id)
                case WorkStopped(step_id, worker_ids):
                    self._stopped_meanwhile.add(step_id)
                    self._lanes.close(step_id)
                    self._planning.cancel(step_id)
                    self._loop_work.cancel(worker_ids)
                    self._process_work.cancel(worker_ids)
                case ItemsStopped(_, worker_ids):
                    self._items_stopped_meanwhile |= worker_ids
                    self._loop_work.cancel(worker_ids)
                    self._process_work.cancel(worker_ids)
                case RunChanged(manager_id, status) if status in FINAL:
                    self._deadlines.forget(manager_id)
                    self._lanes.forget_run(manager_id)
                case RunChanged(manager_id):
                    self._deadlines.look_again(manager_id)
                case PriorityChanged(manager_id, priority):
                    self._lanes.prioritise(manager_id, priority)
                case RunDeleted(manager_id) if not commit.by:
                    self._sweeping.sweep(manager_id)
                case MuchChanged():
                    self._behind = True
                case _:
                    continue
            self._wake.set()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._writer.storage.stops_work and not self._stopping:
                await self._writer.storage.another_try()  # what was finished waits to be stored: nothing new begins
            if self._stopping:
                return
            try:
                await self._catch_up()
                await self._claim_plans()
                await self._claim_items()
                if self._tickets:
                    self._tickets.look()
            except WriteFailed:
                await self._writer.storage.another_try()
                self._wake.set()
            except OwnerLost as lost:
                await self._lease.lost(str(lost))
            except Exception:
                # The runner outlives any single fault: whatever it was stays pending and is claimed again.
                log.exception("claiming failed")
                await asyncio.sleep(TROUBLE_PAUSE)
                self._wake.set()

    async def _catch_up(self) -> None:
        """Others have changed something, and it was not heard what: any step may have work, and anything that runs may
        have been ended."""
        if not self._behind or not self._eager.withdraw():
            return  # the answer of an offer wakes us
        self._behind = False
        try:
            over = await self._writer(not_held, attempts(self.running()))
            steps = await self._writer(workable_steps)
        except Exception:
            self._behind = True
            raise
        self._plans_waiting = True
        self._loop_work.cancel(over)
        self._process_work.cancel(over)
        self._lanes.close_all_but({step.step_id for step in steps})
        for step in steps:
            self._open(step)
            self._lanes.prioritise(step.manager_id, step.priority)
            self._lanes.fill(step.step_id, 0.0)

    async def _claim_plans(self) -> None:
        waiting = self._tickets.plans if self._tickets else self._plans_waiting
        if not waiting or (self._slots == 0 and self._lease.alone):
            return
        self._plans_waiting = False
        self._stopped_meanwhile.clear()
        try:
            owner = self._lease.name
            if self._slots == 0:
                await self._writer(note_not_offered)
                return
            plans = await claim_plans(self._tickets, self._lease, self._slots, self._step_types.keys())
        except Exception:
            self._plans_waiting = True
            raise
        if owner != self._lease.name:
            return
        self._plans_waiting = self._plans_waiting or len(plans) == self._slots
        self._lease.keep(plans)
        for plan in plans:
            if plan.step.step_id not in self._stopped_meanwhile:
                self._plan(plan)
            else:  # stopped, and perhaps begun anew, while the claim was on its way
                self._spawn(until_stored(self._writer, release_plan, plan.step.step_id, plan.attempt))

    def _plan(self, plan: ClaimedPlan) -> None:
        self._open(plan.step, is_empty=plan.attempt == 1)
        self._planning.start(plan, self._step_types[plan.step.type])  # only what is offered is claimed

    def _room(self) -> Room:
        if self._stopping or self._outbox.crowded:
            return Room(0, 0)
        return Room(self._slots - self._loop_work.running - self._process_work.running, self._process_work.free)

    async def _claim_items(self) -> None:
        if not self._eager.withdraw():
            return  # its answer wakes us
        by_ticket = self._tickets.items() if self._tickets else {}
        self._lanes.ask_for(by_ticket)
        await self._open_unknown_steps()
        if self._outbox.crowded:
            return  # a stored batch wakes us again
        if self._tickets:
            self._lanes.allow(by_ticket)
        free_slots = self._slots - self._loop_work.running - self._process_work.running
        wanted = self._lanes.wanted(free_slots, self._process_work.free, self._process_work.most_in_chunk)
        marks = self._lanes.marks(wanted)
        wanted.update((step_id, 1) for step_id in by_ticket if not self._lanes.get(step_id))  # tickets for what is over
        if not wanted:
            if free_slots > 0:
                self._lanes.wake_when_due(self._wake.set)
                if not (self._tickets and self._tickets.may_be_more()):
                    self._eager.offer(self._room())
            return  # an ending wakes us when nothing is free
        self._items_stopped_meanwhile.clear()
        owner = self._lease.name
        claimed = await claim_items(self._tickets, self._lease, wanted)
        if owner != self._lease.name:
            return  # taken over before we heard that they are ours
        self._lease.keep(claimed.items)
        gotten = {item.step_id for item in claimed.items}
        for step_id in wanted:
            self._lanes.answered(step_id, step_id in gotten, step_id in claimed.limited)
        for step_id, due_at in claimed.due_at.items():
            self._lanes.drained(step_id, due_at, marks.get(step_id, 0))
        stopped = [each for each in claimed.items if self._was_stopped_meanwhile(each)]
        self._run([each for each in claimed.items if not self._was_stopped_meanwhile(each)])
        for step_id, items in by_step(stopped):
            # They, or their step, were stopped while the claim was on its way: whichever are still ours go back.
            fences = [(item.id, item.attempt) for item in items]
            self._spawn(until_stored(self._writer, release, step_id, fences))
        self._wake.set()

    def _was_stopped_meanwhile(self, item: ClaimedItem) -> bool:
        return item.id in self._items_stopped_meanwhile or self._lanes.get(item.step_id) is None

    def _begin_eagerly(self, claimed: ClaimedEagerly) -> None:
        self._lease.keep([*claimed.items, *claimed.plans])
        for plan in claimed.plans:
            self._plan(plan)
        for step in claimed.steps:
            self._open(step, is_empty=True)
        self._run(claimed.items)

    def _run(self, claimed: list[ClaimedItem]) -> None:
        for step_id, items in by_step(claimed):
            if lane := self._lanes.get(step_id):
                (self._loop_work if lane.on_loop else self._process_work).start(lane, items)

    async def _open_unknown_steps(self) -> None:
        unknown = self._lanes.unknown()
        asked = running_steps_of if self._tickets else steps_of
        found = await self._writer(asked, unknown) if unknown else []
        for step in found:
            if step.step_id in self._lanes.unknown():  # it has not ended meanwhile
                self._open(step)
        self._lanes.forget_unknown(unknown)
        own = self._step_types if self._slots else {}
        if (self._slots or not self._lease.alone) and any(step.type not in own for step in found):
            await self._writer(note_not_offered, own.keys())

    def _open(self, step: ClaimedStep, is_empty: bool = False) -> None:
        self._lanes.open(step, is_empty)
        self._deadlines.watch(step.manager_id, step.deadline)

    async def _end_overdue(self, manager_id: int, reached: float) -> None:
        following = await until_stored(self._writer, end_overdue, manager_id, reached)
        self._deadlines.asked(manager_id, following)

    def _holds_work(self) -> bool:
        return bool(self._loop_work.running or self._process_work.running or self._planning.running) or (
            self._outbox.is_sending
        )

    async def _let_go(self) -> None:
        """Somebody else has taken over all that we held: ends it, and says nothing more of it."""
        await asyncio.gather(self._loop_work.let_go(), self._process_work.let_go(), self._planning.let_go())
        self._outbox.drop()
        self._wake.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
