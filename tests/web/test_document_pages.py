"""The documents as people find and read them, and as programs do."""

from __future__ import annotations

import html as htmls
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.web.document_view import DocumentView
from app.web.live.hub import Live
from app.web.painting.document import SHOWN
from tests.web.browser_model import Dom, parsed
from tests.web.conftest import Pages
from tests.web.stage import Stage

HARMFUL = """
<script>alert(1)</script> <img src=x onerror=alert(1)> <b id=view class=live hx-get=/x style=top:0>bold</b>

[a](javascript:alert(1)) [b](data:text/html,x) [c](/jobs) [d](//evil.example) [e](https://good.example "t") <vbscript:x>

![picture](https://evil.example/track.png) &#x202e;turned &#0; around\u202e
"""


@pytest.fixture
def step_id(pages: Pages) -> int:
    pages.play("start", steps=["read"])
    (step_id,) = pages.play("plan", items=["reader", "other"])
    return int(step_id)


def write(pages: Pages, step_id: int, *documents: Mapping[str, Any], worker_id: int | None = None) -> None:
    pages.play("write_documents", step_id=step_id, documents=list(documents), worker_id=worker_id)


def said(html: str) -> str:
    return " ".join(htmls.unescape(re.sub("<[^>]*>", "", html)).split())


def part(html: str, element_id: str) -> str:
    """The text of one element."""
    (found,) = [each for each in parsed(html).iter() if each.attrib.get("id") == element_id]
    return " ".join("".join(found.itertext()).split())


def titles(pages: Pages, query: str = "") -> list[str]:
    html = pages.get(f"/documents{query}").text
    listed = re.findall(r'<li id="document-\d+".*?<a href="/documents/\d+"><bdi>(.*?)</bdi>', html)
    assert re.findall(r'id="documents" [^>]*data-total="(\d+)"', html) == [str(len(listed))]
    return [re.sub("</?mark>", "", each) for each in listed]


def links(html: str, kind: str) -> Sequence[tuple[str, int, str]]:
    """The facets of a kind: name, number, address."""
    found = re.findall(
        rf'<a class="facet" href="([^"]*)"><data class="count" value="(\d+)" data-scope="{kind}:([^"]*)"', html
    )
    return [(name, int(number), htmls.unescape(url)) for url, number, name in found]


def test_documents_are_narrowed_down_and_each_condition_taken_away(pages: Pages, step_id: int) -> None:
    write(
        pages,
        step_id,
        {"title": "one", "body": "the black sea", "tags": ["red", "blue"], "metadata": {"x": {"category": "test"}}},
        {"title": "two", "body": "the white sea", "tags": ["red"], "source_type": "page"},
        {"title": "three", "body": "the red sea", "tags": ["red", "blue", "a&b"]},
    )
    html = pages.get("/documents?q=sea&tag=red").text
    assert links(html, "tag") == [
        ("blue", 2, "/documents?q=sea&tag=red&tag=blue"),
        ("a&amp;b", 1, "/documents?q=sea&tag=red&tag=a%26b"),
    ]
    assert links(html, "source_type")[0][:2] == ("note", 2)
    assert links(html, "category") == [("test", 1, "/documents?q=sea&tag=red&category=test")]
    assert titles(pages, "?q=sea&tag=red&tag=blue") == ["three", "one"]
    filtered = pages.get(
        "/documents?q=sea&tag=red&tag=blue&source_type=note&category=test&manager_id=1&from=2020-01-01"
    ).text
    chips = re.findall(r'<a class="filter-chip" href="([^"]*)"><bdi>(.*?)</bdi>', filtered)
    assert [words.split(" ")[0] for _, words in chips] == ["with", "tagged", "tagged", "of", "in", "made", "made"]
    for address, _ in chips:
        assert titles(pages, htmls.unescape(address).removeprefix("/documents"))[-1] == "one"
    kept = re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', filtered)
    assert kept == [("manager_id", "1"), ("tag", "red"), ("tag", "blue")]


def test_every_facet_leads_to_as_many_documents_as_it_says(pages: Pages, step_id: int) -> None:
    documents = [
        {"title": f"n{n}", "body": "even" if n % 2 else "odd", "tags": [f"t{d}" for d in (2, 3, 5) if n % d == 0]}
        for n in range(40)
    ]
    write(pages, step_id, *documents)
    for query in ("", "?q=even", "?tag=t3", f"?step_id={step_id}&q=odd"):
        html = pages.get(f"/documents{query}").text
        found = [*links(html, "tag"), *links(html, "source_type")]
        assert len(found) > 1
        for name, number, address in found:
            assert len(titles(pages, address.removeprefix("/documents"))) == number, (query, name)


def test_the_words_that_were_found_are_marked(pages: Pages, step_id: int) -> None:
    write(pages, step_id, {"title": "A <b>needle</b>", "body": "x " * 500 + "the <i>Needles</i> & more"})
    html = pages.get("/documents?q=needle*").text
    assert "A &lt;b&gt;<mark>needle</mark>&lt;/b&gt;" in html
    assert "the &lt;i&gt;<mark>Needles</mark>&lt;/i&gt; &amp; more" in html
    assert "No document matches this filter." in pages.get("/documents?q=nothing-like-it").text
    assert pages.get("/fragments/documents?q=needle*").text in html


def test_documents_that_are_found_are_leafed_through(pages: Pages, step_id: int) -> None:
    write(pages, step_id, *({"title": f"n{number}", "body": "found"} for number in range(120)))
    found, path = [], "/documents?q=found&tag="
    while path:
        html = pages.get(path).text
        found += [int(each) for each in re.findall(r'<li id="document-(\d+)"', html)]
        following = re.search(r'href="([^"]*)" rel="next"', html)
        path = htmls.unescape(following[1]) if following else ""
    assert found == list(range(120, 0, -1))


def test_a_document_tells_everything_that_is_known_of_it(pages: Pages, step_id: int) -> None:
    worker_id, other = pages.play("claim", step_id=step_id, most=2)
    facts = {"crawler": {"depth": 2, "words": ["a", "b"]}, "rules": {"category": "docs"}}
    document = {
        "title": "Title", "address": "https://example.org/x?a=1&b=2", "body": "# Head\n\n*text*", "tags": ["t1"],
        "metadata": facts, "content_hash": "abc123",
    }  # fmt: skip
    write(pages, step_id, document, worker_id=worker_id)
    html = pages.get("/documents/1").text
    head = part(html, "document-1-head")
    assert "by reader of read, run 1" in head
    assert "abc123" in head
    assert "Changed last" not in head
    assert '<a href="https://example.org/x?a=1&amp;b=2" rel="noopener nofollow">' in html
    assert 'href="/documents?tag=t1"' in html and 'href="/documents?category=docs"' in html
    assert f'href="/jobs/{worker_id}"' in html and 'href="/jobs/1/steps/read"' in html
    assert "crawler depth 2" in " ".join(re.sub("<[^>]*>", " ", html).split())
    assert "<h2>Head</h2>\n<p><em>text</em></p>" in html
    assert pages.get("/fragments/documents/1").text in html
    write(pages, step_id, {**document, "body": "new"}, worker_id=other)
    assert "by other of read, run 1" in part(pages.get("/documents/1").text, "document-1-head").partition("Changed")[2]
    raw = pages.get("/documents/1?raw")
    assert (raw.text, raw.headers["content-type"]) == ("new", "text/plain; charset=utf-8")
    for list_path in ("/documents", f"/jobs/{worker_id}"):
        assert '<a href="/documents/1"><bdi>Title</bdi></a>' in pages.get(list_path).text


def test_markdown_does_no_harm(pages: Pages, step_id: int) -> None:
    write(pages, step_id, {"title": "x", "body": HARMFUL, "address": "javascript:alert(1)"})
    html = pages.get("/documents/1").text
    (body,) = re.findall(r'<div class="prose" dir="auto">(.*?)</div>', html, re.DOTALL)
    assert set(re.findall(r"<(\w+)", body)) <= {"p", "a"}
    assert re.findall(r' (\w+)="([^"]*)"', body.replace(' rel="noopener nofollow"', "")) == [
        ("href", "https://good.example"),
        ("href", "https://evil.example/track.png"),
    ]
    assert "\u2039U+202E\u203aturned" in body and "\u202e" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert 'href="javascript:' not in html


@pytest.mark.parametrize(("title", "is_markdown"), [("src/a.py", False), ("docs/README.md", True), ("Makefile", False)])
def test_a_file_is_shown_as_it_is_unless_it_is_markdown(
    pages: Pages, step_id: int, title: str, is_markdown: bool
) -> None:
    write(pages, step_id, {"title": title, "body": "# one\n<two>", "source_type": "file"})
    html = pages.get("/documents/1").text
    assert ("<h2>one</h2>" in html) == is_markdown
    assert ('<pre class="as-stored"><code dir="auto"># one\n&lt;two&gt;</code></pre>' in html) != is_markdown


def test_a_long_document_shows_its_beginning_and_offers_the_rest(pages: Pages, step_id: int) -> None:
    body = "word\n\n" * 250_000
    write(pages, step_id, {"title": "x" * 1_000, "body": body, "metadata": {"x": {f"k{n}": n for n in range(1_000)}}})
    html = pages.get("/documents/1").text
    assert len(html) < 300_000
    assert f"These are the first {SHOWN:,} characters. {len(body) - SHOWN:,} more follow" in said(html)
    assert "800 more are in the JSON" in said(html)
    assert pages.get("/documents/1?raw").text == body


@pytest.mark.parametrize(
    "path",
    [
        "/documents/7",
        "/documents/7?raw",
        "/documents/7/stream",
        "/fragments/documents/7",
        "/documents/99999999999999999999",
    ],
)
def test_a_document_that_is_not_there_is_said_not_to_be(pages: Pages, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 404
    assert "there is no document" in answer.text


def as_of_any_moment(page: Dom) -> str:
    return re.sub(r'data-revision="\d+"', "", page.html)


async def test_an_open_page_follows_its_document_until_it_is_gone(stage: Stage, live: Live) -> None:
    await stage.start(["one"])
    (step_id,) = await stage.plan(["a"])
    await stage.write_documents(step_id, [{"title": "x", "body": "first"}, {"title": "y"}])
    view = DocumentView(1)
    screen = await stage.access.read(lambda snapshot: view.paint(live.easel, snapshot))
    page = Dom("".join(piece.html for piece in screen.pieces))
    subscriber = live.subscribe(view, None, screen.revision)
    stream = subscriber.frames()

    async def until(text: str) -> None:
        while text not in page.html:
            for message in (await anext(stream)).decode().split("\n\n"):
                if message.strip():
                    page.receive(message)

    await stage.write_documents(step_id, [{"title": "x", "body": "second"}])
    await until("second")
    fresh = await stage.access.read(lambda snapshot: view.paint(live.easel, snapshot))
    assert as_of_any_moment(page) == as_of_any_moment(Dom("".join(piece.html for piece in fresh.pieces)))
    await stage.remove_documents(["note:x"])
    await until("What this page showed has been deleted.")
    await until("to the documents")
    subscriber.drop()


def test_programs_find_and_read_documents(pages: Pages, step_id: int) -> None:
    (worker_id,) = pages.play("claim", step_id=step_id)
    write(
        pages,
        step_id,
        *({"title": f"n{n}", "body": "sea", "tags": ["a", "b"][: n + 1]} for n in range(3)),
        worker_id=worker_id,
    )
    answer = pages.get("/api/documents?q=sea&tag=a&tag=b&limit=1").json()
    assert (answer["total"], [each["title"] for each in answer["documents"]]) == (2, ["n2"])
    rest = pages.get(f"/api/documents?q=sea&tag=a&tag=b&limit=1&cursor={answer['next']}").json()
    assert ([each["title"] for each in rest["documents"]], rest["next"]) == (["n1"], None)
    one = pages.get(f"/api/documents/{rest['documents'][0]['id']}").json()
    assert (one["body"], one["tags"], one["made_by"]["worker_id"]) == ("sea", ["a", "b"], worker_id)
    assert one["revision"] == answer["revision"]
    gone = pages.get("/api/documents/99")
    assert (gone.status_code, gone.json()["error"]) == (404, "no_such_document")
    assert pages.get("/api/documents?cursor=x").status_code == 400


@pytest.mark.parametrize("query", ["?tag=" + "&tag=".join(map(str, range(21))), "?q=" + "x" * 1_001, "?from=now"])
def test_a_search_that_cannot_be_is_refused_with_the_reason(pages: Pages, query: str) -> None:
    answer = pages.get(f"/documents{query}")
    assert answer.status_code == 400
    assert re.search("tag must be given at most 20|q must have at most|from must be a time", answer.text)
