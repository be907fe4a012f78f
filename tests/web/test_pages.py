"""The pages: the DOM contract, numbers that agree, text that stays text, actions that answer with a page."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest

from tests.web.conftest import Pages

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></head><body>",
    "</hx-partial><hx-partial hx-target='body'>",
    "{{ 7 * 7 }}{% raw %}",
    '<a hx-get="/x" hx-trigger="load">',
    "line one\nline two\r\nline three",
    "data: x\n\nid: 9",
    "\u202egnp.exe\u2066",
    "\x00\x07\x1b[31mred\x7f",
    "a\u2028b\u2029c\ufeff",
    "&amp;&lt;&#x3c;",
    "]]><!--",
]


class Elements(HTMLParser):
    """All elements of a page, as (tag, attributes), and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, name: str) -> list[dict[str, Any]]:
        return [attributes for _, attributes in self.all if name in attributes]

    @property
    def counts(self) -> Counter[tuple[str, str, str]]:
        """(scope, kind, status) of every count, with its value. A status that none has is not told."""
        return Counter(
            {
                (each["data-scope"], each["data-kind"], each["data-status"]): int(each["value"])
                for tag, each in self.all
                if tag == "data"
            }
        )


@pytest.fixture
def mid_run(pages: Pages) -> Pages:
    """A run with a step that is at work, one that waits, and items of every status."""
    pages.play("start", steps=["import_files", "classify"])
    (step_id,) = pages.play("plan", items=[f"item {number}" for number in range(12)])
    pages.play("claim", step_id=step_id, most=9)
    pages.play("complete", step_id=step_id, most=4)
    pages.play("fail", step_id=step_id, most=2)
    pages.play("log", step_id=step_id, messages=[f"message {number}" for number in range(20)])
    return pages


def seen(pages: Pages, path: str) -> Elements:
    answer = pages.get(path)
    assert answer.status_code == 200, answer.text
    return Elements(answer.text)


PATHS = [
    "/queue",
    "/queue?status=running",
    "/queue?definition=Trial",
    "/jobs",
    "/jobs?kind=worker&status=failed",
    "/jobs/1",
    "/jobs/1/steps/import_files",
    "/jobs/4",
    "/documents",
    "/documents?step_id=2",
    "/documents?q=file&tag=red",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_id_is_there_once(mid_run: Pages, path: str) -> None:
    ids = Counter(each["id"] for each in seen(mid_run, path).having("id"))
    assert [name for name, number in ids.items() if number > 1] == []


@pytest.mark.parametrize("path", PATHS)
def test_every_element_that_may_be_swapped_has_a_class(mid_run: Pages, path: str) -> None:
    # htmx marks what it swaps with a class for a moment; an element without one would keep an empty attribute.
    shell = {"content", "start", "filter", "datalist"}
    for each in seen(mid_run, path).having("id"):
        if each["id"].startswith(("job-", "count-", "view", "title", "runs", "statistics", "liveness")):
            assert each.get("class") or each["id"] in shell or each["id"].endswith("-heading"), each


@pytest.mark.parametrize("path", PATHS)
def test_pages_have_no_inline_style_and_no_inline_script(mid_run: Pages, path: str) -> None:
    page = seen(mid_run, path)
    assert page.having("style") == []
    assert [name for _, attributes in page.all for name in attributes if name.startswith("on")] == []
    assert all("src" in attributes for tag, attributes in page.all if tag == "script")
    assert not [tag for tag, _ in page.all if tag == "style"]


@pytest.mark.parametrize("path", PATHS)
def test_the_page_says_which_moment_it_shows(mid_run: Pages, path: str) -> None:
    revisions = {each["data-revision"] for each in seen(mid_run, path).having("data-revision")}
    assert len(revisions) == 1
    assert int(revisions.pop()) > 0


@pytest.fixture
def told(mid_run: Pages) -> Pages:
    """The same run, with failures that say different things, and documents that several work items have saved."""
    second = mid_run.play("claim", step_id=2, most=3)
    mid_run.play("fail", step_id=2, error="no answer from host 7")
    mid_run.play("save", step_id=2, worker_id=second[0], addresses=[f"file:/{number}" for number in range(5)])
    mid_run.play("save", step_id=2, worker_id=second[1], addresses=["file:/3", "file:/4", "file:/5"])
    mid_run.play("log", step_id=2, messages=["trouble"] * 3, level="warn", worker_id=second[0])
    mid_run.play("log", step_id=2, messages=["looking"], level="debug")
    mid_run.play("start", steps=["export"], depends=False)
    (export,) = mid_run.play("plan", items=["one"])
    (worker_id,) = mid_run.play("claim", step_id=export)
    mid_run.play("save", step_id=export, worker_id=worker_id, addresses=["file:/0", "file:/9"])
    return mid_run


def entries(pages: Pages, address: str, of_lines: bool) -> tuple[int, int]:
    """How many entries a list says it has, and how many it has, on all its pages. An address may name the list."""
    path, _, list_id = address.partition("#")
    totals, found = set(), 0
    while path:
        html = pages.get(path).text
        page = Elements(html)
        lists = [each for each in page.having("data-total") if ("log-lines" in each["class"]) == of_lines]
        (the_list,) = [each for each in lists if not list_id or each["id"] == list_id]
        totals.add(int(the_list["data-total"]))
        found += len(page.having("data-line")) if of_lines else len(re.findall(r'<li id="(?:job|document)-\d+"', html))
        following = None if of_lines else re.search(r'href="([^"]*)" rel="next"', html)
        path = following[1].replace("&amp;", "&") if following else ""
    (total,) = totals
    return total, found


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/queue", {"all", "manager", "step", "worker", "line", "document"}),
        ("/queue?definition=Trial&status=running", {"all", "manager", "step", "worker", "line", "document"}),
        ("/jobs/1", {"all", "worker", "line", "document"}),
        ("/jobs/1/steps/import_files", {"all", "worker", "line", "document"}),
        ("/jobs/1/steps/import_files?q=message", {"all", "worker", "line", "document"}),
        ("/jobs/1/steps/import_files?q=message&line=5", {"all", "worker", "line", "document"}),
        ("/jobs/1/log?level=warn", {"line"}),
        ("/jobs/13", {"line", "document"}),
        ("/jobs/14", {"line", "document"}),
        ("/documents?q=file", {"document"}),
    ],
)
def test_every_count_links_to_a_list_with_exactly_that_many_entries(told: Pages, path: str, kinds: set[str]) -> None:
    links = re.findall(
        r'href="([^"]*)"[^>]*>[^<]*(?:<strong>)?<data class="count" value="(\d+)" data-scope="[^"]*" data-kind="(\w+)"',
        html := told.get(path).text,
    )
    assert len(links) == html.count("<data ")
    assert {kind for _, _, kind in links} == kinds
    for address, value, kind in links:
        number = int(value)
        assert entries(told, address.replace("&amp;", "&"), kind == "line") == (number, number), address


def test_the_groups_of_failures_lead_to_their_work_items(told: Pages) -> None:
    html = told.get("/jobs/1").text
    groups = re.findall(r'<a href="([^"]*)"><data class="count" value="(\d+)" data-scope="failure:2:', html)
    assert sorted(int(number) for _, number in groups) == [1, 2]
    for address, number in groups:
        listed = told.get(address.replace("&amp;", "&")).text
        said = "no answer from host 7" if number == "1" else "boom"
        assert listed.count(f'class="reason"><bdi>{said}<') == int(number)
        assert "failed work items of step import_files of run 1 with the message" in listed


def test_a_document_counts_once_for_who_made_it(told: Pages) -> None:
    counts = seen(told, "/queue").counts
    assert (counts["manager:1", "document", "all"], counts["step:2", "document", "all"]) == (6, 6)
    made, changed = seen(told, "/jobs/13").counts, seen(told, "/jobs/14").counts
    assert made["worker:13", "document", "all"] == 5
    assert (changed["worker:14", "document", "all"], changed["worker:14", "document", "changed"]) == (1, 2)


def test_what_a_step_has_used_is_shown_with_it(mid_run: Pages) -> None:
    mid_run.play("use", step_id=2, amounts={"input_tokens": 1500, "cost": 0.25, HOSTILE[0]: 1})
    for path in ("/jobs/1", "/jobs/1/steps/import_files"):
        assert f"input tokens 1,500cost 0.25{HOSTILE[0]} 1" in seen(mid_run, path).text
    (step, *_) = mid_run.get("/api/jobs/1/tree").json()["steps"]
    assert step["totals"] == {"input_tokens": 1500, "cost": 0.25, HOSTILE[0]: 1}


def test_documents_are_listed_with_who_made_them(told: Pages) -> None:
    page = seen(told, "/documents")
    assert [each["data-total"] for each in page.having("data-total")] == ["7"]
    assert "file:/9" in page.text
    assert "made by item 9 of import_files, run 1" in page.text
    assert told.get("/fragments/documents").text in told.get("/documents").text


def test_many_documents_are_leafed_through_and_none_comes_twice(mid_run: Pages) -> None:
    (worker_id,) = mid_run.play("claim", step_id=2)
    mid_run.play("save", step_id=2, worker_id=worker_id, addresses=[f"file:/{number}" for number in range(120)])
    for query in ("", "?manager_id=1", "?step_id=2", f"?worker_id={worker_id}"):
        found, path = [], f"/documents{query}"
        while path:
            html = mid_run.get(path).text
            found += [int(each) for each in re.findall(r'<li id="document-(\d+)"', html)]
            following = re.search(r'href="([^"]*)" rel="next"', html)
            path = following[1].replace("&amp;", "&") if following else ""
        assert found == list(range(120, 0, -1))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("", "No step has made a document yet."), ("?worker_id=4", "No document is here now.")],
)
def test_an_empty_list_of_documents_says_why(mid_run: Pages, query: str, sentence: str) -> None:
    assert sentence in seen(mid_run, f"/documents{query}").text


def test_all_numbers_on_the_page_agree(mid_run: Pages) -> None:
    counts = seen(mid_run, "/queue").counts
    for status in ("pending", "running", "completed", "failed", "cancelled"):
        everything = counts["all", "all", status]
        assert everything == sum(counts["all", kind, status] for kind in ("manager", "step", "worker"))
        assert counts["all", "worker", status] == counts["manager:1", "worker", status]
        steps = (counts["step:2", "worker", status], counts["step:3", "worker", status])
        assert counts["manager:1", "worker", status] == sum(steps)
    assert counts["step:2", "worker", "all"] == 12
    assert counts["step:2", "worker", "failed"] == 2


def test_every_job_element_says_what_it_is(mid_run: Pages) -> None:
    jobs = {
        each["id"]: (each["data-kind"], each["data-status"])
        for each in seen(mid_run, "/queue").having("id")
        if re.fullmatch(r"job-\d+", each["id"])
    }
    assert jobs == {"job-1": ("manager", "running"), "job-2": ("step", "running"), "job-3": ("step", "pending")}


def test_all_steps_are_there_in_order_from_the_start(pages: Pages) -> None:
    pages.play("start", steps=["one", "two", "three"])
    text = seen(pages, "/queue").text
    assert [text.index(part) for part in ("1/3", "2/3", "3/3")] == sorted(text.index(f"{n}/3") for n in (1, 2, 3))
    assert "waiting for step one" in text


@pytest.mark.parametrize("lines", [0, 1, 4, 5, 6, 10, 11, 100])
def test_a_panel_shows_the_end_of_the_log(pages: Pages, lines: int) -> None:
    pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["item"])
    pages.play("log", step_id=step_id, messages=["message"] * lines)
    shown = [int(each["data-line"]) for each in seen(pages, "/queue").having("data-line")]
    assert shown == list(range(lines - len(shown) + 1, lines + 1))
    assert min(lines, 5) <= len(shown) <= 10


def test_a_line_that_is_asked_for_is_shown_whole(pages: Pages) -> None:
    pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["item"])
    pages.play("log", step_id=step_id, messages=["x" * 50_000])
    log = pages.get("/jobs/1/steps/one").text
    assert 'href="/jobs/1/steps/one?line=1#L1">46,000 more characters' in log
    assert "x" * 50_000 in pages.get("/jobs/1/steps/one?line=1").text
    queue = pages.get("/queue").text
    assert "49,000 more characters" in queue


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_stored_is_shown_as_text(pages: Pages, text: str) -> None:
    pages.play("start", steps=["one"], name=text, definition="hostile")
    (step_id,) = pages.play("plan", items=[text])
    (worker_id,) = pages.play("claim", step_id=step_id)
    pages.play("log", step_id=step_id, messages=[text], worker_id=worker_id)
    pages.play("fail", step_id=step_id, error=text)
    for path in ("/queue", "/jobs", "/jobs/1", "/jobs/1/steps/one", f"/jobs/{worker_id}", f"/fragments/jobs/{step_id}"):
        page = seen(pages, path)
        assert not {"img", "hx-partial"} & {tag for tag, _ in page.all}
        assert sum(tag == "body" for tag, _ in page.all) == (not path.startswith("/fragments"))
        assert sum(tag == "script" for tag, _ in page.all) in (0, 2)
        assert not page.having("hx-get") + page.having("onerror") + page.having("onmouseover")
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", pages.get(path).text)


def test_a_message_of_several_lines_is_one_line_of_the_log(pages: Pages) -> None:
    pages.play("start", steps=["one"])
    (step_id,) = pages.play("plan", items=["item"])
    pages.play("log", step_id=step_id, messages=["first\nsecond"])
    assert len(seen(pages, "/queue").having("data-line")) == 1


def test_a_step_id_leads_to_the_page_of_the_step(mid_run: Pages) -> None:
    answer = mid_run.get("/jobs/2", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1/steps/import_files")


def test_the_front_door_leads_to_the_queue(pages: Pages) -> None:
    answer = pages.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/queue")


def test_a_work_item_shows_its_error_and_traceback(mid_run: Pages) -> None:
    failed = mid_run.get("/jobs?kind=worker&status=failed").text
    worker_id = int(re.findall(r'"/jobs/(\d+)"><bdi>item', failed)[0])
    page = seen(mid_run, f"/jobs/{worker_id}")
    assert "boom" in page.text
    assert "Traceback" in page.text
    assert {"id": f"job-{worker_id}", "class": "job-page", "data-kind": "worker", "data-status": "failed"} in (
        page.having("data-kind")
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/999", 404),
        ("/jobs/1/steps/none", 404),
        ("/jobs/999/stream", 404),
        ("/queue?status=bogus", 400),
        ("/queue?cursor=x", 400),
        ("/jobs?cursor=worker.9.broken.9", 400),
        ("/jobs?kind=bogus", 400),
        ("/documents?cursor=x", 400),
        ("/documents?step_id=two", 400),
        ("/fragments/steps/999", 404),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_there_is_answered_with_a_page_that_says_so(mid_run: Pages, path: str, status: int) -> None:
    answer = mid_run.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status
    assert "to the queue" in answer.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("", "Nothing has run yet."), ("?status=failed", "No run matches this filter.")],
)
def test_an_empty_list_says_why_it_is_empty(pages: Pages, query: str, sentence: str) -> None:
    assert sentence in seen(pages, f"/queue{query}").text


def test_older_runs_are_reachable_and_none_twice(pages: Pages) -> None:
    started = [pages.play("start", steps=["one"], name=f"Run {number}") for number in range(45)]
    found, path = [], "/queue"
    while path:
        html = pages.get(path).text
        found += [int(each) for each in re.findall(r'<li id="job-(\d+)" class="run"', html)]
        following = re.search(r'href="([^"]*)" rel="next"', html)
        path = following.group(1).replace("&amp;", "&") if following else ""
    assert found == sorted(started, reverse=True)


def test_the_title_tells_the_state(mid_run: Pages) -> None:
    assert "1 running: Stepglass" in mid_run.get("/queue").text
    assert "running: Trial #1: Stepglass" in mid_run.get("/jobs/1").text


def test_a_run_is_started_from_the_page(pages: Pages) -> None:
    answer = pages.post("/jobs", data={"definition": "trial", "parameter.folder": "~/x"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1")
    assert "~/x" in seen(pages, "/jobs/1").text


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"definition": "trial", "parameter.folder": ""}, 422, "must be given"),
        ({"definition": "none"}, 404, "there is no definition none"),
        ({}, 404, "there is no definition"),
    ],
)
def test_a_run_that_cannot_start_says_why(pages: Pages, form: dict[str, str], status: int, sentence: str) -> None:
    answer = pages.post("/jobs", data=form)
    assert answer.status_code == status
    assert sentence in answer.text


def test_a_definition_that_is_running_leads_to_its_run(pages: Pages) -> None:
    form = {"definition": "trial", "parameter.folder": "x"}
    pages.post("/jobs", data=form)
    answer = pages.post("/jobs", data=form)
    assert answer.status_code == 409
    assert 'href="/jobs/1"' in answer.text


def test_a_run_is_cancelled_from_its_page(mid_run: Pages) -> None:
    assert "Cancel run" in seen(mid_run, "/jobs/1").text
    answer = mid_run.post("/jobs/1/cancellation", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1")
    page = seen(mid_run, "/jobs/1")
    assert "cancelled by a person" in page.text
    assert "Cancel run" not in page.text


def test_fragments_are_what_the_page_shows(mid_run: Pages) -> None:
    queue = mid_run.get("/queue").text
    for path in (
        "/fragments/statistics",
        "/fragments/jobs/1",
        "/fragments/jobs/1/head",
        "/fragments/steps/2",
        "/fragments/jobs/3",
        "/fragments/jobs/2/head",
    ):
        fragment = mid_run.get(path)
        assert fragment.status_code == 200
        assert fragment.text in queue, path


def test_a_window_of_a_log_is_filtered_by_level(mid_run: Pages) -> None:
    assert len(seen(mid_run, "/fragments/steps/2/log?level=error").having("data-line")) == 2
    shown = [each["data-line"] for each in seen(mid_run, "/fragments/steps/2/log?after=3").having("data-line")]
    assert shown[0] == "4"
    before = [each["data-line"] for each in seen(mid_run, "/fragments/steps/2/log?before=3").having("data-line")]
    assert before == ["1", "2"]


def test_a_step_with_an_odd_name_has_a_page(pages: Pages) -> None:
    name = "näme with spaces & more"
    pages.play("start", steps=[name])
    assert name in seen(pages, f"/jobs/1/steps/{quote(name, safe='')}").text


def test_the_style_sheet_is_one_and_may_be_kept(pages: Pages) -> None:
    addresses = re.findall(r'<link rel="stylesheet" href="([^"]*)"', pages.get("/queue").text)
    assert len(addresses) == 1
    answer = pages.get(addresses[0])
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]


def test_a_run_has_as_many_documents_wherever_one_looks(pages: Pages) -> None:
    """Those that a later step changes are no new ones."""
    pages.play("start", steps=["one", "two"], depends=False)
    one, two = pages.play("plan", items=["a"])
    (maker,), (changer,) = pages.play("claim", step_id=one), pages.play("claim", step_id=two)
    pages.play("save", step_id=one, worker_id=maker, addresses=[f"place {number}" for number in range(17)])
    pages.play("save", step_id=two, worker_id=changer, addresses=[f"place {number}" for number in range(4)])
    for path in ("/queue", "/jobs/1"):  # of the run, and of one
        assert re.findall(r"([\d,]+)</data> documents?<", pages.get(path).text) == ["17", "17"], path
    for step, shown in (("one", ["17"]), ("two", [])):
        assert re.findall(r"([\d,]+)</data> documents?<", pages.get(f"/jobs/1/steps/{step}").text) == shown
