"""A query becomes the pages that a SearXNG instance finds, as documents or as a result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from app.steps.outside.trouble import PassingError
from app.steps.web_search import WebSearch, WebSearchSettings
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage, RecordingContext
from .loopback import Asked, Reply, Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def searched(
    stage: MakeStage, site: Site, *queries: str, documents: dict[str, StoredDocument] | None = None, **settings: Any
) -> tuple[dict[str, Any], RecordingContext]:
    on_stage = stage(
        WebSearch,
        documents,
        endpoint=site.url("/"),
        queries=list(queries or ["cats"]),
        allow_hosts=["127.0.0.1"],
        **settings,
    )
    return await on_stage.run(), on_stage.context


def hit(number: int, **more: Any) -> dict[str, Any]:
    return {
        "url": f"https://Example.org/{number}#top",
        "title": f"Title {number}",
        "content": f"About {number}\n and more",
        "engine": "wiki",
        "engines": ["wiki", "duck"],
        "score": 1.5,
        "publishedDate": "2026-01-02T03:04:05",
        "parsed_url": ["https", "example.org", f"/{number}", "", "", ""],
        **more,
    }


def answered(*results: Any, **more: Any) -> Reply:
    body = json.dumps({"query": "cats", "number_of_results": 0, "results": list(results), "answers": [], **more})
    return Reply(body, headers={"Content-Type": "application/json"})


async def test_what_is_found_becomes_documents(stage: MakeStage, site: Site) -> None:
    site.routes["/search"] = [answered(hit(1), hit(2), hit(1)), answered()]
    results, context = await searched(
        stage, site, "big  cats", tags=["found"], language="en", categories=["news", "science"]
    )
    assert results == {"big cats": {"found": 2}}
    document = context.stored["https://example.org/1"]
    assert (document.title, document.body, document.source_type) == ("Title 1", "About 1 and more", "web_search")
    assert document.tags == ("found",)
    assert document.metadata["web_search"] == {
        "query": "big cats",
        "engines": ["wiki", "duck"],
        "score": 1.5,
        "published": "2026-01-02T03:04:05",
        "tags": ["found"],
    }
    assert {key: value[0] for key, value in parse_qs(urlsplit(site.asked[0].target).query).items()} == {
        "q": "big cats",
        "format": "json",
        "pageno": "1",
        "safesearch": "0",
        "categories": "news,science",
        "language": "en",
    }


async def test_or_a_result(stage: MakeStage, site: Site) -> None:
    site.routes["/search"] = answered(hit(1))
    results, context = await searched(stage, site, save_as="result", max_results=1)
    assert results["cats"]["pages"][0]["url"] == "https://example.org/1" and not context.stored


async def test_pages_are_asked_for_up_to_the_limit_and_while_they_bring_something(stage: MakeStage, site: Site) -> None:
    def search(asked: Asked) -> Reply:
        page = int(parse_qs(urlsplit(asked.target).query)["pageno"][0])
        return answered(*(hit(page * 10 + number) for number in range(10)))

    site.routes["/search"] = search
    results, context = await searched(stage, site, max_results=25)
    assert results["cats"]["found"] == 25 == len(context.stored) and len(site.asked) == 3
    site.routes["/search"] = answered(hit(1))
    results, _ = await searched(stage, site)
    assert results["cats"]["found"] == 1 and len(site.asked) == 5, "the same page again ends it"


async def test_a_page_that_was_crawled_keeps_its_text(stage: MakeStage, site: Site) -> None:
    crawled = StoredDocument("https://example.org/1", "Full", "All of it", "page", ("a",), {"crawler": {}}, "hash")
    documents = {crawled.address: crawled}
    site.routes["/search"] = answered(hit(1))
    await searched(stage, site, documents=documents, max_results=1, tags=["b"])
    document = documents[crawled.address]
    assert (document.title, document.body, document.source_type) == ("Full", "All of it", "page")
    assert document.tags == ("a", "b") and document.content_hash == "hash" and set(document.metadata) > {"crawler"}


async def test_engines_that_do_not_answer_are_a_warning(stage: MakeStage, site: Site) -> None:
    silent = [["google", "CAPTCHA"], ["bing", "timeout"], "x"]
    site.routes["/search"] = answered(hit(1), unresponsive_engines=silent)
    _, context = await searched(stage, site, max_results=1)
    assert context.messages("warn") == ["engines that did not answer: google: CAPTCHA, bing: timeout"]


async def test_entries_of_the_wrong_shape_are_left_out(stage: MakeStage, site: Site) -> None:
    wrong = [None, "x", {}, hit(1, url=5), hit(2, url="javascript:alert(1)"), hit(3, url="http://u:p@a/")]
    odd = hit(4, title=None, content=7, engines="x", score="high", publishedDate=None)
    site.routes["/search"] = answered(*wrong, odd, unresponsive_engines=5)
    results, context = await searched(stage, site, max_results=1)
    assert results["cats"]["found"] == 1 and list(context.stored) == ["https://example.org/4"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(status=403), "search.formats in settings.yml must name json"),
        (Reply("<html>"), "did not answer with JSON"),
        (Reply("[]"), "no list of 'results'"),
        (Reply('{"results": {}}'), "no list of 'results'"),
        (Reply("x" * (6 << 20)), "more than 5,242,880 bytes"),
        (Reply(status=404), "answered 404 Not Found"),
    ],
)
async def test_an_answer_that_is_none_is_a_reason(stage: MakeStage, site: Site, reply: Reply, why: str) -> None:
    site.routes["/search"] = reply
    results, _ = await searched(stage, site)
    assert isinstance(results["cats"], PermanentError) and why in str(results["cats"])


async def test_a_storm_of_429_is_waited_out(stage: MakeStage, site: Site) -> None:
    storm = Reply(status=429, headers={"Retry-After": "0"})
    site.routes["/search"] = [storm, answered(hit(1))]
    results, _ = await searched(stage, site, max_results=1)
    assert results["cats"]["found"] == 1
    site.routes["/search"] = storm
    results, _ = await searched(stage, site)
    assert isinstance(results["cats"], PassingError)


async def test_an_instance_on_this_machine_has_to_be_named(stage: MakeStage, site: Site) -> None:
    (result,) = (await stage(WebSearch, endpoint=site.url(""), queries=["x"]).run()).values()
    assert isinstance(result, PermanentError) and "allow_hosts" in str(result) and site.connections == 0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"queries": []}, "at least 1 item"),
        ({"queries": [" "]}, "has no words"),
        ({"safe_search": 3}, "less than or equal to 2"),
        ({"time_range": "hour"}, "Input should be"),
    ],
)
def test_wrong_settings_are_refused_at_load(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WebSearchSettings.model_validate({"endpoint": "http://a", "queries": ["x"], **wrong})
