"""Log panels. A panel shows the end of a step's log in chunks of a fixed number of lines.

What it shows follows from the number of lines alone, so that a page that was open since the first line and a page
that is opened now show the same: a new line is appended to the last chunk, a full chunk is followed by the next, and
the chunk before the last two leaves the page. A line never changes once it is written, so neither does a full chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.records import StepRecord
from app.queue.snapshot import Snapshot
from app.web import dom
from app.web.painting.counts import Scope
from app.web.painting.log_lines import Look, paint_lines
from app.web.pieces import Painter, Piece
from app.web.shelf import Shelf


@dataclass(frozen=True, slots=True)
class PanelSize:
    """How much of a log a panel shows: one to two chunks of that many lines, and the start of very long lines."""

    lines: int
    characters: int


QUEUE_PANEL = PanelSize(5, 1_000)
RUN_PANEL = PanelSize(50, 4_000)


def chunk(painter: Painter, shelf: Shelf, snapshot: Snapshot, step: StepRecord, size: PanelSize, number: int) -> Piece:
    """The chunk of that number, with as many lines as it has by now; only the new ones are read and painted."""
    key = (step.id, size, number)
    first = number * size.lines + 1
    wanted = min(size.lines, step.log_count - first + 1)
    known = shelf.get(key)
    if known and len(known.children) == wanted:
        return known
    children = known.children[:wanted] if known else ()
    if len(children) < wanted:
        lines = snapshot.log_lines(step.id, first + len(children), first + wanted - 1)
        look = Look(dom.step_url(step.manager_id, step.name), size.characters)
        children += paint_lines(painter, lines, look)
    return shelf.put(key, painter.list("log_chunk.html", dom.job(step.id, f"lines-{number}"), children, label=None))


def paint_panel(
    painter: Painter, shelf: Shelf, snapshot: Snapshot, step: StepRecord, size: PanelSize, is_open: bool
) -> Piece:
    """The fold with the end of a step's log in it."""
    first_chunk, last_chunk = last_chunks(step.log_count, size.lines)
    chunks = [
        chunk(painter, shelf, snapshot, step, size, number)
        for number in range(first_chunk, last_chunk + 1)
        if step.log_count
    ]
    lines = painter.list("log_lines.html", dom.job(step.id, "lines"), chunks, total=step.log_count)
    shown = step.log_count - first_chunk * size.lines
    head = painter.piece("log_head.html", dom.job(step.id, "log-head"), step=step, shown=shown)
    # Beside the head, whose own numbers cannot be links: it is a control already.
    every = painter.piece(
        "log_all.html",
        dom.job(step.id, "log-all"),
        total=step.log_count,
        scope=Scope.of_step(step),
        url=f"{dom.step_url(step.manager_id, step.name)}#{dom.job(step.id, 'lines')}",
    )
    children = {"head": head, "lines": lines, "all": every}
    return painter.piece("log_panel.html", dom.job(step.id, "log"), children, step=step, is_open=is_open)


def last_chunks(total: int, size: int) -> tuple[int, int]:
    """The numbers of the first and the last chunk that the end of a log shows."""
    last = max(total - 1, 0) // size
    return max(last - 1, 0), last
