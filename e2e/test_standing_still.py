"""Nothing moves under the reader's eyes: numbers, statuses, bars and log lines change in their places.

Chromium tells of every element that moved between two frames (layout-shift entries, of which a page's CLS is the sum).
What must move is what stands below something that came: a run, the log of a step that began, an entry of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from e2e.conftest import Visitor
from tests.web.theatre import Theatre

WATCH_FOR_SHIFTS = """
window.shifts = [];
window.corner = rect => [Math.round(rect.x), Math.round(rect.y)];
window.called = node => !node ? "" : (node.closest ? node : node.parentElement).closest(".log-lines")
    ? "a line of a log that is followed" : node.id || (node.parentElement ? called(node.parentElement) + " > " : "")
    + (node.className || node.textContent);
window.note = entries => entries.forEach(entry => shifts.push({value: entry.value, sources: entry.sources.map(source =>
    ({node: called(source.node), from: source.previousRect.width ? corner(source.previousRect) : null,
      to: source.currentRect.width ? corner(source.currentRect) : null}))}));
window.shiftsHeard = new PerformanceObserver(list => note(list.getEntries()));
window.shiftsHeard.observe({type: "layout-shift", buffered: true});
"""
SHIFTS = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
    note(shiftsHeard.takeRecords());
    done(shifts.splice(0));
}))))"""
TOP = "element => element.getBoundingClientRect().top"
TOPS_AS_IT_ARRIVES = """header => {
    const links = [...header.querySelectorAll("a")], arriving = [...header.children];
    const tops = () => links.filter(link => link.isConnected).map(link => link.getBoundingClientRect().top);
    arriving.forEach(element => element.remove());
    return arriving.map(element => (header.append(element), tops()));
}"""
"""Where the links of the header stand after each part of it has come."""
IN_LOG = "a line of a log that is followed"
EARLIER = 12
"""Runs that have ended before, of one step each."""
RUN = 2 * EARLIER + 1
STEP = RUN + 1
PATHS = ("/queue", f"/jobs/{RUN}", f"/jobs/{RUN}/steps/one")

BELOW_THE_STEPS = tuple(f"job-{RUN}-{part}" for part in ("failures", "slowest", "settings"))


class StillVisitor(Visitor):
    """Somebody who watches, and notes what moves."""

    def moved(self) -> list[dict[str, Any]]:
        """What has moved since this was last asked, once the page shows the present."""
        self.caught_up()
        shifts = self.page.evaluate(SHIFTS)
        return [shift for shift in shifts if any(source["node"] != IN_LOG for source in shift["sources"])]


@pytest.fixture(params=[1440, 360])
def readers(browser: Browser, theatre: Theatre, request: pytest.FixtureRequest) -> Iterator[list[StillVisitor]]:
    """Readers of the queue, of a run and of its first step, before the run is planned."""
    for number in range(EARLIER):
        theatre.play("start", steps=["one"], name="Earlier")
        theatre.play("cancel", manager_id=2 * number + 1)
    theatre.play("start", steps=["one", "two"], name="Watched")
    readers = []
    for path in PATHS:  # each in a window of its own: only what is seen is laid out
        page = browser.new_page(viewport={"width": request.param, "height": 900})
        page.add_init_script(WATCH_FOR_SHIFTS)
        readers.append(StillVisitor(page, theatre))
        readers[-1].open(path)
        assert readers[-1].moved() == [], f"{path} moved when it came alive"
    yield readers
    for reader in readers:
        reader.page.close()


def test_a_header_that_arrives_bit_by_bit_moves_no_link(page: Page, theatre: Theatre) -> None:
    page.goto(f"{theatre.url}/jobs")
    for width in (360, 500, 640, 660, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        *arriving, whole = page.locator("header.top").evaluate(TOPS_AS_IT_ARRIVES)
        assert len(whole) > 4
        for tops in arriving:
            assert tops == whole[: len(tops)], width


def test_a_timeline_that_arrives_bit_by_bit_moves_nothing(page: Page, theatre: Theatre) -> None:
    theatre.play("start", steps=["one", "two"])
    for verb in ("begin_planning", "plan"):
        theatre.play(verb, items=["an item"])
    page.add_init_script(WATCH_FOR_SHIFTS)
    with _slow_line(theatre, "/jobs/1") as (url, pieces, send):
        assert pieces[-2] == "<span>now</span>"
        send(pieces[0])
        page.goto(url, wait_until="commit")
        for piece in pieces[1:]:
            assert page.evaluate(SHIFTS) == [], f"before {piece[:120]!r}"
            send(piece)
        send(None)
        page.wait_for_load_state("domcontentloaded")
        assert page.evaluate(SHIFTS) == []


@contextmanager
def _slow_line(theatre: Theatre, path: str) -> Iterator[tuple[str, list[str], Callable[[str | None], None]]]:
    """The address of a page without its stream, its pieces (cut in its timeline), and what sends one; None ends it."""
    scripts_and_icon = '<script.*?</script>|<link rel="icon"[^>]*>'
    text = re.sub(scripts_and_icon, "", httpx.get(f"{theatre.url}{path}").text, flags=re.DOTALL)
    rows, axis = text.index('<section id="job-1-timeline"'), text.index('<p class="axis">')
    ends = [match.end() for match in re.finditer("</li>|</time>|now</span>", text[: text.index("</p>", axis)])]
    pieces = [text[start:end] for start, end in pairwise([0, *(end for end in ends if end > rows), len(text)])]
    sent: SimpleQueue[str | None] = SimpleQueue()

    class SlowLine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/favicon.ico":
                self.send_error(404)
                return
            if self.path != path:
                answer = httpx.get(f"{theatre.url}{self.path}")
                self._begin(answer.headers["Content-Type"])
                self.wfile.write(answer.content)
                return
            self._begin("text/html; charset=utf-8")
            while (piece := sent.get()) is not None:
                self.wfile.write(piece.encode())
                self.wfile.flush()

        def _begin(self, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), SlowLine) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{path}", pieces, sent.put
        finally:
            sent.put(None)
            server.shutdown()
            serving.join()


def test_what_happens_in_a_step_moves_nothing(readers: list[StillVisitor], theatre: Theatre) -> None:
    for verb in ("begin_planning", "plan"):
        theatre.play(verb, items=[f"item {number}" for number in range(60)])
        for reader in readers:
            _moved_down_only(reader.moved())
    step_id = STEP
    for happening in _happenings(theatre, step_id):
        for path, reader in zip(PATHS, readers, strict=True):
            moved = reader.moved()
            if path == PATHS[2]:  # its work items are sorted by what needs attention: they move among each other
                moved = [shift for shift in moved if not _is_within(shift, f"job-{STEP}-items", reader)]
            if path == PATHS[1]:  # failures and the slowest work items come below all that was there
                _moved_down_only(moved)
                moved = [each for each in moved if not _is_of(each, *BELOW_THE_STEPS)]
            assert moved == [], f"{path} when {happening}"


def _happenings(theatre: Theatre, step_id: int) -> Iterator[str]:
    theatre.play("claim", step_id=step_id, most=1)
    yield "the first item begins"
    for number, already in ((1, 0), (7, 1), (60, 8)):
        theatre.play("log", step_id=step_id, messages=["a line"] * number)
        yield f"{number} lines follow {already}"
    theatre.play("complete", step_id=step_id)
    yield "the first item completes and none runs"
    theatre.play("claim", step_id=step_id, most=50)
    yield "many items begin"
    theatre.play("complete", step_id=step_id, most=20)
    yield "many items complete"
    theatre.play("fail", step_id=step_id)
    yield "an item fails"
    theatre.play("fail", step_id=step_id, most=11)
    yield "more items fail"
    theatre.play("claim", step_id=step_id, most=100)
    theatre.play("complete", step_id=step_id, most=150)
    yield "the step ends"


def test_a_reader_further_down_is_moved_by_nothing(readers: list[StillVisitor], theatre: Theatre) -> None:
    """Nor by what comes above: whole runs, and steps that unfold."""
    reader, held = readers[0], f"#job-{RUN - 4}"
    reader.page.locator(held).evaluate("run => run.scrollIntoView()")
    assert reader.page.evaluate("scrollY") > 300
    reader.moved()
    before = reader.page.locator(held).evaluate(TOP)
    theatre.play("start", steps=["one", "two", "three"], name="Later")
    for step_id in theatre.play("plan", items=["a", "b", "c"]):
        theatre.play("claim", step_id=step_id, most=2)
        theatre.play("log", step_id=step_id, messages=["a line"] * 9)
        theatre.play("fail", step_id=step_id)
    theatre.play("start", steps=["one"], name="The latest")
    assert reader.moved() == []
    assert abs(reader.page.locator(held).evaluate(TOP) - before) < 1


def test_a_new_run_moves_the_list_down_and_nothing_else(readers: list[StillVisitor], theatre: Theatre) -> None:
    reader = readers[0]
    theatre.play("start", steps=["one"], name="New")
    moved = reader.moved()
    assert moved
    _moved_down_only(moved)
    top = reader.page.locator("#runs").evaluate(TOP)
    elsewhere = [each for shift in moved for each in shift["sources"] if each["from"] and each["from"][1] < top - 1]
    assert elsewhere == []


def _moved_down_only(shifts: list[dict[str, Any]]) -> None:
    for shift in shifts:
        for source in shift["sources"]:
            if source["from"] and source["to"]:
                (x, y), (new_x, new_y) = source["from"], source["to"]
                assert x == new_x and y <= new_y, source


def _is_of(shift: dict[str, Any], *elements: str) -> bool:
    """Whether nothing but these elements, and what has no name of its own, has moved."""
    return all(source["node"] in ("", *elements) for source in shift["sources"])


def _is_within(shift: dict[str, Any], element: str, reader: Visitor) -> bool:
    """Whether nothing but parts of the element has moved."""
    names = [source["node"].partition(" > ")[0] for source in shift["sources"]]
    inside = "([element, names]) => names.every(name => !name || document.querySelector(`#${element} #${name}`))"
    return bool(reader.page.evaluate(inside, [element, names]))
