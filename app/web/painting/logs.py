"""Log panels. A panel shows the end of a step's log in chunks of a fixed number of lines.

What it shows follows from the lines alone, those of debugging left out, so that a page that was open since the first
line and a page that is opened now show the same: a new line is appended to the last chunk, a full chunk is followed by
the next, and the chunk before the last two leaves the page. A line never changes once it is written, so neither does a
full chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.queue.models import Level
from app.queue.records import StepRecord
from app.queue.snapshot import Snapshot
from app.web import dom
from app.web.logs.tracks import Track, everyday_track
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


def chunk(painter: Painter, shelf: Shelf, track: Track, size: PanelSize, number: int) -> Piece:
    """The chunk of that number, with as many lines as it has by now; only the new ones are read and painted."""
    step = track.step
    key = (step.id, size, number)
    first = number * size.lines
    wanted = min(size.lines, track.total - first)
    known = shelf.get(key)
    if known and len(known.children) == wanted:
        return known
    children = known.children[:wanted] if known else ()
    if len(children) < wanted:
        lines = track.ranks(first + len(children), wanted - len(children))
        look = Look(dom.step_url(step.manager_id, step.name), size.characters)
        children += paint_lines(painter, lines, look)
    return shelf.put(key, painter.list("log_chunk.html", dom.job(step.id, f"lines-{number}"), children, label=None))


def paint_panel(
    painter: Painter, shelf: Shelf, snapshot: Snapshot, step: StepRecord, size: PanelSize, is_open: bool
) -> Piece:
    """The fold with the end of a step's log in it."""
    track = everyday_track(snapshot, step)
    total, hidden = track.total, track.levels.at_least(None) - track.levels.at_least(Level.INFO)
    first_chunk, last_chunk = last_chunks(total, size.lines)
    chunks = [chunk(painter, shelf, track, size, number) for number in range(first_chunk, last_chunk + 1) if total]
    lines = painter.list("log_lines.html", dom.job(step.id, "lines"), chunks, total=total)
    shown = total - first_chunk * size.lines
    head = painter.piece("log_head.html", dom.job(step.id, "log-head"), total=total, shown=shown, hidden=hidden)
    # Beside the head, whose own numbers cannot be links: it is a control already.
    url = f"{dom.step_url(step.manager_id, step.name)}#{dom.job(step.id, 'lines')}"
    every = painter.piece("log_all.html", dom.job(step.id, "log-all"), total=total, scope=Scope.of_step(step), url=url)
    children = {"head": head, "lines": lines, "all": every}
    return painter.piece("log_panel.html", dom.job(step.id, "log"), children, step=step, is_open=is_open)


def last_chunks(total: int, size: int) -> tuple[int, int]:
    """The numbers of the first and the last chunk that the end of a log shows."""
    last = max(total - 1, 0) // size
    return max(last - 1, 0), last
