"""Job Statistics: all jobs there are, by kind and status, in a table whose rows and columns add up."""

from __future__ import annotations

from app.queue.models import Kind
from app.queue.records import Statistics
from app.queue.status import Status
from app.web.painting.counts import Count, OpenFailures, Scope, paint_number
from app.web.pieces import Painter, Piece

ID = "statistics"

ROWS: tuple[tuple[Kind | None, str], ...] = (
    (Kind.MANAGER, "Manager jobs"),
    (Kind.STEP, "Steps"),
    (Kind.WORKER, "Work items"),
    (None, "All jobs"),
)


def paint_statistics(painter: Painter, statistics: Statistics) -> Piece:
    everything = Scope()
    numbers = {}
    for kind, _ in ROWS:
        counts = statistics.of_kind(kind)
        for status, number in [(None, counts.total), *counts.by_status().items()]:
            count = Count(everything, kind, status, number)
            numbers[f"{count.kind_name} {count.status_name}"] = painter.once(paint_number, count)
    rows = [(kind or "all", label) for kind, label in ROWS]
    unseen = OpenFailures(everything, statistics.open_failures)
    return painter.piece("statistics_table.html", ID, numbers, rows=rows, statuses=tuple(Status), open=unseen)
