"""Searches: the lines in which a text was found, kept as long as somebody leafs through them.

A line never changes, and new ones come at the end: what was found up to a line stays found, and only the lines that
have come since are searched. A reader whose snapshot is older than what was searched sees the part that it may.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from itertools import compress
from threading import Lock

from app.queue.log_reading import CODES_PER_LINE, LogFilter
from app.queue.models import Level
from app.queue.records import LevelCounts, StepRecord
from app.queue.snapshot import Snapshot

ROOM = 4_000_000
"""Lines that are kept found, eight bytes each. The searches used last stay."""

_LOWEST_BYTE = 0 if sys.byteorder == "little" else array("q").itemsize - 1


@dataclass(frozen=True, slots=True)
class Found:
    """Lines of one step that were found, in order, as codes (see CODES_PER_LINE): all up to the line `searched`."""

    codes: array[int]
    searched: int

    def up_to(self, line: int) -> Found:
        if line >= self.searched:
            return self
        return Found(self.codes[: bisect_left(self.codes, (line + 1) * CODES_PER_LINE)], line)

    def at_least(self, level: Level | None) -> Found:
        """Those at least as severe."""
        if level is None or level is Level.DEBUG:
            return self
        severe = bytes(severity >= tuple(Level).index(level) for severity in range(CODES_PER_LINE))
        passing = self._severities.translate(severe.ljust(256, b"\0"))
        return Found(array("q", compress(self.codes, passing)), self.searched)

    @property
    def levels(self) -> LevelCounts:
        severities = self._severities
        return LevelCounts(*(severities.count(severity) for severity in range(CODES_PER_LINE)))

    @property
    def _severities(self) -> bytes:
        """One byte per line. Done for all lines at once, as there may be a million."""
        lowest = memoryview(self.codes).cast("B")[_LOWEST_BYTE :: self.codes.itemsize].tobytes()
        return lowest.translate(bytes(byte % CODES_PER_LINE for byte in range(256)))

    def __len__(self) -> int:
        return len(self.codes)

    def lines(self, first: int, end: int) -> list[int]:
        """The numbers of the lines that were found first, second, ... counted from 0."""
        return [code // CODES_PER_LINE for code in self.codes[max(first, 0) : max(end, 0)]]

    def number_before(self, line: int) -> int:
        """How many of them precede a line."""
        return bisect_left(self.codes, line * CODES_PER_LINE)


class Searches:
    """What was found lately. It belongs to one database; several reader threads share it."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._found: OrderedDict[LogFilter, Found] = OrderedDict()
        self._lock = Lock()

    def find(self, snapshot: Snapshot, step: StepRecord, matching: LogFilter) -> Found:
        """The lines of the step that match, whatever their level."""
        with self._lock:
            known = self._found.get(matching, Found(array("q"), 0))
        if known.searched < step.log_count:
            fresh = snapshot.logs.matches(matching, known.searched)
            known = self._keep(matching, Found(known.codes + fresh, step.log_count))
        return known.up_to(step.log_count)

    def _keep(self, matching: LogFilter, found: Found) -> Found:
        with self._lock:
            self._found[matching] = found
            self._found.move_to_end(matching)
            while sum(len(each.codes) for each in self._found.values()) > self._room and len(self._found) > 1:
                self._found.popitem(last=False)
        return found
