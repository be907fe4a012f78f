"""How far it goes: a model of what gives first. tests/bench/limits.py asks it.

Three simulations, each of one thing that everybody has to wait for: the write lock, which one transaction has at a
time; the interpreter of a server, which paints one view after the other; and its event loop, which sends one message
after the other. What they rest on stands in `Store`, `Page` and `Stored`; where that is from, in the document. Times
are seconds.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

MICRO, MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Store:
    """What writing takes. `claim` and `finish`: of a transaction, whatever is in it; `claimed`, `finished`, `line`: of
    each work item or log line in it. `round_trips`: under the lock, and `before` it. `handler`: of the event loop, for
    a work item that does nothing. `alone`: writing and handlers share one interpreter."""

    claim: float
    finish: float
    claimed: float
    finished: float
    line: float
    handler: float
    round_trips: int = 0
    before: int = 0
    alone: bool = False


SQLITE = Store(0.48 * MILLI, 0.55 * MILLI, 10 * MICRO, 29 * MICRO, 4 * MICRO, 10 * MICRO, alone=True)
POSTGRES = Store(1.8 * MILLI, 2.6 * MILLI, 21 * MICRO, 36 * MICRO, 11 * MICRO, 10 * MICRO, round_trips=10, before=1)
ROW_BY_ROW = Store(1.8 * MILLI, 2.5 * MILLI, 18 * MICRO, 52 * MICRO, 34 * MICRO, 10 * MICRO, round_trips=12, before=3)
"""PostgreSQL, when each row was a statement of its own."""


@dataclass(frozen=True)
class Page:
    """What showing takes. `paint`: the interpreter's time for a view, the mean of fifty different ones; `simple`: for
    the queue page. `message`: of sending one to one stream. `way`: from the server to the reader. `hear`: of reading
    what another process has committed. `pace`: from one message of a view to the next."""

    paint: float = 135 * MILLI / 50
    simple: float = 1.8 * MILLI
    message: float = 23.3 * MICRO
    way: float = 2.2 * MILLI
    hear: float = 21 * MICRO
    pace: float = 0.1


PAGE = Page()


@dataclass(frozen=True)
class Stored:
    """Bytes of a work item and of a log line with their indexes, and of the write-ahead log that an item with two lines
    makes."""

    item: int
    line: int
    log: int = 0


ON_SQLITE, ON_POSTGRES = Stored(290, 127), Stored(463, 212, log=1_950)


@dataclass(frozen=True)
class Load:
    """Work, of which there is always more waiting than can be done. `seconds`: of a work item, one fifth more or less;
    `lines`: that it logs. `way`: to the database and back. `disk`: of a commit. `gather`: for which a process waits
    before it writes, so that more comes together; ours wait for nothing."""

    processes: int = 1
    slots: int = 200
    seconds: float = 0.0
    lines: int = 2
    way: float = 0.0
    disk: float = 0.0
    gather: float = 0.0


@dataclass(frozen=True)
class Work:
    """What comes of it, per second. `busy`: the part of the time for which the lock is held; `together`: work items
    that end in one transaction; `late`: the 99th percentile from the end of a handler to the commit; `told`:
    transactions that others are told of."""

    rate: float
    busy: float
    together: float
    late: float
    told: float


@dataclass
class _Process:
    free: int
    ended: list[float] = field(default_factory=list)
    writes: bool = False
    idle_at: float = 0.0


@dataclass(frozen=True)
class _Batch:
    """What a process writes in one transaction."""

    process: _Process
    claimed: int
    ended: list[float]


class _Writing:
    """Processes that write whatever has gathered, each in one transaction at a time. While one waits for the lock, more
    gathers for its next."""

    def __init__(self, store: Store, load: Load) -> None:
        self._store, self._load, self._chance = store, load, random.Random(1)
        self._happening: list[tuple[float, int, str, _Batch]] = []
        self._waiting: deque[_Batch] = deque()
        self._numbers = count()
        self._locked = False
        self._counts = False
        self._held = 0.0
        self._endings = 0
        self._commits = 0
        self._delays: list[float] = []

    def run(self, warm: float, duration: float) -> Work:
        """Counts from `warm` on, when the first work items of all have ended."""
        for number in range(self._load.processes):
            process, slots = _Process(0), self._load.slots
            for slot in range(slots if self._load.seconds else 1):  # those of a while ago end one after the other
                at = number * MILLI + slot / slots * self._load.seconds
                self._at(at, "ended", _Batch(process, 1 if self._load.seconds else slots, []))
        while self._happening:
            now, _, what, batch = heappop(self._happening)
            if now > warm + duration:
                break
            self._counts = now >= warm
            getattr(self, f"_{what}")(now, batch)
            self._hand_in(now, batch.process)
            self._lock_next(now)
        return Work(
            len(self._delays) / duration,
            min(1.0, self._held / duration),
            len(self._delays) / max(self._endings, 1),
            _percentile(self._delays, 99),
            self._commits / duration,
        )

    def _at(self, when: float, what: str, batch: _Batch) -> None:
        heappush(self._happening, (when, next(self._numbers), what, batch))

    def _hand_in(self, now: float, process: _Process) -> None:
        if process.writes or not (process.free or process.ended):
            return
        process.writes = True
        self._at(now + self._load.gather + self._store.before * self._load.way, "ask", _Batch(process, 0, []))

    def _ask(self, _now: float, batch: _Batch) -> None:
        process = batch.process
        self._waiting.append(_Batch(process, process.free, process.ended))
        process.free, process.ended = 0, []

    def _lock_next(self, now: float) -> None:
        if self._locked or not self._waiting:
            return
        batch = self._waiting.popleft()
        begins = max(now, batch.process.idle_at) if self._store.alone else now
        lasts = self._lasts(batch)
        self._locked = True
        self._held += lasts * self._counts
        self._at(begins + lasts, "commit", batch)

    def _lasts(self, batch: _Batch) -> float:
        store, load, lasts = self._store, self._load, self._load.disk
        if batch.claimed:
            lasts += store.claim + batch.claimed * store.claimed + store.round_trips * load.way
        if ended := len(batch.ended):
            lasts += store.finish + ended * (store.finished + load.lines * store.line) + store.round_trips * load.way
        return lasts

    def _commit(self, now: float, batch: _Batch) -> None:
        process = batch.process
        self._locked = process.writes = False
        if self._counts:
            self._commits += 1
            self._endings += bool(batch.ended)
            self._delays += [now - end for end in batch.ended]
        ends = []
        process.idle_at = max(process.idle_at, now)
        for _ in range(batch.claimed):
            process.idle_at += self._store.handler
            ends.append(process.idle_at + self._load.seconds * self._chance.uniform(0.8, 1.2))
        if self._load.seconds:
            for end in ends:
                self._at(end, "ended", _Batch(process, 1, [end]))
        elif ends:  # they end in one turn of the loop
            self._at(ends[-1], "ended", _Batch(process, len(ends), ends))

    def _ended(self, _now: float, batch: _Batch) -> None:
        batch.process.free += batch.claimed
        batch.process.ended += batch.ended


def work(store: Store, load: Load, duration: float = 3.0) -> Work:
    """What so many processes do together."""
    return _Writing(store, load).run(1 + 2 * load.seconds, duration + load.seconds)


@dataclass(frozen=True)
class Seen:
    """What viewers get. `messages`: per stream and second; `median` and `late` (99th percentile): from commit to
    reader; `busy`: the part of a processor that the server takes."""

    messages: float
    median: float
    late: float
    busy: float


def views(number: int, elsewhere: float, duration: float = 60.0, page: Page = PAGE) -> Seen:
    """So many different views, of which every commit changes all, painted in turn by an interpreter that is busy with
    other things for a part `elsewhere` of its time."""
    lasts = page.paint / (1 - elsewhere)
    began: list[list[float]] = [[] for _ in range(number)]
    due = deque((0.0, view) for view in range(number))
    now = 0.0
    while now < duration:
        when, view = due.popleft()
        now = max(now, when)
        began[view].append(now)
        due.append((now + page.pace, view))
        now += lasts
    chance, delays = random.Random(2), []
    for _ in range(500):
        commit = chance.uniform(0, duration * 0.9)
        delays += [each[bisect_left(each, commit)] - commit + lasts + page.way for each in began]
    rounds = sum(map(len, began)) / number / duration
    busy = elsewhere + rounds * number * page.paint
    return Seen(rounds, _percentile(delays, 50), _percentile(delays, 99), busy)


def streams(number: int, between: float = 0.0615, duration: float = 60.0, page: Page = PAGE) -> Seen:
    """So many streams of one view, of a queue with a commit each `between` seconds."""
    sends = number * page.message
    now, sent, first, delays = 0.0, 0, 0, []
    commits = [between * place for place in range(int(duration / between))]
    while first < len(commits):
        now = max(now, commits[first])
        shown = bisect_left(commits, now + MICRO)
        painted = now + page.simple
        for commit in commits[first:shown]:
            delays += [painted - commit + page.way / 2 + sends * part / 20 for part in range(1, 21)]
        first, sent = shown, sent + 1
        now = max(now + page.pace, painted + sends)
    messages = sent / duration
    return Seen(messages, _percentile(delays, 50), _percentile(delays, 99), messages * (page.simple + sends))


def _percentile(figures: Sequence[float], percent: int) -> float:
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
