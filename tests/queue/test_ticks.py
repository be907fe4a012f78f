"""When a schedule is due, and what becomes of what was missed: pure functions of a clock that the test holds."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.queue.ticks import MOST_WAITING, Cron, Due, Missed, check_expression, due, zone_of

HOURLY = Cron("0 * * * *", "UTC")
NOON = 1_800_014_400  # 2027-01-15 12:00 UTC


def at(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp())


def stamps(cron: Cron, since: str, number: int) -> list[str]:
    return [cron.stamp(tick) for tick in islice(cron.ticks(at(since)), number)]


def test_a_tick_is_told_in_its_own_time_zone() -> None:
    cron = Cron("0 3 * * *", "Europe/Berlin")
    assert stamps(cron, "2026-11-21T12:00:00Z", 2) == ["2026-11-22T03:00:00+01:00", "2026-11-23T03:00:00+01:00"]
    assert cron.words == "At 03:00 every day"


def test_a_time_that_does_not_exist_is_the_next_one_that_does() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert stamps(cron, "2027-03-27T12:00:00Z", 2) == ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]


def test_a_time_that_exists_twice_ticks_the_first_time_only() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert stamps(cron, "2027-10-30T12:00:00Z", 2) == ["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"]
    second_half_past_one = "2027-10-31T02:10:00+01:00"  # between the two, where cronsim would go back to the first
    assert stamps(cron, second_half_past_one, 1) == ["2027-11-01T02:30:00+01:00"]


def test_a_star_goes_by_the_time_that_passes() -> None:
    every_half_hour = Cron("*/30 * * * *", "Europe/Berlin")
    assert stamps(every_half_hour, "2027-10-31T01:59:00+02:00", 5) == [
        "2027-10-31T02:00:00+02:00",
        "2027-10-31T02:30:00+02:00",
        "2027-10-31T02:00:00+01:00",
        "2027-10-31T02:30:00+01:00",
        "2027-10-31T03:00:00+01:00",
    ]


EXPRESSIONS = ["30 2 * * *", "*/20 * * * *", "0,30 1-3 * * *", "15 */2 * * *", "0 0 * * SUN", "45 1 L * *", "5 0 * * *"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut"]


@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(ZONES),
    st.integers(NOON - 86_400 * 400, NOON + 86_400 * 400),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=150)
def test_the_next_tick_is_the_same_from_wherever_one_looks(
    expression: str, zone: str, since: int, between: int
) -> None:
    cron = Cron(expression, zone)
    following = cron.after(since)
    assert following is not None
    assert following > since
    assert cron.after(since + (following - since - 1) * between // 1000) == following


@pytest.mark.parametrize("missed", Missed)
def test_before_its_time_nothing_is_due(missed: Missed) -> None:
    assert due(HOURLY, missed, NOON, NOON - 0.001) is None
    assert due(HOURLY, missed, None, NOON) is None


@pytest.mark.parametrize("missed", Missed)
def test_a_tick_that_is_seen_in_time_starts(missed: Missed) -> None:
    found = due(HOURLY, missed, NOON, NOON + 59)
    assert found == Due(NOON, NOON + 3600, starts=True, waits=missed is Missed.ALL)


def dealt_with(missed: Missed, next_at: int, now: float) -> list[Due]:
    found, cursor = [], next_at
    while (each := due(HOURLY, missed, cursor, now)) and each.next_at:
        found.append(each)
        cursor = each.next_at
    assert cursor > now
    return found


def test_what_was_missed_is_skipped_and_said() -> None:
    (only,) = dealt_with(Missed.SKIP, NOON, NOON + 4 * 3600 + 61)
    assert not only.starts
    assert only.tick == NOON + 4 * 3600
    assert only.reason == "missed: nobody was there for 5 ticks up to 2027-01-15T16:00:00+00:00"


def test_after_missed_ticks_the_one_that_is_in_time_starts() -> None:
    (only,) = dealt_with(Missed.SKIP, NOON, NOON + 4 * 3600 + 5)
    assert (only.tick, only.starts) == (NOON + 4 * 3600, True)


def test_what_was_missed_is_made_up_for_once() -> None:
    (only,) = dealt_with(Missed.ONCE, NOON, NOON + 4 * 3600 + 61)
    assert (only.tick, only.starts) == (NOON + 4 * 3600, True)
    assert only.reason.startswith("made up for: nobody was there for 5 ticks")


def test_what_was_missed_is_made_up_for_each() -> None:
    found = dealt_with(Missed.ALL, NOON, NOON + 4 * 3600 + 61)
    assert [(each.tick, each.starts) for each in found] == [(NOON + hour * 3600, True) for hour in range(5)]


def test_no_more_than_so_many_are_made_up_for() -> None:
    first, *rest = dealt_with(Missed.ALL, NOON, NOON + 5000 * 3600)
    assert not first.starts
    assert first.reason == f"dropped, with any before it: more than {MOST_WAITING} ticks were waiting"
    assert [each.tick for each in rest] == [NOON + hour * 3600 for hour in range(4901, 5001)]
    assert all(each.starts for each in rest)


def test_years_of_missed_minutes_are_no_work() -> None:
    cron = Cron("* * * * *", "Europe/Berlin")
    years = 5 * 365 * 86_400
    assert len(cron.between(NOON, NOON + years, 10)) == 10
    found = due(cron, Missed.ONCE, NOON, NOON + years)
    assert found is not None
    assert "more than 100 ticks" in found.reason


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("61 * * * *", "Bad minute"),
        ("* * * *", "not 4"),
        ("0 3 * * * *", "not 6"),
        ("@daily", 'write "0 0 \\* \\* \\*"'),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("", "not 0"),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_expression(expression)


@pytest.mark.parametrize("name", ["Europe", "/etc/passwd", "../UTC", "\0", "Europe/Berlin\n", "x" * 5000, ""])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        zone_of(name)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'America/New_York'"):
        zone_of("america/new york")


def test_without_a_database_of_time_zones_it_says_which_package_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Any = set()
    monkeypatch.setattr(zoneinfo, "available_timezones", lambda: known)
    for module in [name for name in sys.modules if name.partition(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tzdata", None)  # as if it were not installed
    zoneinfo.ZoneInfo.clear_cache()
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    try:
        with pytest.raises(ValueError, match="install the package tzdata"):
            zone_of("Europe/Berlin")
        assert stamps(HOURLY, "2026-11-21T12:00:00Z", 1) == ["2026-11-21T13:00:00+00:00"]
    finally:
        zoneinfo.reset_tzpath(to=before)
        zoneinfo.ZoneInfo.clear_cache()
