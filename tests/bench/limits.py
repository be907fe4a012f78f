"""What the model of limits_model.py says: the tables of docs/how-far-it-goes.md. `make limits` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.bench.limits_model import (
    MILLI,
    ON_POSTGRES,
    ON_SQLITE,
    PAGE,
    POSTGRES,
    ROW_BY_ROW,
    SQLITE,
    Load,
    Store,
    streams,
    views,
    work,
)

DAY = 86_400


@dataclass(frozen=True)
class Checked:
    """A figure of the model beside the measured one."""

    what: str
    unit: str
    measured: float
    model: float

    @property
    def error(self) -> float:
        return self.model / self.measured - 1


FIFTY_VIEWS = Load(slots=60, seconds=0.1, lines=1)


def checked() -> list[Checked]:
    """What was measured and is not among what the model rests on."""
    alone, load = work(SQLITE, Load()), work(SQLITE, FIFTY_VIEWS)
    fifty, many = views(50, load.busy), streams(2_000)
    before, after = work(ROW_BY_ROW, Load()), work(POSTGRES, Load())
    return [
        Checked("no-op work items, SQLite, 200 slots", "per second", 17_460, alone.rate),
        Checked("the same on PostgreSQL, a statement for each row: of that", "", 0.325, before.rate / alone.rate),
        Checked("rows of a batch as arrays: times as many", "", 4_005 / 1_840, after.rate / before.rate),
        Checked("transitions, 60 slots, 0.1 s each, no viewers", "per second", 1_152, 2 * load.rate),
        Checked("50 views meanwhile, 99th percentile", "ms", 293, fifty.late / MILLI),
        Checked("2,000 streams, messages each", "per second", 9.8, many.messages),
        Checked("2,000 streams, 99th percentile", "ms", 145, many.late / MILLI),
    ]


Row = Sequence[str]


def check_table() -> Iterator[Row]:
    yield "what", "measured", "model", "error"
    for each in checked():
        unit = f" {each.unit}" if each.unit else ""
        yield (
            each.what,
            f"{_three(each.measured) if each.measured < 10 else f'{each.measured:,g}'}{unit}",
            f"{_three(each.model)}{unit}",
            f"{each.error:+.0%}",
        )


LOADS: Sequence[tuple[str, Store, Load]] = (
    ("SQLite, 16 slots", SQLITE, Load(slots=16)),
    ("SQLite, 200 slots", SQLITE, Load()),
    ("PostgreSQL on the same machine, 16 slots", POSTGRES, Load(slots=16)),
    ("the same, 200 slots", POSTGRES, Load()),
    ("0.2 ms away, 1 worker of 200", POSTGRES, Load(way=0.2 * MILLI)),
    ("0.2 ms away, 4 workers of 200", POSTGRES, Load(4, way=0.2 * MILLI)),
    ("0.2 ms away, 50 workers of 16", POSTGRES, Load(50, 16, way=0.2 * MILLI)),
    ("the same, a commit takes the disk 2 ms", POSTGRES, Load(50, 16, way=0.2 * MILLI, disk=2 * MILLI)),
    ("1 ms away, 4 workers of 200", POSTGRES, Load(4, way=MILLI)),
    ("0.2 ms away, 10 workers of 100, items of 1 s", POSTGRES, Load(10, 100, 1.0, way=0.2 * MILLI)),
    ("0.2 ms away, 50 workers of 100, items of 1 s", POSTGRES, Load(50, 100, 1.0, way=0.2 * MILLI)),
    ("0.2 ms away, 50 workers of 100, items of 10 s", POSTGRES, Load(50, 100, 10.0, way=0.2 * MILLI)),
)


def work_table() -> Iterator[Row]:
    yield "where", "work items per second", "lock held", "items per transaction", "end to commit, p99", "notifications"
    for name, store, load in LOADS:
        done = work(store, load)
        heard = "" if store.alone else f"{_three(done.told * load.processes)} per second"
        yield name, _three(done.rate), f"{done.busy:.0%}", f"{done.together:.0f}", _milliseconds(done.late), heard


def remedies_table() -> Iterator[Row]:
    """What could be done about the write lock, for the last but one of the loads above."""
    yield "50 workers of 100, items of 1 s, 0.2 ms away", "work items per second", "lock held", "end to commit, p99"
    load = Load(50, 100, 1.0, way=0.2 * MILLI)
    fewer = replace(POSTGRES, claim=POSTGRES.claim / 2, finish=POSTGRES.finish / 2, round_trips=5)
    quarter = replace(load, processes=load.processes // 4)
    for name, store, changed, locks in (
        ("as it is", POSTGRES, load, 1),
        ("10 workers of 500", POSTGRES, replace(load, processes=10, slots=500), 1),
        ("each gathers for 50 ms", POSTGRES, replace(load, gather=50 * MILLI), 1),
        ("half as many statements", fewer, load, 1),
        ("both", fewer, replace(load, gather=50 * MILLI), 1),
        ("a lock for each of four parts of the runs", POSTGRES, quarter, 4),
    ):
        done = work(store, changed)
        yield name, _three(locks * done.rate), f"{done.busy:.0%}", _milliseconds(done.late)


def lines_table() -> Iterator[Row]:
    yield "where", "lines of an item", "log lines per second", "GB per day"
    for name, store, stored in (("SQLite", SQLITE, ON_SQLITE), ("PostgreSQL", POSTGRES, ON_POSTGRES)):
        for lines in (2, 20, 200):
            said = work(store, Load(lines=lines)).rate * lines
            yield name, str(lines), _three(said), f"{_three(said * stored.line * DAY / 1e9)}"


def stored_table() -> Iterator[Row]:
    yield "work items, two lines each", "SQLite", "PostgreSQL", "written to the WAL of PostgreSQL meanwhile"
    for number in (10**6, 10**7, 10**8, 10**9):
        sizes = [number * (each.item + 2 * each.line) / 1e9 for each in (ON_SQLITE, ON_POSTGRES)]
        written = number * ON_POSTGRES.log / 1e9
        yield f"{number:,}", *(f"{_three(size)} GB" for size in (*sizes, written))


def viewers_table() -> Iterator[Row]:
    yield "open streams of one view", "messages each", "commit to reader, p99", "of a processor"
    for number in (100, 500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000):
        seen = streams(number)
        yield f"{number:,}", f"{seen.messages:.1f} per second", _milliseconds(seen.late), f"{min(seen.busy, 1):.0%}"


def views_table() -> Iterator[Row]:
    beside = work(SQLITE, FIFTY_VIEWS)
    yield "different views", f"beside {_three(2 * beside.rate)} transitions/s, p99", "with `--slots 0`, p99"
    for number in (1, 10, 20, 50, 100, 200):
        yield str(number), *(_milliseconds(views(number, each).late) for each in (beside.busy, 0.0))


@dataclass(frozen=True)
class Day:
    """A way to use it, to be multiplied: work items per second of a second each, in workers of 50 slots, lines of each;
    viewers on two servers, of whom ten look at the same."""

    items: int = 10
    lines: int = 10
    viewers: int = 20
    kept_days: int = 30


@dataclass(frozen=True)
class Grown:
    """What a day takes when it is so many times as large."""

    times: int
    lock: float
    late: float
    painting: float
    sending: float
    stored: float

    @property
    def gives(self) -> list[str]:
        """What has been passed: 250 ms, four fifths of a processor, 1 TB."""
        found = ["the write lock"] if self.late > 0.25 else []
        found += ["painting"] if self.painting > 0.25 else []
        found += ["sending"] if self.sending > 0.8 else []
        return found + (["what is stored"] if self.stored > 1e12 else [])


def grown(times: int, day: Day = Day()) -> Grown:
    """On PostgreSQL, 0.2 ms away. Workers are as many as have half of their slots taken; for the model those are all
    there are, so that as many work items run as come in."""
    items = day.items * times
    workers = max(1, items // 25)
    done = work(POSTGRES, Load(workers, max(1, items // workers), 1.0, day.lines, 0.2 * MILLI))
    told = PAGE.hear * done.told
    viewers = day.viewers * times // 2
    seen = views(max(1, viewers // 10), told)
    per_day = items * (ON_POSTGRES.item + day.lines * ON_POSTGRES.line) * DAY
    return Grown(
        times, done.busy, done.late, seen.late, viewers * PAGE.message * seen.messages, per_day * day.kept_days
    )


def grown_table() -> Iterator[Row]:
    yield (
        "times",
        "items/s",
        "viewers",
        "lock held",
        "end to commit, p99",
        "a view, p99",
        "sending, each",
        "stored in 30 days",
        "what has given",
    )
    for times in (1, 5, 10, 20, 50, 100, 200):
        each, day = grown(times), Day()
        yield (
            str(times),
            f"{day.items * times:,}",
            f"{day.viewers * times:,}",
            f"{each.lock:.0%}",
            _milliseconds(each.late),
            _milliseconds(each.painting),
            f"{each.sending:.0%}",
            f"{_three(each.stored / 1e9)} GB",
            ", ".join(each.gives),
        )


def _three(figure: float) -> str:
    """With three digits that count, since no more do."""
    return f"{float(f'{figure:.3g}'):,.10g}"


def _milliseconds(seconds: float) -> str:
    return f"{_three(seconds / MILLI)} ms"


TABLES = (check_table, work_table, remedies_table, lines_table, stored_table, viewers_table, views_table, grown_table)


def as_markdown(rows: Iterator[Row]) -> str:
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


if __name__ == "__main__":
    print("\n\n".join(as_markdown(table()) for table in TABLES))
