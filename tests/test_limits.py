"""docs/how-far-it-goes.md says what the model says, and the model is near to what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.limits import TABLES, Row, as_markdown, checked
from tests.bench.limits_model import MILLI, PAGE, POSTGRES, ROW_BY_ROW, SQLITE, Load, streams, views, work

DOCUMENT = (Path(__file__).parent.parent / "docs" / "how-far-it-goes.md").read_text()
FARTHEST = 0.35
"""How far the model may be from what was measured; the document says how far each figure is."""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_a_table_of_the_document_is_what_the_model_says(table: Callable[[], Iterator[Row]]) -> None:
    assert as_markdown(table()) in DOCUMENT


def test_the_document_names_what_the_model_rests_on() -> None:
    for store in (SQLITE, POSTGRES):
        times = [f"{each / MILLI:g} ms" for each in (store.claim, store.finish)]
        times += [f"{each * 1e6:.0f} µs" for each in (store.claimed, store.finished, store.line)]
        assert ", ".join(times) in DOCUMENT
    fixed, each = POSTGRES.claim + POSTGRES.finish, POSTGRES.claimed + POSTGRES.finished + 2 * POSTGRES.line
    few, many = (n / (fixed + n * each) for n in (1, 200))
    assert f"some {round(few, -1):.0f} items per second, with `n = 200` some {round(many, -3):,.0f}" in " ".join(
        DOCUMENT.split()
    )
    assert f"`0.1 / message` = {PAGE.pace / PAGE.message:,.0f} streams" in DOCUMENT


def test_the_model_is_near_what_was_measured() -> None:
    figures = checked()
    assert len(figures) >= 3
    assert {each.what: each.error for each in figures if abs(each.error) > FARTHEST} == {}


def test_the_document_says_what_the_other_way_of_measuring_would_have_given() -> None:
    by_the_clock = replace(ROW_BY_ROW, claimed=79e-6, finished=264e-6)
    told = work(by_the_clock, Load()).rate / work(SQLITE, Load()).rate
    assert f"the second line would say {told:.2f}." in " ".join(DOCUMENT.split())


def test_the_simulations_keep_to_what_can_be_said_on_paper() -> None:
    alone = work(POSTGRES, Load(processes=4, slots=100))
    held = POSTGRES.claim + POSTGRES.finish + 100 * (POSTGRES.claimed + POSTGRES.finished + 2 * POSTGRES.line)
    assert alone.busy > 0.99
    assert alone.rate == pytest.approx(100 / held, rel=0.02)
    idle = work(POSTGRES, Load(slots=10, seconds=1.0))
    assert idle.rate == pytest.approx(10, rel=0.1)
    assert views(200, 0.5).messages == pytest.approx(0.5 / (200 * PAGE.paint), rel=0.02)
    full = streams(10_000)
    assert full.messages == pytest.approx(1 / (10_000 * PAGE.message + PAGE.simple), rel=0.05)
