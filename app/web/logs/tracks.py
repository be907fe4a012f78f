"""Tracks: the lines of one step under a filter, numbered by the step, counted, and reached from any place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from app.queue.log_reading import LogFilter, LogReading
from app.queue.models import Level
from app.queue.records import LevelCounts, LogLine, StepRecord
from app.queue.snapshot import Snapshot
from app.web.logs.query import LogQuery, LogZoom, Place
from app.web.logs.searches import Found, Searches


class Track:
    """The lines of one step that are shown. `levels`: how many there are of each level when none is asked for."""

    def __init__(
        self, logs: LogReading, step: StepRecord, matching: LogFilter, levels: LevelCounts, found: Found | None
    ) -> None:
        self.step = step
        self.levels = levels
        self.total = levels.at_least(matching.level)
        self._logs = logs
        self._matching = matching
        self._found = found
        """The lines, if they had to be searched for."""

    def ranks(self, first: int, count: int) -> tuple[LogLine, ...]:
        """Lines by their place among all that are shown, from 0."""
        if self._found is not None:
            return self._at(self._found.lines(first, first + count))
        if self._matching.level is None and self._matching.worker_id is None:
            return self._logs.window(self.step.id, first + 1, first + count)
        return self._logs.before(self._matching, None, count, skip=self.total - first - count)

    def after(self, line: int, limit: int) -> tuple[LogLine, ...]:
        if not self.total:
            return ()
        if self._found is not None:
            first = self._found.number_before(line + 1)
            return self._at(self._found.lines(first, first + limit))
        return self._logs.after(self._matching, line, limit)

    def before(self, line: int | None, limit: int) -> tuple[LogLine, ...]:
        if not self.total:
            return ()
        if self._found is not None:
            end = len(self._found) if line is None else self._found.number_before(line)
            return self._at(self._found.lines(end - limit, end))
        return self._logs.before(self._matching, line, limit)

    def number_before(self, line: int) -> int:
        """How many of the lines that were found precede a line."""
        return self._found.number_before(line) if self._found is not None else 0

    def found_at(self, place: int) -> int | None:
        """The number of the line that was found at that place among them."""
        numbers = self._found.lines(place, place + 1) if self._found is not None and place >= 0 else []
        return numbers[0] if numbers else None

    def _at(self, numbers: Sequence[int]) -> tuple[LogLine, ...]:
        return self._logs.at(self.step.id, numbers) if numbers else ()


class Tracks:
    """The tracks of a log, one after the other: a run's log is those of its steps in their order."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.all = tracks
        self.levels = LevelCounts.sum(track.levels for track in tracks)
        self.total = sum(track.total for track in tracks)

    def after(self, place: Place, limit: int) -> list[LogLine]:
        """Up to that many lines beyond a place."""
        return list(islice(self._forward(place, limit), limit))

    def before(self, place: Place, limit: int) -> list[LogLine]:
        """Up to that many lines that precede a place."""
        return list(islice(self._backward(place, limit), limit))[::-1]

    def next_found(self, place: Place) -> Place | None:
        step_id, line = place
        for track in self.all:
            if track.step.id >= step_id:
                at = track.number_before(line + 1) if track.step.id == step_id else 0
                if (found := track.found_at(at)) is not None:
                    return track.step.id, found
        return None

    def previous_found(self, place: Place) -> Place | None:
        step_id, line = place
        for track in reversed(self.all):
            if track.step.id <= step_id:
                at = track.number_before(line) if track.step.id == step_id else track.total
                if (found := track.found_at(at - 1)) is not None:
                    return track.step.id, found
        return None

    def rank(self, place: Place) -> int | None:
        """Which of all lines that were found a place is, from 1; None if it is none of them."""
        before = 0
        for track in self.all:
            if track.step.id == place[0]:
                at = track.number_before(place[1])
                return before + at + 1 if track.found_at(at) == place[1] else None
            before += track.total
        return None

    def _forward(self, place: Place, limit: int) -> Iterator[LogLine]:
        step_id, line = place
        for track in self.all:
            if track.step.id >= step_id:
                yield from track.after(line if track.step.id == step_id else 0, limit)

    def _backward(self, place: Place, limit: int) -> Iterator[LogLine]:
        step_id, line = place
        for track in reversed(self.all):
            if track.step.id <= step_id:
                yield from reversed(track.before(line if track.step.id == step_id else None, limit))


def tracks_of(snapshot: Snapshot, searches: Searches, zoom: LogZoom, query: LogQuery) -> Tracks:
    """The tracks of a log with the level and the text that are asked for."""
    kept = None if query.text or zoom.worker_id is not None else snapshot.logs.levels([step.id for step in zoom.steps])
    return Tracks([_track(snapshot, searches, zoom, query, step, kept) for step in zoom.steps])


def _track(
    snapshot: Snapshot,
    searches: Searches,
    zoom: LogZoom,
    query: LogQuery,
    step: StepRecord,
    kept: dict[int, LevelCounts] | None,
) -> Track:
    if query.text:
        wanted = LogFilter(step_id=step.id, worker_id=zoom.worker_id, text=query.text)
        found = searches.find(snapshot, step, wanted)
        levels = found.levels
        matching = _matching(step, zoom.worker_id, query.least, levels)
        return Track(snapshot.logs, step, matching, levels, found.at_least(matching.level))
    levels = kept[step.id] if kept is not None else snapshot.logs.levels_of_item(zoom.owner_id)
    return Track(snapshot.logs, step, _matching(step, zoom.worker_id, query.least, levels), levels, None)


def everyday_track(snapshot: Snapshot, step: StepRecord) -> Track:
    """What is shown of a step's log when nobody has asked for anything: all but the lines of debugging."""
    levels = snapshot.logs.levels([step.id])[step.id]
    return Track(snapshot.logs, step, _matching(step, None, Level.INFO, levels), levels, None)


def _matching(step: StepRecord, worker_id: int | None, least: Level, levels: LevelCounts) -> LogFilter:
    """Those lines of the step. Without a level where no line is below it: so they are found by their numbers alone."""
    level = None if levels.at_least(least) == levels.at_least(None) else least
    return LogFilter(step_id=step.id, worker_id=worker_id, level=level)
