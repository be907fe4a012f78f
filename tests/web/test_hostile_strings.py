"""Whatever stands in the fields of jobs is text: on every page, in every fragment, stream, answer and download.

A page about a hostile string is compared with the same page about a harmless one. What they consist of, element by
element and attribute by attribute, has to be the same, and the string has to be found as text as often as the harmless
one is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import msgspec
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide

from app.queue.run_plan import RunPlan
from app.queue.snapshot import DocumentFilter, JobFilter, RunFilter
from app.queue.store import claim as claiming
from app.queue.store.cancel import cancel
from app.web import errors, security, site
from app.web.access import Access, DefinitionSummary, NoSuchDefinition, NotStartable
from app.web.api import api_router
from app.web.documents_view import DocumentsView
from app.web.live import channel as channels
from app.web.live.hub import Live
from app.web.live.subscriber import Subscriber
from app.web.queue_view import QueueView
from app.web.run_view import RunView
from app.web.screens import View
from app.web.security import HEADERS
from app.web.templating import environment, shown, template_config
from app.web.views import ItemView, JobsView, RunLogView, StepView
from tests.hostile import CORPUS, ENDLESS, Hostile, Played, play, start_run
from tests.web.browser_model import Dom, parsed
from tests.web.stage import open_access

PLAIN = Hostile("harmless", "harmless")
SLASHED = Hostile("harmless with a slash", "harm/less")
"""For comparison with those that have one, and stand elsewhere without it."""
LONG = 70
"""Characters from which on some places show only the beginning."""

PAGES = (
    "/queue?definition={text}&tag={text}&q={part}",
    "/jobs?definition={text}&tag={text}",
    "/jobs?definition={text}&step={path}&kind=worker",
    "/jobs/{run}",
    "/jobs/{run}/log?level=debug",
    "/jobs/{run}/log?q={part}",
    "/jobs/{run}/steps/{path}",
    "/jobs/{run}/steps/{path}?q={part}&line=2",
    "/jobs/{completed}",
    "/jobs/{failed}",
    "/jobs/{tried}",
    "/definitions",
    "/documents?manager_id={run}",
    "/documents?tag={text}&source_type={text}&step_id={step}",
)
FRAGMENTS = (
    "/fragments/jobs/{run}",
    "/fragments/jobs/{run}/timeline",
    "/fragments/jobs/{step}/head",
    "/fragments/jobs/{failed}",
    "/fragments/steps/{other_step}",
    "/fragments/jobs/{completed}/log?q={part}",
    "/fragments/documents?manager_id={run}",
)
REFUSED = (
    "/queue?status={text}",
    "/queue?from={text}",
    "/jobs?cursor={text}",
    "/jobs/{run}/steps/nothing%20{path}",
    "/jobs/{run}/log?line={text}",
    "/nowhere/{path}",
)
JSON = (
    "/api/jobs?manager_id={run}",
    "/api/jobs?manager_id={run}&kind=manager",
    "/api/jobs/{failed}",
    "/api/jobs/{run}/structure",
    "/api/jobs/{run}/tree",
    "/api/jobs/{run}/logs",
    "/api/definitions",
    "/api/documents?manager_id={run}",
    "/api/documents?tag={text}&source_type={text}",
)
NEVER_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]")


class Definitions:
    """One definition that says the same wherever it says something."""

    text = ""
    editor = None

    @property
    def troubles(self) -> Sequence[str]:
        return [self.text]

    def definitions(self) -> Sequence[DefinitionSummary]:
        parameter = (self.text, self.text, None, self.text)
        return [DefinitionSummary(self.text, self.text, self.text, (self.text,), True, "", (parameter,), self.text)]

    def plan(self, definition: str, parameters: Mapping[str, Any]) -> RunPlan:
        if definition != self.text:
            raise NoSuchDefinition(f"there is no definition {definition}")
        raise NotStartable({self.text: self.text, **parameters})


@dataclass
class House:
    """Runs full of each string, and the server that shows them."""

    client: httpx.AsyncClient
    access: Access
    live: Live
    definitions: Definitions
    played: dict[str, Played]
    _harmless: dict[tuple[Hostile, str], httpx.Response] = field(default_factory=dict)

    async def get(self, hostile: Hostile, path: str) -> httpx.Response:
        return await self.client.get(self.address(hostile, path))

    async def harmless(self, hostile: Hostile, path: str) -> httpx.Response:
        """The same page about a harmless string."""
        key = like(hostile), path
        if key not in self._harmless:
            self._harmless[key] = await self.get(*key)
        return self._harmless[key]

    def address(self, hostile: Hostile, path: str) -> str:
        self.definitions.text = text = hostile.stored
        return path.format(
            text=quote_plus(text),
            path=_quoted(hostile.step_name),
            part=quote_plus(text[:900]),
            **self.played[text]._asdict(),
        )


def application(access: Access, live: Live) -> Litestar:
    """Everything that the product serves, over a queue that only the test moves."""

    async def the_access() -> Access:
        return access

    async def the_live() -> Live:
        return live

    app = Litestar(
        [*site.handlers(), api_router()],
        dependencies={"access": Provide(the_access), "live": Provide(the_live)},
        exception_handlers=errors.exception_handlers(),
        template_config=template_config(live.easel.painter.environment),
        openapi_config=None,
        logging_config=None,
    )
    app.state.access = access
    security.guard(app, ())
    return app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    directory = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channels, "INTERVAL", 0.0)
        async with open_access(directory) as access, Live(access, environment(), heartbeat=3600).running() as live:
            played = {}
            for each in (PLAIN, SLASHED, *CORPUS):
                patch.setattr(claiming, "here", lambda text=each.stored: f"{text}:4711")
                run = await start_run(access.writer, each.stored)
                played[each.stored] = await play(access.writer, each.stored, run)
            access.catalog = definitions = Definitions()
            transport = httpx.ASGITransport(application(access, live))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", headers={"accept": "text/html"}
            ) as client:
                yield House(client, access, live, definitions, played)


Tag = tuple[str, str, tuple[tuple[str, str], ...]]


class Skeleton(HTMLParser):
    """What HTML consists of when all text is taken out, also out of its attributes; and the text."""

    def __init__(self, html: str, hostile: Hostile, without_logs: bool, without_labels: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self._without_logs, self._without_labels = without_logs, without_labels
        self._forms = _forms(hostile)
        self.events: list[Tag] = []
        self.text = ""
        self._in_log = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_log += bool(self._in_log and tag == "div")
        if not self._in_log:
            self.events.append(("start", tag, tuple((name, self._without_text(name, value)) for name, value in attrs)))
        if self._without_logs and dict(attrs).get("class") == "log-lines":
            self._in_log = 1

    def handle_endtag(self, tag: str) -> None:
        self._in_log -= bool(self._in_log and tag == "div")
        if not self._in_log:
            self.events.append(("end", tag, ()))

    def handle_comment(self, data: str) -> None:
        self.events.append(("comment", data, ()))

    def handle_decl(self, decl: str) -> None:
        self.events.append(("declaration", decl, ()))

    def unknown_decl(self, data: str) -> None:
        self.events.append(("declaration", data, ()))

    def handle_pi(self, data: str) -> None:
        self.events.append(("instruction", data, ()))

    def handle_data(self, data: str) -> None:
        if not self._in_log:
            self.text += data

    def _without_text(self, name: str, value: str | None) -> str:
        if value is None:
            return ""
        if name == "aria-label" and self._without_labels:
            return ""
        for form in self._forms:
            value = value.replace(form, "text")
        value = re.sub(r"failure=[\w.~%+-]*$", "failure=text", value)  # a pattern, in which the text is no more
        return re.sub(r"failure(-|:[0-9]+:)[0-9a-f]{8}|[0-9]+", "#", value)


@cache
def harmless_skeleton(html: str, hostile: Hostile, without_logs: bool, without_labels: bool) -> Skeleton:
    """The pages that all others are compared with are taken apart once."""
    return Skeleton(html, hostile, without_logs, without_labels)


@cache
def _forms(hostile: Hostile) -> list[str]:
    """How the string may stand in an attribute."""
    texts = {hostile.stored, hostile.step_name, hostile.stored[:900]}
    found = {each for text in texts for each in (visible(text), quote_plus(text), quote(text), _quoted(text))}
    return sorted(found, key=len, reverse=True)


def like(hostile: Hostile) -> Hostile:
    return SLASHED if "/" in hostile.text else PLAIN


def _quoted(text: str) -> str:
    return quote(text, safe="")


def unslashed(text: str) -> str:
    """So that the names of steps are counted too, which have no slash."""
    return text.replace("/", "-")


def visible(text: str) -> str:
    return str(shown(text))


def assert_only_text(hostile: Hostile, path: str, found: httpx.Response, harmless: httpx.Response) -> None:
    """The answer is the harmless one with another text in it."""
    told = f"{hostile.name}: {path}"
    assert found.status_code == harmless.status_code, told
    html = found.content.decode()
    assert not NEVER_RAW.search(html), told
    wanted = unslashed(visible(hostile.stored))
    is_long = len(wanted) > LONG
    one = Skeleton(html, hostile, hostile.shapes_logs, is_long)
    other = harmless_skeleton(harmless.text, like(hostile), hostile.shapes_logs, is_long)
    assert one.events == other.events, told
    if wanted.strip() and not is_long and len(hostile.stored) <= LONG and path not in REFUSED:
        inside_json = unslashed(visible(msgspec.json.encode(hostile.stored).decode()[1:-1]))
        text = unslashed(one.text).replace(inside_json, wanted)
        assert text.count(wanted) == unslashed(other.text).count(like(hostile).step_name), told


def assert_headers_unharmed(hostile: Hostile, found: httpx.Response, harmless: httpx.Response) -> None:
    named_once = {"set-cookie"}  # a browser gets its name with the first page
    assert found.headers.keys() - named_once == harmless.headers.keys() - named_once, hostile.name
    for name, value in found.headers.multi_items():
        assert value.isascii() and value.isprintable(), (hostile.name, name)
        if name not in ("content-length", "location", *named_once):
            assert re.sub("[0-9]+", "#", value) == re.sub("[0-9]+", "#", harmless.headers[name]), (hostile.name, name)
    assert HEADERS.items() <= {name: found.headers[name] for name in HEADERS}.items()


each_string = pytest.mark.parametrize("hostile", CORPUS, ids=[each.name for each in CORPUS])


def test_there_are_enough_of_them_and_no_two_are_alike() -> None:
    assert len({each.stored for each in CORPUS}) == len({each.name for each in CORPUS}) == len(CORPUS) >= 80


@each_string
@pytest.mark.asyncio(loop_scope="module")
async def test_pages_and_fragments_are_those_of_a_harmless_run(house: House, hostile: Hostile) -> None:
    for path in (*PAGES, *FRAGMENTS, *REFUSED):
        found, harmless = await house.get(hostile, path), await house.harmless(hostile, path)
        assert_only_text(hostile, path, found, harmless)
        assert_headers_unharmed(hostile, found, harmless)


@each_string
@pytest.mark.asyncio(loop_scope="module")
async def test_json_tells_the_string_as_it_is(house: House, hostile: Hostile) -> None:
    for path in JSON:
        found, harmless = await house.get(hostile, path), await house.harmless(hostile, path)
        assert found.status_code == 200, (path, found.text)
        assert_headers_unharmed(hostile, found, harmless)
        told = [each for each in values(found.json()) if hostile.stored in each or hostile.step_name in each]
        assert len(told) == len(
            [each for each in values(harmless.json()) if like(hostile).text in each or like(hostile).step_name in each]
        ), path


@each_string
@pytest.mark.asyncio(loop_scope="module")
async def test_a_document_is_found_by_the_string_and_shows_it_as_text(house: House, hostile: Hostile) -> None:
    """How its text looks, and which of its words are marked, depends on the string: that much is left out."""
    searched = "&q={part}" if len(hostile.stored) <= 900 else ""
    listed = await house.get(hostile, "/documents?tag={text}&source_type={text}" + searched)
    found = re.findall(r'<li id="document-(\d+)" class="document">', listed.text)
    assert len(found) == 1, hostile.name
    assert _vocabulary(listed) <= _vocabulary(await house.harmless(hostile, "/documents?tag={text}&q={part}"))
    path, harmless_path = f"/documents/{found[0]}", await _document_of(house, like(hostile))
    for about in ("", "/fragments"):
        shown, harmless = await house.client.get(about + path), await house.client.get(about + harmless_path)
        assert_headers_unharmed(hostile, shown, harmless)
        assert set(re.findall(r"<(\w+)((?: (?!href|rel|start|dir|class)\w+)*)", _body(shown.text))) <= MARKDOWN
        assert not NEVER_RAW.search(shown.text)
        rest, other = (each.text.replace(_body(each.text), "") for each in (shown, harmless))
        is_long = len(hostile.stored) > LONG
        one = Skeleton(rest, hostile, False, is_long)
        assert one.events == harmless_skeleton(other, like(hostile), False, is_long).events, hostile.name
    assert (await house.client.get(f"{path}?raw")).text == hostile.stored


MARKDOWN = {
    (tag, "")
    for tag in [
        "div",
        "p",
        "pre",
        "code",
        "a",
        "em",
        "strong",
        "s",
        "br",
        "hr",
        "ul",
        "ol",
        "li",
        "blockquote",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ]
}


async def _document_of(house: House, hostile: Hostile) -> str:
    listed = await house.get(hostile, "/documents?tag={text}")
    return "/documents/" + re.findall(r'<li id="document-(\d+)"', listed.text)[0]


def _body(html: str) -> str:
    """What a document says, as HTML."""
    found: str = re.findall(r'<section id="document-\d+-body"[^>]*>(.*?)</section>', html, re.DOTALL)[0]
    return found


def _vocabulary(answer: httpx.Response) -> set[tuple[str, str]]:
    """All elements with the names of their attributes."""
    return {(each.tag, " ".join(sorted(each.attrib))) for each in parsed(answer.text).iter()}


def values(tree: Any) -> list[str]:
    """All texts in some JSON, keys too; but the pattern of a failure is not as it was said."""
    if isinstance(tree, str):
        return [tree]
    if isinstance(tree, dict):
        return [text for pair in tree.items() if pair[0] != "pattern" for each in pair for text in values(each)]
    return [text for each in tree for text in values(each)] if isinstance(tree, list) else []


@each_string
@pytest.mark.asyncio(loop_scope="module")
async def test_what_redirects_refuses_and_downloads_is_unharmed(house: House, hostile: Hostile) -> None:
    """A step's id leads to its name; a form is refused; a log has a file name."""
    harmless = await house.harmless(hostile, "/jobs/{step}?q={part}")
    found = await house.get(hostile, "/jobs/{step}?q={part}")
    assert found.status_code == harmless.status_code == 303
    assert_headers_unharmed(hostile, found, harmless)
    assert found.headers["location"].startswith(f"/jobs/{house.played[hostile.stored].run}/steps/")
    assert (await house.client.get(found.headers["location"])).status_code == 200

    for form in ({"definition": hostile.stored, f"parameter.{hostile.stored}": hostile.stored}, {"definition": "none"}):
        house.definitions.text = hostile.stored
        refused = await house.client.post("/jobs", data=form)
        house.definitions.text = like(hostile).text
        told = {
            name.replace(hostile.stored, like(hostile).text): value.replace(hostile.stored, like(hostile).text)
            for name, value in form.items()
        }
        other = await house.client.post("/jobs", data=told)
        assert refused.status_code == (404 if form["definition"] == "none" else 422)
        assert_only_text(hostile, "", refused, other)

    log = await house.get(hostile, "/jobs/{run}/log.txt")
    assert_headers_unharmed(hostile, log, await house.harmless(hostile, "/jobs/{run}/log.txt"))
    assert re.fullmatch(r'attachment; filename="stepglass-\d+-log.txt"', log.headers["content-disposition"])
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert hostile.stored in log.content.decode()


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    id: str | None
    kind: str
    data: str


def events(stream: bytes) -> Iterator[Event]:
    """By the letter of the HTML standard, and stricter: no field that we do not send, no line that is no field."""
    data: list[str] = []
    last_id: str | None = None
    for line in re.split("\r\n|\r|\n", stream.decode()):
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(last_id, "message", "\n".join(data))
            data = []
        elif name == "data" and colon:
            data.append(value)
        elif name == "id" and re.fullmatch("[0-9a-f]+-[0-9]+", value):
            last_id = value
        else:
            raise AssertionError(f"{line!r} is no field of ours")
    assert not data


@dataclass
class Page:
    """A page that is open: what it shows, and what it still has to read."""

    view: View
    dom: Dom
    subscriber: Subscriber

    @classmethod
    async def opened(cls, view: View, access: Access, live: Live) -> Page:
        screen = await access.read(lambda snapshot: view.paint(live.easel, snapshot))
        html = "".join(piece.html for piece in screen.pieces)
        return cls(view, Dom(html), live.subscribe(view, None, screen.revision))

    async def receive(self, live: Live) -> None:
        """Takes everything there is, as bytes on the wire are taken."""
        while tasks := [each._painting for each in live._channels.values() if each._painting]:
            await asyncio.gather(*tasks)
        sent = b"".join(self.subscriber._waiting)
        self.subscriber._waiting.clear()
        assert not NEVER_RAW.search(sent.decode())
        for event in events(sent):
            message = parsed(event.data)
            assert {each.tag for each in message} == {"hx-partial"}
            assert not (message.text or "").strip()
            self.dom.receive("".join(f"data: {line}\n" for line in event.data.split("\n")))


TOGETHER = [CORPUS[first : first + 6] for first in range(0, len(CORPUS), 6)]


def timeless(page: Page) -> str:
    """What it shows, without the revision: commits that do not concern it are not sent."""
    return re.sub(r' data-revision="[0-9]+"', "", page.dom.html)


@pytest.mark.parametrize("strings", TOGETHER, ids=[some[0].name for some in TOGETHER])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_makes_the_page_that_a_fresh_one_is(house: House, strings: Sequence[Hostile]) -> None:
    """Pages opened when nothing had happened, and all that they are sent until a person cancels the run."""
    hostile = Hostile("together", "\n".join(each.stored for each in strings))
    access, live, text = house.access, house.live, hostile.stored
    run = await start_run(access.writer, text)
    watched = [
        QueueView(RunFilter(definition=text, text=text[:900])),
        JobsView(JobFilter(definition=text)),
        DocumentsView(DocumentFilter(text=text[:900])),
        RunView(run),
        RunLogView(run),
        StepView(run, hostile.step_name),
    ]
    pages = [await Page.opened(view, access, live) for view in watched]
    played = await play(access.writer, text, run)
    pages.append(await Page.opened(ItemView(played.completed, run, hostile.step_name), access, live))
    await access.writer(cancel, run, text)
    for page in pages:
        await page.receive(live)
        fresh = await Page.opened(page.view, access, live)
        assert timeless(page) == timeless(fresh), page.view
        page.subscriber.drop()
        fresh.subscriber.drop()


BOUNDED = ("/queue", "/jobs", "/jobs?kind=worker", "/documents", "/documents/1")


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ENDLESS, ids=[each.name for each in ENDLESS])
async def test_a_text_without_an_end_leaves_pages_bounded(tmp_path: Path, hostile: Hostile) -> None:
    """A million characters in every field: what a page shows of each, it says, and it shows both ends."""
    async with open_access(tmp_path) as access, Live(access, environment(), heartbeat=3600).running() as live:
        run = await start_run(access.writer, hostile.stored)
        played = await play(access.writer, hostile.stored, run)
        transport = httpx.ASGITransport(application(access, live))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in (*BOUNDED, "/fragments/jobs/{run}", "/jobs/{run}/log"):
                page = await client.get(path.format(run=run))
                assert page.status_code == 200
                assert len(page.text) < 300_000, path
            for job in played:
                page = await client.get(f"/jobs/{job}", follow_redirects=True)
                assert page.status_code == 200
                assert len(page.text) < 5_000_000, job
            failed = await client.get(f"/jobs/{played.failed}")
            assert f"{len(hostile.stored) - 70_000:,} characters left out" in failed.text


@pytest.mark.parametrize(
    "path",
    [
        "/queue?q=",
        "/jobs?q=",
        "/jobs/1/log?q=",
        "/api/jobs?q=",
        "/queue?tag=",
        "/documents?q=",
        "/documents?tag=",
        "/nowhere/",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_searched_for_has_an_end(house: House, path: str) -> None:
    answer = await house.client.get(path + "x" * 60_000)
    assert answer.status_code in (200, 400, 404)
    assert len(answer.text) < 500_000


@pytest.mark.parametrize("path", ["/jobs?q=%00", "/queue?q=%00", "/api/jobs?q=%00"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_null_character_finds_itself_and_nothing_else(house: House, path: str) -> None:
    """A database takes it for the end of a text, or refuses it: so it is stored, and searched for, as its symbol."""
    found = (await house.client.get(path)).text
    others = (await house.client.get(path.replace("%00", quote("\N{SYMBOL FOR NULL}")))).text
    totals = [re.findall(r'data-total="(\d+)"|"total":(\d+)', text)[0] for text in (found, others)]
    assert totals[0] == totals[1]
    assert 0 < int("".join(totals[0])) < 30
