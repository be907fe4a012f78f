"""Live equals fresh: the page that its stream kept is the page loaded anew, whatever lay between.

Three readers, of the queue, of a run and of a step, keep their pages open through bursts, cut connections, a hidden tab
and restarts of the server. Then all of what each has is compared with a fresh load: every element with every attribute,
the title and the icon of the tab too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from e2e.conftest import CuttingProxy, Visitor, show_as, until_watched_by
from tests.web.theatre import Theatre

PATHS = ("/queue", "/jobs/1", "/jobs/1/steps/one")

pytestmark = pytest.mark.slow


class Happenings:
    """A run of two steps, and others that come and go, in bursts of every kind of change."""

    def __init__(self, theatre: Theatre, seed: str) -> None:
        self._theatre, self._chance = theatre, random.Random(seed)
        theatre.play("start", steps=["one", "two"], name="Watched")
        self._steps: list[int] = theatre.play("plan", items=[f"item {number}" for number in range(90)])

    def burst(self) -> None:
        for step_id in self._steps:
            self._work(step_id)
        self._theatre.play("start", steps=["one"], name="Another", tags=["more"])
        self._steps += self._theatre.play("plan", items=["x", "y", "z"])
        last = self._theatre.play("start", steps=["one"], name="Soon over")
        self._theatre.play("cancel", manager_id=last)
        self._theatre.play("log", step_id=self._steps[0], messages=["the end of a burst"])  # concerns every page

    def _work(self, step_id: int) -> None:
        number, play = self._chance.randint, self._theatre.play
        play("claim", step_id=step_id, most=number(1, 9))
        lines = [f"line\n{each}" for each in range(self._chance.choice([1, 7, 120, 600]))]
        play("log", step_id=step_id, messages=lines, level=self._chance.choice(["debug", "info", "info", "warn"]))
        play("complete", step_id=step_id, most=number(0, 6))
        play("fail", step_id=step_id, most=number(0, 2), error=f"cannot read line {number(1, 3)}")

    def forget(self) -> None:
        """A server that is stopped has claimed nothing any more."""
        self._steps = self._steps[:1]


@pytest.fixture
def happenings(theatre: Theatre, request: pytest.FixtureRequest) -> Happenings:
    return Happenings(theatre, request.node.name)


@pytest.fixture
def readers(browser: Browser, theatre: Theatre, proxy: CuttingProxy, happenings: Happenings) -> Iterator[list[Visitor]]:
    """Three pages that are open, behind a proxy."""
    context = browser.new_context()
    readers = [Visitor(context.new_page(), theatre, proxy.url) for _ in PATHS]
    for reader, path in zip(readers, PATHS, strict=True):
        reader.open(path)
    yield readers
    context.close()


def all_are_as_loaded_anew(readers: list[Visitor]) -> None:
    for reader in readers:
        reader.caught_up()
    for reader in readers:
        assert reader.navigations == 1
        reader.is_as_loaded_anew()


def test_after_bursts(readers: list[Visitor], happenings: Happenings) -> None:
    for _ in range(4):
        happenings.burst()
    all_are_as_loaded_anew(readers)
    assert [reader.complaints for reader in readers] == [[], [], []]


def test_after_connections_were_cut(readers: list[Visitor], happenings: Happenings, proxy: CuttingProxy) -> None:
    for _ in range(3):
        happenings.burst()
        proxy.cut()
        happenings.burst()
    all_are_as_loaded_anew(readers)


def test_after_the_tabs_were_hidden(readers: list[Visitor], happenings: Happenings, theatre: Theatre) -> None:
    for _ in range(2):
        for reader in readers:
            show_as(reader.page, "hidden")
        until_watched_by(theatre, readers[0].page, 0)
        happenings.burst()
        for reader in readers:
            show_as(reader.page, "visible")
        happenings.burst()
    all_are_as_loaded_anew(readers)


def test_after_the_server_was_restarted(readers: list[Visitor], happenings: Happenings, theatre: Theatre) -> None:
    for _ in range(2):
        happenings.burst()
        theatre.end()
        theatre.begin()
        happenings.forget()
        happenings.burst()
    for reader in readers:
        expect(reader.page.locator("#liveness .live")).to_be_visible(timeout=20_000)
    all_are_as_loaded_anew(readers)
