"""The view of a log on its own page: levels with their totals, a search, a window of lines, and ways to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from app.queue.models import Level
from app.queue.records import LogLine
from app.queue.snapshot import Snapshot
from app.web import dom
from app.web.logs.query import LogQuery, LogZoom, Place
from app.web.logs.searches import Searches
from app.web.logs.tracks import Track, Tracks, tracks_of
from app.web.painting.log_lines import Look, paint_grouped, paint_lines
from app.web.painting.logs import last_chunks
from app.web.pieces import Painter, Piece
from app.web.shelf import Shelf

WINDOW = 250
"""Lines of a window, and of a chunk at the end of the log, where one to two chunks are shown."""
BEFORE_LINE = 100
"""Lines that a window shows before the line that is asked for."""

LEVELS = (
    (Level.DEBUG, "all", "all"),
    (Level.INFO, "info", "info or above"),
    (Level.WARN, "warn", "warn or above"),
    (Level.ERROR, "error", "error"),
)
"""What can be asked for: the least severe level, its name on the page, and how it reads."""


@dataclass(frozen=True, slots=True)
class LogPaint:
    """One paint of one log: what is asked for, and what it is made with."""

    painter: Painter
    shelf: Shelf
    searches: Searches
    snapshot: Snapshot
    zoom: LogZoom
    query: LogQuery

    def id(self, part: str) -> str:
        return dom.job(self.zoom.owner_id, part)

    @property
    def look(self) -> Look:
        query, zoom = self.query, self.zoom
        return Look(
            zoom.path,
            linked=True,
            has_steps=zoom.has_steps,
            says_who=zoom.worker_id is None,
            debugs=query.level is Level.DEBUG,
            text=query.text,
            wrap=query.wrap,
            chosen=self.chosen,
        )

    @property
    def chosen(self) -> Place | None:
        return None if self.query.line is None else self.zoom.parse(self.query.line)


@dataclass(frozen=True, slots=True)
class LevelChoice:
    """A level that can be asked for. `number`: how many lines there are at least that severe."""

    id: str
    scope: str
    name: str
    word: str
    number: int
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Hits:
    """What the search found. `rank`: which of the hits is the chosen line."""

    total: int
    scope: str
    all: str
    """The page that shows nothing but the hits."""
    text: str
    rank: int | None
    previous: str | None
    next: str | None
    only: str | None
    """The same page, where it is another one."""
    clear: str


@dataclass(frozen=True, slots=True)
class Window:
    """The lines that are shown, and the addresses of those before and after them."""

    chunks: Sequence[Piece]
    lines: int
    earlier: str | None
    later: str | None


def paint_log(paint: LogPaint) -> Piece:
    if paint.query.level is None and _is_of_debugging(paint):
        paint = replace(paint, query=paint.query.but(level=Level.DEBUG))
    zoom, query = paint.zoom, paint.query
    tracks = tracks_of(paint.snapshot, paint.searches, zoom, query)
    shown = tracks
    if query.text and query.line is not None:
        shown = tracks_of(paint.snapshot, paint.searches, zoom, query.but(text=None))
    window = _tail(paint, shown) if query.follows else _window(paint, shown)
    hidden = 0 if query.selects else shown.levels.at_least(None) - shown.total
    painter = paint.painter
    children = {
        "bar": _paint_bar(paint, shown),
        "hits": painter.once(_paint_hits, (paint.id("log-hits"), _hits(paint, tracks) if query.text else None)),
        "earlier": painter.same(
            "log_earlier.html",
            paint.id("log-earlier"),
            start=window.earlier and query.anywhere(after="0").url(zoom.path),
            earlier=window.earlier,
            lines=window.lines,
            total=shown.total,
        ),
        "lines": painter.list("log_lines.html", paint.id("lines"), window.chunks, total=shown.total),
        "empty": painter.same(
            "log_empty.html",
            paint.id("log-empty"),
            has_lines=window.lines > 0,
            query=query,
            total=shown.total,
            has_spoken=any(step.log_count for step in zoom.steps),
            is_final=all(step.is_final for step in zoom.steps),
            every=query.but(level=Level.DEBUG if hidden else None, text=None).anywhere().url(zoom.path),
            hidden=hidden,
        ),
        "later": painter.same(
            "log_later.html",
            paint.id("log-later"),
            later=window.later,
            end=None if query.follows else query.anywhere().url(zoom.path),
        ),
    }
    return painter.piece("log_view.html", paint.id("log"), children, zoom=zoom, query=query)


def _is_of_debugging(paint: LogPaint) -> bool:
    """Whether the line that is asked for would be missing among those shown by default."""
    if paint.chosen is None:
        return False
    step_id, number = paint.chosen
    return any(line.level is Level.DEBUG for line in paint.snapshot.logs.at(step_id, [number]))


def _paint_bar(paint: LogPaint, tracks: Tracks) -> Piece:
    zoom, query = paint.zoom, paint.query
    choices = {
        f"level_{name}": LevelChoice(
            paint.id(f"log-{name}"),
            zoom.scope,
            name,
            word,
            tracks.levels.at_least(level),
            query.but(level=None if level is Level.INFO else level, after=None, before=None).url(zoom.path),
            query.least is level,
        )
        for level, name, word in LEVELS
    }
    children = {name: paint.painter.once(_paint_choice, choice) for name, choice in choices.items()}
    level = None if query.level is Level.DEBUG else query.level
    download = LogQuery(level=level, text=query.text).url(zoom.download)
    wrap = query.but(wrap=not query.wrap).url(zoom.path)
    return paint.painter.same(
        "log_bar.html",
        paint.id("log-bar"),
        children,
        path=zoom.path,
        wider=tuple(zoom.wider),
        has_steps=zoom.has_steps,
        query=query,
        download=download,
        wrap=wrap,
        selects=level is not None or query.text is not None,
    )


def _paint_choice(painter: Painter, choice: LevelChoice) -> Piece:
    return painter.piece("log_level.html", choice.id, choice=choice)


def _hits(paint: LogPaint, tracks: Tracks) -> Hits:
    zoom, query, chosen = paint.zoom, paint.query, paint.chosen
    previous = tracks.previous_found(chosen) if chosen else None
    following = tracks.next_found(chosen or (0, 0))
    return Hits(
        total=tracks.total,
        scope=zoom.scope,
        all=query.anywhere().url(zoom.path),
        text=query.text or "",
        rank=tracks.rank(chosen) if chosen else None,
        previous=_line_url(paint, previous),
        next=_line_url(paint, following),
        only=query.anywhere().url(zoom.path) if chosen else None,
        clear=query.but(text=None).url(zoom.path),
    )


def _line_url(paint: LogPaint, place: Place | None) -> str | None:
    if place is None:
        return None
    step_id, line = place
    url = paint.query.anywhere(line=paint.zoom.place(step_id, line)).url(paint.zoom.path)
    return f"{url}#{dom.anchor(line, step_id if paint.zoom.has_steps else None)}"


def _paint_hits(painter: Painter, named: tuple[str, Hits | None]) -> Piece:
    hits_id, hits = named
    return painter.piece("log_hits.html", hits_id, hits=hits)


def _tail(paint: LogPaint, tracks: Tracks) -> Window:
    """The end of the log: the last one or two chunks of the last step, and of those before it, until it is enough."""
    chunks: list[Piece] = []
    lines = 0
    for track in reversed(tracks.all):
        if lines >= WINDOW:
            break
        if track.total:
            first, last = last_chunks(track.total, WINDOW)
            chunks[:0] = [_chunk(paint, track, number, number == first) for number in range(first, last + 1)]
            lines += track.total - first * WINDOW
            begins = track, first * WINDOW
    earlier = None
    if lines < tracks.total:
        track, place = begins
        begin = track.ranks(place, 1)
        earlier = paint.query.anywhere(before=paint.zoom.place(begin[0].step_id, begin[0].line)).url(paint.zoom.path)
    return Window(chunks, lines, earlier, None)


def _chunk(paint: LogPaint, track: Track, number: int, is_first: bool) -> Piece:
    """A chunk at the end of the log. Only new lines are read and painted, unless a group may go on in them."""
    first = number * WINDOW
    wanted = min(WINDOW, track.total - first)
    label = track.step.name if paint.zoom.has_steps and is_first else None
    key = (paint.look, track.step.id, paint.query.least, number, label)
    if wanted == WINDOW and (full := paint.shelf.get(key)):
        return full
    so_far = paint.shelf.get((*key, "so far"))
    if so_far and len(so_far.children) == wanted:
        return so_far
    entries = so_far.children[:wanted] if so_far else ()
    entries += _paint_entries(paint, track.ranks(first + len(entries), wanted - len(entries)))
    chunk = _list_of_entries(paint, track.step.id, number, entries, label)
    if wanted == WINDOW:
        return paint.shelf.put(key, chunk)
    return chunk if any(map(_is_group, entries)) else paint.shelf.put((*key, "so far"), chunk)


def _is_group(entry: Piece) -> bool:
    """A line has no pieces in it."""
    return bool(entry.children)


def _window(paint: LogPaint, tracks: Tracks) -> Window:
    """The lines at a place."""
    query, zoom = paint.query, paint.zoom
    if query.line is not None:
        step_id, number = zoom.parse(query.line)
        before = tracks.before((step_id, number), BEFORE_LINE)
        lines = before + tracks.after((step_id, number - 1), WINDOW - len(before))
    elif query.after is not None:
        lines = tracks.after(zoom.parse(query.after), WINDOW)
    else:
        lines = tracks.before(zoom.parse(query.before or "0"), WINDOW)
    if not lines:
        return Window((), 0, None, None)
    first, last = ((line.step_id, line.line) for line in (lines[0], lines[-1]))
    earlier = query.anywhere(before=zoom.place(*first)) if tracks.before(first, 1) else None
    later = query.anywhere(after=zoom.place(*last)) if tracks.after(last, 1) else None
    names = {step.id: step.name for step in zoom.steps}
    chunks = [
        _paint_chunk(paint, step_id, "here", tuple(of_step), names[step_id] if zoom.has_steps else None)
        for step_id, of_step in groupby(lines, key=lambda line: line.step_id)
    ]
    return Window(
        chunks, len(lines), earlier.url(zoom.path) if earlier else None, later.url(zoom.path) if later else None
    )


def _paint_chunk(
    paint: LogPaint, step_id: int, number: int | str, lines: Sequence[LogLine], label: str | None
) -> Piece:
    return _list_of_entries(paint, step_id, number, _paint_entries(paint, lines), label)


def _paint_entries(paint: LogPaint, lines: Sequence[LogLine]) -> tuple[Piece, ...]:
    paint_them = paint_lines if paint.query.selects else paint_grouped
    return paint_them(paint.painter, lines, paint.look)


def _list_of_entries(
    paint: LogPaint, step_id: int, number: int | str, entries: Sequence[Piece], label: str | None
) -> Piece:
    return paint.painter.list("log_chunk.html", dom.job(step_id, f"lines-{number}"), entries, label=label)
