"""The log on its pages: the same lines with the same numbers at every zoom, counted, searched, and reached by link."""

from __future__ import annotations

import os
import re
import socket
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from tests.web.browser_model import counts, parsed
from tests.web.conftest import Pages

STEP = "/jobs/1/steps/one"


class LogPage:
    """A page with a log, as somebody reads it."""

    def __init__(self, pages: Pages, path: str) -> None:
        answer = pages.get(path)
        assert answer.status_code == 200, answer.text
        self.html = answer.text
        self.body = parsed(answer.text)

    @property
    def lines(self) -> list[int]:
        return [int(each.attrib["data-line"]) for each in self.body.iter() if "data-line" in each.attrib]

    @property
    def messages(self) -> list[str]:
        return ["".join(each.itertext()) for each in self.body.iter("bdi") if "message" in each.get("class", "")]

    @property
    def total(self) -> int:
        (lines,) = (each for each in self.body.iter() if each.get("class") == "log-lines")
        return int(lines.attrib["data-total"])

    @property
    def said(self) -> str:
        return " ".join("".join(self.body.itertext()).split())

    def link(self, words: str) -> str | None:
        """The address behind a link with exactly these words."""
        found = [each for each in self.body.iter("a") if "".join(each.itertext()).strip() == words]
        return unescape(found[0].attrib["href"]) if found else None

    def element(self, name: str) -> Element:
        found = self.body.find(f".//*[@id='{name}']")
        assert found is not None, name
        return found


@pytest.fixture
def step_id(pages: Pages) -> int:
    pages.play("start", steps=["one", "two"], depends=False)
    return int(pages.play("plan", items=["a", "b", "c"])[0])


def say(pages: Pages, step_id: int, *messages: str, **how: Any) -> None:
    pages.play("log", step_id=step_id, messages=messages, **how)


@pytest.fixture
def long_log(pages: Pages, step_id: int) -> Pages:
    """1,200 lines: every tenth is a warning, every hundredth an error, and those say `needle`."""
    lines = [("info", f"line {number}") for number in range(1, 1201)]
    for number in range(10, 1201, 10):
        lines[number - 1] = ("warn", "careful") if number % 100 else ("error", f"line {number}, the needle")
    pages.play("log_levels", step_id=step_id, lines=lines)
    return pages


# Zooms


def test_lines_have_the_same_numbers_in_the_log_of_the_item_the_step_and_the_run(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    say(pages, step_id, "step 1")
    say(pages, step_id, "item 2", "item 3", worker_id=worker_id)
    say(pages, step_id, "step 4")
    assert LogPage(pages, STEP).lines == [1, 2, 3, 4]
    assert LogPage(pages, f"/jobs/{worker_id}").lines == [2, 3]
    assert LogPage(pages, "/jobs/1/log").lines == [1, 2, 3, 4]
    assert LogPage(pages, "/jobs/1/log").messages == ["step 1", "item 2", "item 3", "step 4"]


def test_a_line_of_one_step_never_shows_in_another(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "said by one")
    say(pages, step_id + 1, "said by two")
    assert LogPage(pages, STEP).messages == ["said by one"]
    assert LogPage(pages, "/jobs/1/steps/two").messages == ["said by two"]


def test_the_log_of_a_run_is_that_of_its_steps_in_their_order(pages: Pages, step_id: int) -> None:
    say(pages, step_id + 1, "later step")
    say(pages, step_id, "earlier step")
    page = LogPage(pages, "/jobs/1/log")
    assert page.messages == ["earlier step", "later step"]
    chunks = [each.attrib["data-step"] for each in page.body.iter("ol") if "data-step" in each.attrib]
    assert chunks == ["one", "two"]
    assert page.total == 2


def test_a_long_run_log_is_read_from_end_to_start_without_a_gap(pages: Pages, step_id: int) -> None:
    say(pages, step_id, *(f"one {number}" for number in range(1, 621)))
    say(pages, step_id + 1, *(f"two {number}" for number in range(1, 41)))
    page, messages = LogPage(pages, "/jobs/1/log"), []
    while True:
        messages = page.messages + messages
        if (earlier := page.link("Earlier")) is None:
            break
        page = LogPage(pages, earlier)
    assert messages == [*(f"one {n}" for n in range(1, 621)), *(f"two {n}" for n in range(1, 41))]


def test_a_line_says_which_work_item_it_is_from_and_each_time_looks_alike(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    say(pages, step_id, "by the step")
    say(pages, step_id, "by the item", worker_id=worker_id, level="error")
    lines = [each for each in LogPage(pages, STEP).body.iter("li") if "data-line" in each.attrib]
    who = [[each.attrib["href"] for each in line.iter("a") if each.get("class") == "who"] for line in lines]
    assert who == [[], [f"/jobs/{worker_id}"]]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", str(line[1].text)) for line in lines)
    assert [str(line[2].text) for line in lines] == ["info", "error"]


def test_a_failed_work_item_is_named_by_an_error_line_of_its_step(pages: Pages, step_id: int) -> None:
    pages.play("claim", step_id=step_id)
    pages.play("fail", step_id=step_id, error="out of luck")
    page = LogPage(pages, f"{STEP}?level=error")
    assert page.messages == ["a failed: out of luck"]


def test_each_of_many_that_end_at_once_has_a_line_that_names_it(pages: Pages, step_id: int) -> None:
    run_id = pages.play("start", steps=["many"], name="Many")
    (many,) = pages.play("plan", items=[f"worker {number}" for number in range(301)])
    pages.play("claim", step_id=many, most=301)
    pages.play("fail", step_id=many, most=301, error="out of luck")
    said = pages.get(f"/jobs/{run_id}/steps/many/log.txt?level=error").text.splitlines()
    assert {line.split("\t")[4] for line in said} >= {f"worker {n} failed: out of luck" for n in range(301)}


# Levels


def test_every_level_says_how_many_lines_it_has_and_leads_to_exactly_those(long_log: Pages) -> None:
    page = LogPage(long_log, STEP)
    shown = {status: number for (_, kind, status), number in counts(page.body).items() if kind == "line"}
    assert shown == {"all": 1200, "info": 1200, "warn": 120, "error": 12}
    for status, number in shown.items():
        chosen = LogPage(long_log, str(page.element(f"job-2-log-{status}").get("href")))
        assert chosen.total == number
        if status == "error":
            assert chosen.lines == list(range(100, 1300, 100))


@pytest.mark.parametrize("query", ["q=needle", "line=600", "q=line&level=warn"])
def test_the_totals_of_levels_hold_under_a_search_and_at_a_line(long_log: Pages, query: str) -> None:
    page = LogPage(long_log, f"{STEP}?{query}")
    for status in ("all", "info", "warn", "error"):
        number = int(next(page.element(f"job-2-log-{status}").iter("data")).attrib["value"])
        assert LogPage(long_log, str(page.element(f"job-2-log-{status}").get("href"))).total == number


def test_lines_of_debugging_are_shown_to_who_asks_for_them(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    say(pages, step_id, "::group::one", "two", "::endgroup::", worker_id=worker_id)
    say(pages, step_id, "four", "five", level="debug", worker_id=worker_id)
    say(pages, step_id, "six", level="warn", worker_id=worker_id)
    for path in (STEP, f"{STEP}?level=info", f"/jobs/{worker_id}", "/jobs/1/log"):
        page = LogPage(pages, path)
        assert (page.lines, page.total) == ([1, 2, 3, 6], 4), path
        every = LogPage(pages, str(page.link("6 all")))
        assert (every.lines, every.total) == ([1, 2, 3, 4, 5, 6], 6), path
    assert LogPage(pages, f"{STEP}?level=warn").lines == [6]
    assert [line.split("\t")[0] for line in pages.get(f"{STEP}/log.txt").text.splitlines()] == list("123456")


@pytest.mark.parametrize("path", ["/queue", "/jobs/1", "/fragments/steps/2"])
def test_the_end_of_a_log_has_no_lines_of_debugging(pages: Pages, step_id: int, path: str) -> None:
    for burst in range(40):
        say(pages, step_id, "noise", "noise", level="debug")
        say(pages, step_id, "one", "two", "three")
        if burst == 20:
            pages.get(path)  # chunks that were painted while they grew
    page = LogPage(pages, path)
    assert page.lines == [n for n in range(1, 201) if n % 5 not in (1, 2)][-len(page.lines) :]
    assert page.element("job-2-lines").get("data-total") == "120"
    assert f"last {len(page.lines)} of 120 lines, 80 of debugging left out" in page.said


def test_a_log_of_nothing_but_debugging_says_so(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "one", level="debug")
    page = LogPage(pages, STEP)
    assert (page.lines, page.total) == ([], 0)
    assert LogPage(pages, str(page.link("Show them."))).lines == [1]
    assert "no lines yet, 1 of debugging left out" in LogPage(pages, "/queue").said


def test_a_link_to_a_line_of_debugging_shows_that_line(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "one")
    say(pages, step_id, "two, a needle", level="debug")
    say(pages, step_id, "three, a needle")
    number = LogPage(pages, f"{STEP}?level=debug").element("L2").find("a")
    assert number is not None
    assert number.attrib["href"] == f"{STEP}?level=debug&line=2#L2"
    assert LogPage(pages, f"{STEP}?line=2").lines == [1, 2, 3]
    assert LogPage(pages, f"{STEP}?line=3").lines == [1, 3]
    assert "1 line with" in LogPage(pages, f"{STEP}?q=needle").said
    assert "2 of 2 lines with" in LogPage(pages, f"{STEP}?q=needle&level=debug&line=3").said


def test_the_levels_of_a_work_item_are_its_own(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    say(pages, step_id, "theirs", level="error")
    say(pages, step_id, "its own", level="error", worker_id=worker_id)
    page = LogPage(pages, f"/jobs/{worker_id}?level=error")
    assert (page.messages, page.total) == (["its own"], 1)


# Windows


def test_a_log_opens_at_its_end_with_a_bounded_number_of_lines(long_log: Pages) -> None:
    page = LogPage(long_log, STEP)
    assert page.lines == list(range(751, 1201))
    assert "450 of 1,200 lines" in page.said
    assert page.link("Later") is None
    assert page.link("End") is None


@pytest.mark.parametrize("query", ["", "?level=warn", "?q=line", "?q=careful&level=warn&wrap=off"])
def test_earlier_and_later_lead_through_every_line_once_and_keep_the_filter(long_log: Pages, query: str) -> None:
    page = LogPage(long_log, STEP + query)
    total = page.total
    earlier: list[int] = page.lines
    while (path := page.link("Earlier")) is not None:
        page = LogPage(long_log, path)
        earlier = page.lines + earlier
        assert page.total == total
    assert len(earlier) == total
    assert earlier == sorted(set(earlier))
    page = LogPage(long_log, str(LogPage(long_log, STEP + query).link("Start") or STEP + query))
    later = page.lines
    while (path := page.link("Later")) is not None:
        page = LogPage(long_log, path)
        later += page.lines
    assert later == earlier


def test_the_end_leads_back_and_keeps_level_search_and_wrapping(long_log: Pages) -> None:
    page = LogPage(long_log, f"{STEP}?level=warn&q=careful&after=300&wrap=off")
    assert page.link("End") == f"{STEP}?level=warn&q=careful&wrap=off"


def test_a_window_far_from_the_end_does_not_move_when_lines_come(long_log: Pages, step_id: int) -> None:
    before = LogPage(long_log, f"{STEP}?after=100").lines
    say(long_log, step_id, "more", "and more")
    assert LogPage(long_log, f"{STEP}?after=100").lines == before == list(range(101, 351))


def test_the_log_of_a_finished_step_keeps_its_window(long_log: Pages, step_id: int) -> None:
    before = LogPage(long_log, STEP).lines
    long_log.play("claim", step_id=step_id, most=3)
    long_log.play("complete", step_id=step_id, most=3)
    assert 'data-status="completed"' in LogPage(long_log, STEP).html
    assert LogPage(long_log, STEP).lines == [*before, 1201]  # the last one says that it ended


def test_what_a_page_that_stands_still_does_without_scripts_is_to_stand_still(long_log: Pages) -> None:
    assert 'http-equiv="refresh"' in LogPage(long_log, STEP).html
    assert 'http-equiv="refresh"' not in LogPage(long_log, f"{STEP}?after=100").html


# Lines


@pytest.mark.parametrize("path", [STEP, "/jobs/1/log"])
def test_a_number_is_a_link_to_its_line_in_a_window_that_has_it(long_log: Pages, step_id: int, path: str) -> None:
    page = LogPage(long_log, f"{path}?level=error")
    line = next(each for each in page.body.iter("li") if each.get("data-line") == "200")
    address, _, anchor = next(line.iter("a")).attrib["href"].partition("#")
    there = LogPage(long_log, address)
    chosen = there.element(anchor)
    assert chosen.attrib["data-line"] == "200"
    assert chosen.attrib["aria-current"] == "true"
    assert there.lines == list(range(100, 350))


def test_a_line_link_of_the_step_page_is_short(long_log: Pages) -> None:
    page = LogPage(long_log, f"{STEP}?line=120")
    assert page.element("L120").attrib["aria-current"] == "true"
    assert next(page.element("L120").iter("a")).attrib["href"] == f"{STEP}?line=120#L120"


def test_a_line_that_is_not_there_is_answered_with_the_way_out(long_log: Pages) -> None:
    page = LogPage(long_log, f"{STEP}?after=5000")
    assert page.lines == []
    assert "There is no line there." in page.said


@pytest.mark.parametrize("query", ["line=x", "after=-1", "before=1.2.3", "level=bogus", f"q={'x' * 1001}"])
def test_a_question_that_makes_no_sense_is_answered_with_400(long_log: Pages, query: str) -> None:
    assert long_log.get(f"{STEP}?{query}").status_code == 400


# Search


def test_a_search_shows_every_line_with_the_text_and_their_true_number(long_log: Pages) -> None:
    page = LogPage(long_log, f"{STEP}?q=NEEDLE")
    assert page.lines == list(range(100, 1300, 100))
    assert "12 lines with “NEEDLE”" in page.said
    assert [each.text for each in page.body.iter("mark")] == ["needle"] * 12


@pytest.mark.parametrize("text", ["100%", "a_b", "c/d", "<b>", "'; --", "\\"])
def test_what_is_searched_for_is_text_and_no_pattern(pages: Pages, step_id: int, text: str) -> None:
    say(pages, step_id, f"it says {text} here", "it says 1000 aXb c d here")
    page = LogPage(pages, pages.build_request("GET", STEP, params={"q": text}).url.raw_path.decode())
    assert page.lines == [1]
    assert next(page.body.iter("mark")).text == text


def test_one_goes_from_match_to_match_in_their_places(long_log: Pages) -> None:
    page = LogPage(long_log, f"{STEP}?q=needle")
    path = page.link("Go through them in place")
    seen = []
    while path is not None:
        page = LogPage(long_log, path.partition("#")[0])
        (current,) = (each for each in page.body.iter("li") if "aria-current" in each.attrib)
        seen.append(int(current.attrib["data-line"]))
        assert f"{len(seen)} of 12 lines with" in page.said
        assert len(page.lines) > 100
        path = page.link("Next match")
    assert seen == list(range(100, 1300, 100))
    assert f"line={seen[-2]}#" in str(page.link("Previous match"))
    assert page.link("Only the matches") == f"{STEP}?q=needle"


def test_a_search_goes_through_all_steps_of_a_run(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "nothing", "the needle")
    say(pages, step_id + 1, "another needle")
    page = LogPage(pages, "/jobs/1/log?q=needle")
    assert page.messages == ["the needle", "another needle"]
    first = LogPage(pages, str(page.link("Go through them in place")).partition("#")[0])
    second = LogPage(pages, str(first.link("Next match")).partition("#")[0])
    assert "2 of 2 lines with" in second.said
    assert second.link("Next match") is None
    assert f"line={step_id}.2#L{step_id}-2" in str(second.link("Previous match"))


def test_lines_that_come_after_a_search_are_found_too(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "needle", "hay")
    assert LogPage(pages, f"{STEP}?q=needle").lines == [1]
    say(pages, step_id, "hay", "needle")
    assert LogPage(pages, f"{STEP}?q=needle").lines == [1, 4]
    assert LogPage(pages, f"{STEP}?q=needle&level=error").lines == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("", "No lines yet."), ("?level=error", "No lines yet."), ("?q=x", "No lines yet.")],
)
def test_a_log_without_lines_says_so(pages: Pages, step_id: int, query: str, sentence: str) -> None:
    assert sentence in LogPage(pages, STEP + query).said


def test_a_filter_that_nothing_passes_says_so(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "only this")
    assert "No line matches." in LogPage(pages, f"{STEP}?q=else").said
    assert "No line matches." in LogPage(pages, f"{STEP}?level=error").said


# Terminal text


def test_colours_become_classes_and_other_escapes_are_shown(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "\x1b[1;31mred\x1b[0m and \x1b[38;5;208morange\x1b[m \x1b[2Kgone")
    page = LogPage(pages, STEP)
    assert [(each.get("class"), each.text) for each in page.body.iter("span") if each.text in ("red", "orange")] == [
        ("ink ink-1 bold", "red"),
        ("ink ink-208", "orange"),
    ]
    assert page.messages == ["red and orange ␛[2Kgone"]


def test_groups_are_folded_and_lose_no_line(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "before", "::group::Install <b>", "inside 1", "inside 2", "::endgroup::", "after")
    page = LogPage(pages, STEP)
    assert page.lines == [1, 2, 3, 4, 5, 6]
    (fold,) = (each for each in page.body.iter("details") if each.get("class") == "group-fold")
    assert [each.attrib["data-line"] for each in fold.iter() if "data-line" in each.attrib] == ["2", "3", "4", "5"]
    assert "open" not in fold.attrib
    assert "Install <b>" in "".join(fold[0].itertext())


def test_groups_of_work_items_that_speak_at_once_stay_apart(pages: Pages, step_id: int) -> None:
    one, other = pages.play("claim", step_id=step_id, most=2)
    say(pages, step_id, "::group::Mine", "mine 1", worker_id=one)
    say(pages, step_id, "theirs", worker_id=other)
    say(pages, step_id, "mine 2", "::endgroup::", worker_id=one)
    page = LogPage(pages, STEP)
    assert page.lines == [1, 2, 3, 4, 5]
    folds = [each for each in page.body.iter("details") if each.get("class") == "group-fold"]
    texts = ["".join(each.itertext()) for each in folds]
    assert len(folds) == 2
    assert "mine 1" in texts[0] and "theirs" not in texts[0]
    assert "continued" in texts[1] and "mine 2" in texts[1]


def test_a_chosen_line_is_not_hidden_in_a_fold(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "::group::Install", "inside", "::endgroup::")
    page = LogPage(pages, f"{STEP}?line=2")
    (fold,) = (each for each in page.body.iter("details") if each.get("class") == "group-fold")
    assert "open" in fold.attrib


def test_lines_are_wrapped_unless_the_address_says_otherwise(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "a line")
    page = LogPage(pages, f"{STEP}?level=info")
    assert page.link("Do not wrap") == f"{STEP}?level=info&wrap=off"
    unwrapped = LogPage(pages, str(page.link("Do not wrap")))
    assert "log unwrapped" in unwrapped.html
    assert unwrapped.link("Wrap") == f"{STEP}?level=info"


# Downloads


def test_a_log_is_downloaded_whole_as_text(long_log: Pages) -> None:
    answer = long_log.get(str(LogPage(long_log, STEP).link("Download")))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = [row.split("\t") for row in answer.text.splitlines()]
    assert [int(row[0]) for row in rows] == list(range(1, 1201))
    assert rows[99][2:] == ["error", "one", "line 100, the needle"]


def test_what_is_filtered_is_downloaded_filtered(long_log: Pages, step_id: int) -> None:
    address = LogPage(long_log, f"{STEP}?level=warn&q=needle&after=200").link("Download these lines")
    rows = long_log.get(str(address)).text.splitlines()
    assert [row.partition("\t")[0] for row in rows] == [str(number) for number in range(100, 1300, 100)]


def test_the_log_of_a_run_and_of_an_item_can_be_downloaded(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    say(pages, step_id, "mine", worker_id=worker_id)
    say(pages, step_id + 1, "theirs")
    run = pages.get("/jobs/1/log.txt").text.splitlines()
    assert [row.split("\t")[0::4] for row in run] == [["one:1", "mine"], ["two:1", "theirs"]]
    assert pages.get(f"/jobs/{worker_id}/log.txt").text.count("\n") == 1
    assert pages.get(f"/jobs/{step_id}/log.txt").text == pages.get(f"{STEP}/log.txt").text
    assert pages.get("/jobs/999/log.txt").status_code == 404


# Elsewhere


def test_the_fragment_of_a_log_is_what_its_page_shows(long_log: Pages) -> None:
    for page, fragment in (
        (f"{STEP}?level=warn&after=100", "/fragments/jobs/2/log?level=warn&after=100"),
        ("/jobs/1/log?q=needle", "/fragments/jobs/1/log?q=needle"),
        ("/jobs/4", "/fragments/jobs/4/log"),
    ):
        assert long_log.get(fragment).text in long_log.get(page).text


def test_long_messages_in_panels_lead_to_the_whole_line(pages: Pages, step_id: int) -> None:
    say(pages, step_id, "x" * 5_000)
    page = LogPage(pages, "/queue")
    assert page.link("4,000 more characters") == f"{STEP}?line=1#L1"
    assert "x" * 5_000 in LogPage(pages, f"{STEP}?line=1").html


def test_the_page_of_a_run_leads_to_its_whole_log(pages: Pages, step_id: int) -> None:
    assert LogPage(pages, f"/jobs/{step_id + 2}").link("Log of the step") == STEP
    assert LogPage(pages, STEP).link("Log of the run") == "/jobs/1/log"
    answer = pages.get("/jobs/1")
    assert 'href="/jobs/1/log"' in answer.text


# Work items


def test_a_work_item_says_who_ran_it_and_where(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    assert f"on {socket.gethostname()}, process {os.getpid()}" in LogPage(pages, f"/jobs/{worker_id}").said


def test_a_work_item_lists_the_documents_it_saved(pages: Pages, step_id: int) -> None:
    one, other = pages.play("claim", step_id=step_id, most=2)
    pages.play("save", step_id=step_id, worker_id=one, addresses=["file:/a", "file:/b"])
    pages.play("save", step_id=step_id, worker_id=other, addresses=["file:/b"])
    assert "Documents 2 made made file:/a" in LogPage(pages, f"/jobs/{one}").said
    assert "Documents 1 changed changed file:/b" in LogPage(pages, f"/jobs/{other}").said
    assert not re.search(r"Documents \d", LogPage(pages, f"/jobs/{other + 1}").said)
