"""A browser with scripts on shows what is hostile as text: nothing runs, nothing is fetched, nothing breaks out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.queue.database import Database
from app.queue.schema import bring_up_to_date
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Writer
from e2e.conftest import Visitor
from tests.hostile import CORPUS, ENDLESS, Hostile, Played, play, start_run
from tests.web.theatre import Theatre

PLAIN = Hostile("harmless", "harmless")
EVERYTHING = Hostile("everything", "".join(f"{each.stored}\n" for each in CORPUS))
"""All strings one after the other, so that each has a chance to finish what another began."""

SKELETON = """() => {
    const names = [];
    for (const element of document.querySelectorAll("#view, #view *, head > *, body > *, body > header *")) {
        if (element.closest(".log-lines")) continue;
        names.push([element.localName, ...element.getAttributeNames().sort()].join(" "));
    }
    return names;
}"""
"""All elements with the names of their attributes, in the order of the page."""

ROWS = """() => Object.fromEntries([...document.querySelectorAll("#runs > .run, #jobs > .job")].map(row => [
    row.id,
    [row, ...row.querySelectorAll("*")].filter(element => !element.closest(".log-lines"))
        .map(element => [element.localName, ...element.getAttributeNames().sort()].join(" ")).join(";"),
]))"""
"""The same of each row in a list, by its id."""


def write_runs(directory: Path, texts: list[str]) -> list[Played]:
    """Runs that are full of these texts, and go on."""
    with ThreadPoolExecutor(1) as beside:  # Playwright's own loop runs in this thread
        return beside.submit(lambda: asyncio.run(_write(directory, texts))).result()


async def _write(directory: Path, texts: list[str]) -> list[Played]:
    database = Database.in_directory(directory)
    bring_up_to_date(database)
    write = Writer(database, StepMonitor().hear)
    played = [await play(write, text, await start_run(write, text)) for text in texts]
    await write.close()
    database.close()
    return played


class Watch:
    """A visitor who would notice if a string did anything."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.page = visitor, visitor.page
        self.noticed: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def open(self, path: str) -> Page:
        self.check()
        return self.visitor.open(path)

    def check(self) -> None:
        assert self.page.evaluate("window.__broken === undefined")
        assert self.page.frames == [self.page.main_frame]
        assert self.noticed == self.visitor.complaints == []

    @property
    def skeleton(self) -> list[str]:
        found: list[str] = self.page.evaluate(SKELETON)
        return found

    def _dialog(self, dialog: Any) -> None:
        self.noticed.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith(f"{self.visitor.theatre.url}/"):
            self.noticed.append(f"request: {request.url}")


@pytest.fixture
def watch(visitor: Visitor) -> Iterator[Watch]:
    watch = Watch(visitor)
    yield watch
    watch.check()


@pytest.fixture(scope="module")
def full_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full_house")


@pytest.fixture(scope="module")
def played(full_house: Path) -> dict[str, Played]:
    """A run for each string, one for all of them, and a harmless one, which nobody moves any more."""
    texts = [each.stored for each in (PLAIN, EVERYTHING, *CORPUS)]
    return dict(zip(texts, write_runs(full_house, texts), strict=True))


@pytest.fixture
def theatre(request: pytest.FixtureRequest, tmp_path: Path, full_house: Path) -> Iterator[Theatre]:
    with Theatre(full_house if "played" in request.fixturenames else tmp_path) as running:
        yield running


def pages_of(played: Played) -> list[str]:
    run, *jobs = played
    return [f"/jobs/{run}", f"/jobs/{run}/log", *(f"/jobs/{each}" for each in jobs)]


@pytest.mark.slow
def test_every_page_about_a_hostile_run_consists_of_what_a_harmless_one_does(
    watch: Watch, played: dict[str, Played]
) -> None:
    # HOSTILE=1 opens the pages of each string by itself, which takes minutes.
    strings = CORPUS if os.environ.get("HOSTILE") else (EVERYTHING,)
    harmless = []
    for path in pages_of(played[PLAIN.stored]):
        watch.open(path)
        harmless.append(watch.skeleton)
    for each in strings:
        for path, expected in zip(pages_of(played[each.stored]), harmless, strict=True):
            watch.open(path)
            assert watch.skeleton == expected, (each.name, path)


@pytest.mark.parametrize("path", ["/queue", "/jobs?kind=manager", "/jobs?kind=worker"])
def test_rows_of_hostile_runs_side_by_side_are_all_alike(watch: Watch, played: dict[str, Played], path: str) -> None:
    seen = 0
    shapes: set[str] = set()
    way: str | None = path
    while way:
        page = watch.open(way)
        rows: dict[str, str] = page.evaluate(ROWS)
        seen += len(rows)
        shapes |= set(rows.values())
        following = page.locator("#pager a[rel=next]")
        way = following.get_attribute("href") if following.count() else None
    assert seen == len(played) * (3 if "worker" in path else 1)
    assert len(shapes) == (3 if "worker" in path else 1)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/jobs/{run}", "/jobs/{run}/steps/one", "/queue"])
def test_what_arrives_while_one_watches_is_text_too(watch: Watch, theatre: Theatre, path: str) -> None:
    """Names, lines and errors come by the stream into a page that nobody reloads, and make what a fresh load shows."""
    strings = [each.stored for each in CORPUS]
    run = theatre.play("start", steps=["one"], name=EVERYTHING.stored, tags=strings)
    page = watch.open(path.format(run=run))
    (step_id,) = theatre.play("plan", items=strings)
    worker_id, *_ = theatre.play("claim", step_id=step_id, most=len(strings))
    theatre.play("log", step_id=step_id, messages=strings, worker_id=worker_id)
    theatre.play("save", step_id=step_id, worker_id=worker_id, addresses=strings)
    for each in strings:
        theatre.play("fail", step_id=step_id, error=each)
    expect(page.locator(f"#count-step-{step_id}-worker-failed data")).to_have_text(str(len(strings)))
    watch.visitor.caught_up()
    watched = watch.visitor.dom
    watch.check()
    assert watch.visitor.navigations == 1
    watch.open(path.format(run=run))
    assert watch.visitor.dom == watched


@pytest.mark.slow
@pytest.mark.parametrize("endless", ENDLESS[:1] + ENDLESS[3:4], ids=lambda endless: endless.name)
def test_a_line_without_an_end_fits_the_smallest_screen(page: Page, tmp_path: Path, endless: Hostile) -> None:
    (played,) = write_runs(tmp_path, [endless.stored])
    page.set_viewport_size({"width": 360, "height": 800})
    with Theatre(tmp_path) as theatre:
        for path in ("/queue", "/jobs", *pages_of(played)):
            page.goto(theatre.url + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            expect(page.locator("h1").first).to_be_visible()
