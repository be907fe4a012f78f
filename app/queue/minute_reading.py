"""Reading how much was done per minute."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection

from app.queue.records import MinuteRecord
from app.queue.status import Status
from app.queue.tables import minute_counter

_last = select(func.max(minute_counter.c.minute))
_counted = select(minute_counter).where(minute_counter.c.minute > bindparam("before"))


def minutes(connection: Connection, number: int) -> tuple[MinuteRecord, ...]:
    """So many minutes up to the last one in which a work item ended, the quiet ones between them too; empty if none
    ever did."""
    last = connection.execute(_last).scalar_one()
    if last is None:
        return ()
    rows = connection.execute(_counted, {"before": last - number})
    ended = {(row.minute, row.status): row.number for row in rows}
    return tuple(
        MinuteRecord(minute, ended.get((minute, Status.COMPLETED), 0), ended.get((minute, Status.FAILED), 0))
        for minute in range(last - number + 1, last + 1)
    )
