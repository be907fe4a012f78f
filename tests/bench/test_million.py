"""Every page, fragment and list costs the same with a million work items and log lines as with a thousand.

What counts is how long the server's threads are at work for an answer: beside other programs that time stays the same,
and the time that the client waits does not. That is shown too.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from tests.bench.filled import Filled, fill
from tests.web.theatre import Theatre

pytestmark = pytest.mark.timeout(1800)  # most of it to fill the tables

FEW, ENOUGH, MANY = 1_000, 100_000, 1_000_000
"""With `ENOUGH` there is no list that does not fill its page."""
ROUNDS = 11
LONGEST = 30.0
"""Milliseconds that an answer may take."""
LONGEST_SEARCH = 1000.0
"""Milliseconds that an answer may take that has to look for text in the million."""
MOST_TIMES = 1.5
FULLER = 1.1
"""Times the bytes, from which on an answer shows more entries and not only longer numbers."""

PAGES = (
    "/queue",
    "/queue?status=completed",
    "/queue?definition=definition_3",
    "/queue?tag=tag_2",
    "/queue?from=2027-01-15T08:00&to=2027-01-15T09:00",
    "/jobs",
    "/jobs?kind=manager",
    "/jobs?kind=step&status=completed",
    "/jobs?kind=worker",
    "/jobs?kind=worker&status=failed",
    "/jobs?kind=worker&status=pending",
    "/jobs?kind=worker&status=completed",
    "/jobs?kind=worker&definition=definition_3",
    "/jobs?kind=worker&tag=tag_2",
    "/jobs?kind=worker&from=2027-01-15T08:00&to=2027-01-15T09:00",
    "/jobs?kind=worker&manager_id={running}",
    "/jobs?kind=worker&status=failed&manager_id={running}&step=import_files&failure=the+model+gave+no+answer",
    "/jobs?kind=worker&manager_id={running}&step=import_files&status=completed",
    "/jobs/{running}",
    "/jobs/{ended}",
    "/jobs/{running}/steps/import_files",
    "/jobs/{running}/steps/import_files?level=error",
    "/jobs/{running}/steps/import_files?after=0",
    "/jobs/{running}/steps/import_files?line={line}",
    "/jobs/{running}/log",
    "/jobs/{item}",
    "/documents",
    "/documents?manager_id={running}",
    "/documents?step_id={step}",
    "/documents?worker_id={item}",
    "/fragments/statistics",
    "/fragments/throughput",
    "/fragments/jobs/{running}",
    "/fragments/jobs/{running}/head",
    "/fragments/jobs/{running}/timeline",
    "/fragments/jobs/{item}",
    "/fragments/jobs/{item}/log",
    "/fragments/steps/{step}",
    "/fragments/documents",
    "/fragments/steps/{step}/log?level=warn",
    "/fragments/jobs/{running}/log",
    "/api/jobs",
    "/api/jobs?kind=worker&status=failed&limit=500",
    "/api/jobs/stats",
    "/api/jobs/{running}",
    "/api/jobs/{running}/structure",
    "/api/jobs/{running}/tree",
    "/api/jobs/{item}",
    "/api/jobs/{running}/logs",
    "/api/jobs/{running}/logs?step=import_files&level=warn",
)
PAGED = (
    "/documents",
    "/documents?manager_id={running}",
    "/queue",
    "/jobs?kind=worker",
    "/jobs?kind=worker&status=completed",
    "/jobs?kind=worker&status=failed",
)
"""Lists whose later pages are timed too."""
LATER = 8
"""How many pages further on, if there are so many."""
SEARCHES = (
    "/queue?q=run+1",
    "/jobs?q=module_7",
    "/jobs?kind=worker&q=file_77",
    "/jobs?kind=worker&status=failed&q=file_77",
    "/jobs?kind=worker&status=completed&q=SRC",
    "/jobs?kind=worker&manager_id={running}&q=no-such-name",
    "/api/jobs?kind=worker&q=file_77",
    "/jobs/{running}/steps/import_files?q=file_77{round}",
    "/jobs/{running}/log?q=no-such-text-{round}",
    "/api/jobs/{running}/logs?q=classified",
)
"""`round`: a text that has not been searched for before, since what was found is kept."""


def test_everything_at_a_thousand_and_at_a_million(tmp_path: Path) -> None:
    """Targets: at most 1.5 times the time at a thousand, and under 30 ms; what searches for text under 1 s.

    Where a thousand do not fill a page, a million would be charged with the entries that it shows more: there the
    answer is held against that at a hundred thousand, which shows as many."""
    few, enough, many = (fill(_folder(tmp_path, number), number) for number in (FEW, ENOUGH, MANY))
    with (
        Theatre(tmp_path / str(FEW)) as small,
        Theatre(tmp_path / str(ENOUGH)) as medium,
        Theatre(tmp_path / str(MANY)) as large,
    ):
        measure_all((small, few), (medium, enough), (large, many))


def measure_all(few: tuple[Theatre, Filled], enough: tuple[Theatre, Filled], many: tuple[Theatre, Filled]) -> None:
    """Prints what everything takes with a thousand, or with `enough`, and with a million."""
    print(f"\n      smaller    {MANY:>8,}     times bytes   waited", flush=True)
    figures = [
        _measure(*(_Asking(*each, path, pages) for each in (few, enough, many)), longest)
        for path, longest, pages in _asked()
    ]
    missed = [figure.name for figure in figures if figure.misses]
    print(f"{len(missed)} of {len(figures)} miss: {', '.join(missed) or 'none'}", flush=True)


def _asked() -> Iterator[tuple[str, float, int]]:
    """What is asked for, how long it may take, and how many pages further on."""
    yield from ((path, LONGEST, 0) for path in PAGES)
    yield from ((path, LONGEST, LATER) for path in PAGED)
    yield from ((path, LONGEST_SEARCH, 0) for path in SEARCHES)


class _Asking:
    """One address, asked for again and again."""

    def __init__(self, theatre: Theatre, filled: Filled, path: str, pages: int) -> None:
        self.name = f"{path}{f', page {pages + 1}' if pages else ''}"
        self.bytes = 0
        self.waited: list[float] = []
        self._theatre = theatre
        self._path = path
        self._names = {**vars(filled), "line": filled.items // 4}
        self._round = 0
        for _ in range(pages):
            if following := re.search(r'href="([^"]*)" rel="next"', self._answer().text):
                self._path = following[1].replace("&amp;", "&")

    def milliseconds(self) -> float:
        """How long the server works for one answer."""
        worked, began = self._theatre.working_time, perf_counter()
        self.bytes = len(self._answer().content)
        self.waited.append((perf_counter() - began) * 1000)
        return (self._theatre.working_time - worked) * 1000

    def _answer(self) -> httpx.Response:
        self._round += 1
        return self._theatre.client.get(self._path.format(**self._names, round=self._round)).raise_for_status()


@dataclass(frozen=True, slots=True)
class _Figure:
    """Medians of one address, in milliseconds, at a million and in a smaller database; `longer`: how many times as long
    the answer is at a million; `waited`: how long the client waits for it there."""

    name: str
    at_few: float
    at_many: float
    longer: float
    waited: float
    longest: float

    @property
    def times(self) -> float:
        return self.at_many / self.at_few

    @property
    def misses(self) -> bool:
        grows = self.longest == LONGEST and self.times > MOST_TIMES
        return self.at_many > self.longest or grows

    def show(self, remark: str = "") -> None:
        verdict = "MISS" if self.misses else ""
        figures = (
            f"{self.at_few:8.2f} ms {self.at_many:8.2f} ms {self.times:6.2f} {self.longer:5.2f} {self.waited:8.2f}"
        )
        print(f"{verdict:4} {figures}  {self.name}{remark}", flush=True)


def _measure(small: _Asking, medium: _Asking, large: _Asking, longest: float) -> _Figure:
    """What misses is measured a second time: the machine may have had something else to do."""
    for each in (small, medium, large):
        each.milliseconds()
    if large.bytes > FULLER * small.bytes:
        small = medium
        small.name += f" (beside {ENOUGH:,})"
    first = _medians(small, large, longest)
    if not first.misses:
        first.show()
        return first
    second = _medians(small, large, longest)
    second.show(f"  (the first time {first.at_few:.2f} and {first.at_many:.2f} ms)")
    return second


def _medians(small: _Asking, large: _Asking, longest: float) -> _Figure:
    """Both in turn, so that they meet the same machine."""
    rounds = [(small.milliseconds(), large.milliseconds()) for _ in range(ROUNDS)]
    at_few, at_many = map(statistics.median, zip(*rounds, strict=True))
    return _Figure(small.name, at_few, at_many, large.bytes / small.bytes, statistics.median(large.waited), longest)


def _folder(path: Path, number: int) -> Path:
    made = path / str(number)
    made.mkdir()
    return made
