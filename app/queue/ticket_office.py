"""Procrastinate's job manager, for tickets: it draws several at once and only as many as there is room for, and lets
what was claimed by them use them up. Imported where Procrastinate is at work, and nowhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

log = structlog.get_logger(__name__)

_SESSION = (
    # Whatever the statistics say, which are those of an empty table at times, the next ticket is found by the index of
    # what waits, in its order.
    "-c search_path=stepglass_engine -c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c timezone=UTC"
)
_DRAW = """
WITH RECURSIVE turns(turn, a_room, b_room, drawn) AS (
    SELECT 1, %(a_room)s::int, %(b_room)s::int,
           procrastinate_fetch_job_v2(%(a)s::varchar[] || %(b)s::varchar[], %(worker_id)s)
    UNION ALL
    SELECT turn + 1, left_for.a, left_for.b, procrastinate_fetch_job_v2(
               CASE WHEN left_for.a > 0 THEN %(a)s::varchar[] ELSE '{}' END
                   || CASE WHEN left_for.b > 0 THEN %(b)s::varchar[] ELSE '{}' END,
               %(worker_id)s)
      FROM turns, LATERAL (
          SELECT a_room - ((drawn).queue_name = ANY(%(a)s))::int AS a,
                 b_room - ((drawn).queue_name = ANY(%(b)s))::int AS b
      ) AS left_for
     WHERE (drawn).id IS NOT NULL AND left_for.a + left_for.b > 0 AND turn < greatest(%(a_room)s, %(b_room)s)
)
SELECT (drawn).id, (drawn).status, (drawn).task_name, (drawn).priority, (drawn).lock, (drawn).queueing_lock,
       (drawn).args, (drawn).scheduled_at, (drawn).queue_name, (drawn).attempts, (drawn).worker_id
  FROM turns WHERE (drawn).id IS NOT NULL
"""
"""Ends with the first turn that finds nothing: each may have to pass by all that waits for others."""
# Anew, as a ticket that was drawn may have a successor with the same queueing lock.
_GIVE_BACK = """
WITH given AS (
    DELETE FROM procrastinate_jobs WHERE id = ANY(%(ids)s) AND status <> 'todo'
    RETURNING queue_name, task_name, priority, queueing_lock, args
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args)
SELECT queue_name, task_name, priority, queueing_lock, args FROM given
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
"""
_NOTE_RESCUE = """
INSERT INTO last_rescue (at, tickets) VALUES (clock_timestamp(), %(tickets)s)
ON CONFLICT (one) DO UPDATE SET at = excluded.at, tickets = excluded.tickets
"""


@dataclass(frozen=True, slots=True)
class Share:
    """Up to that many tickets of these queues."""

    kind: str
    queues: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be drawn: of one share or two, by their priority alone; of both as many as of the larger one."""

    a: Share
    b: Share | None = None

    @property
    def shares(self) -> tuple[Share, ...]:
        return (self.a, self.b) if self.b else (self.a,)

    @property
    def most(self) -> int:
        return max(share.number for share in self.shares)


class Desk(Protocol):
    """Where it is known for what there is room."""

    async def order(self) -> Order | None:
        """Waits until there is room, and perhaps a ticket; None: nothing more is to be drawn."""

    def drew(self, order: Order, queues: Sequence[str]) -> None:
        """Tickets were found, in these queues."""

    def is_used_up(self, ticket_id: int) -> bool:
        """Whether it was, with what was claimed by it; asked once, at its end."""


class TicketOffice(JobManager):
    """Where tickets are drawn and given back."""

    def __init__(self, url: str, desk: Desk) -> None:
        """`url`: as libpq has it."""
        # All that it asks is one statement each.
        session = {"options": _SESSION, "autocommit": True, "application_name": "stepglass draws"}
        connector = PsycopgConnector(conninfo=url, min_size=1, max_size=3, timeout=5.0, kwargs=session)
        super().__init__(connector)
        self._desk = desk
        self._drawn: deque[Job] = deque()
        self.app = App(connector=connector)
        self.app.job_manager = self

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Raises ConnectorException."""
        try:
            async with self.app.open_async():
                yield
        except psycopg.Error as trouble:
            raise ConnectorException from trouble

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Several are drawn at once, as a draw is a transaction. None, unlike Procrastinate has it, only at the end."""
        while not self._drawn:
            order = await self._desk.order()
            if order is None:
                return None
            a, b = order.a, order.b
            values = {"a": list(a.queues), "a_room": a.number, "b": list(b.queues) if b else []}
            rows = await self.connector.execute_query_all_async(
                _DRAW, **values, b_room=b.number if b else 0, worker_id=worker_id
            )
            self._drawn.extend(map(Job.from_row, rows))
            self._desk.drew(order, [row["queue_name"] for row in rows])
        return self._drawn.popleft()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """A ticket that was used up is gone already; any other goes back."""
        assert job.id is not None
        if not self._desk.is_used_up(job.id):
            await self.give_back([job.id])

    async def give_back(self, ids: Sequence[int]) -> None:
        if ids:
            await self.connector.execute_query_async(_GIVE_BACK, ids=list(ids))

    async def give_back_drawn(self) -> None:
        """What was drawn and not begun."""
        ids = [job.id for job in self._drawn if job.id is not None]
        self._drawn.clear()
        await self.give_back(ids)

    async def rescue(self, lease: float) -> int:
        """Gives back what the dead have drawn: who was not heard of for that many seconds. Returns how many tickets."""
        stalled = await self.get_stalled_jobs(seconds_since_heartbeat=lease)
        ids = [job.id for job in stalled if job.id is not None]
        await self.give_back(ids)
        if ids:
            await self.connector.execute_query_async(_NOTE_RESCUE, tickets=len(ids))
        return len(ids)

    async def update_heartbeat(self, worker_id: int) -> None:
        """A heartbeat that cannot be stored must not be the last one, which it is where it raises."""
        try:
            await super().update_heartbeat(worker_id)
        except ConnectorException as trouble:
            log.warning("Procrastinate could not be told that this process lives", reason=_said(trouble))


def _said(trouble: BaseException) -> Any:
    return str(trouble.__cause__ or trouble).strip()
