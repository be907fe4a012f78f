"""A request is sent as it was written down, and its answer becomes a result, a document or a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from app.steps.http_request import HttpRequest, HttpRequestSettings
from app.steps.outside.trouble import PassingError
from app.work.step_type import PermanentError

from .conftest import MakeStage, RecordingContext
from .loopback import Reply, Site, serving, to


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def asked(stage: MakeStage, site: Site, path: str = "/", **settings: Any) -> tuple[Any, RecordingContext]:
    """What came of the one work item, and the context."""
    on_stage = stage(HttpRequest, url=site.url(path), allow_hosts=["127.0.0.1"], **settings)
    (result,) = (await on_stage.run()).values()
    return result, on_stage.context


async def test_the_answer_is_the_result(stage: MakeStage, site: Site) -> None:
    site.routes["/a"] = Reply('{"n": [1, 2]}', headers={"Content-Type": "application/json"})
    result, context = await asked(stage, site, "/a?x=1")
    assert result == {
        "status": 200,
        "url": site.url("/a"),
        "media_type": "application/json",
        "size": 13,
        "body": {"n": [1, 2]},
    }
    assert site.asked[0].target == "/a?x=1"
    assert context.messages("info") == [f"GET {site.url('/a')}: 200 OK, 13 bytes of application/json"]


async def test_a_table_is_sent_as_json_and_a_text_as_it_is(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply("größe")
    result, _ = await asked(stage, site, method="POST", body={"a": [1, "ö"]}, headers={"X-A": "b"})
    await asked(stage, site, method="PUT", body="ä")
    assert result["body"] == "größe"
    first, second = site.asked
    assert (first.method, json.loads(first.body), first.headers["x-a"]) == ("POST", {"a": [1, "ö"]}, "b")
    assert first.headers["content-type"] == "application/json"
    assert (second.method, second.body) == ("PUT", "ä".encode())


async def test_secrets_reach_the_server_and_nothing_else(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "s3cret")
    monkeypatch.setenv("OTHER", "hidden")
    site.routes["/a"] = Reply("ok")
    result, context = await asked(
        stage,
        site,
        "/a?key=$API_KEY&other=$OTHER",
        method="POST",
        headers={"Authorization": "Bearer $API_KEY"},
        body='{"key": "$API_KEY", "price": "$5"}',
        secrets=["API_KEY"],
        save_as="document",
    )
    sent = site.asked[0]
    assert sent.target == "/a?key=s3cret&other=$OTHER", "only what is listed is looked up"
    assert sent.headers["authorization"] == "Bearer s3cret" and sent.body == b'{"key": "s3cret", "price": "$5"}'
    assert "s3cret" not in repr((result, context.lines, context.stored))


async def test_a_secret_that_is_not_set_fails_the_step_before_anything_is_sent(stage: MakeStage, site: Site) -> None:
    with pytest.raises(PermanentError, match="NOT_SET_HERE is not set; set it where the server is started"):
        await asked(stage, site, headers={"X-Key": "$NOT_SET_HERE"}, secrets=["NOT_SET_HERE"])
    assert site.asked == []


async def test_a_secret_that_breaks_a_header_is_refused_without_showing_it(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "s3cret\r\nX-Evil: 1")
    with pytest.raises(PermanentError) as raised:
        await asked(stage, site, headers={"X-Key": "$API_KEY"}, secrets=["API_KEY"])
    assert "X-Key" in str(raised.value) and "s3cret" not in str(raised.value)


async def test_the_body_becomes_a_document_that_is_updated(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = [Reply("one"), Reply("two")]
    on_stage = stage(HttpRequest, url=site.url(), allow_hosts=["127.0.0.1"], save_as="document", tags=["t"])
    for body in ("one", "two"):
        await on_stage.run()
        (document,) = on_stage.context.stored.values()
        assert (document.address, document.body, document.source_type) == (site.url(), body, "http")
    assert document.tags == ("t",) and document.metadata["http_request"]["status"] == 200


async def test_what_is_binary_is_a_document_without_body(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply(b"\x89PNG\0\0", headers={"Content-Type": "image/png"})
    _, context = await asked(stage, site, save_as="document")
    (document,) = context.stored.values()
    assert document.body == "" and document.metadata["http_request"]["binary"] is True
    result, _ = await asked(stage, site)
    assert result["body"] is None


async def test_an_expected_status_is_a_success_and_another_a_reason(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply("gone", 404)
    assert (await asked(stage, site, expected_status=[404]))[0]["body"] == "gone"
    error, _ = await asked(stage, site)
    assert isinstance(error, PermanentError) and str(error) == f"{site.url()} answered 404 Not Found"
    site.routes["/"] = Reply("ok")
    error, _ = await asked(stage, site, expected_status=[201])
    assert isinstance(error, PermanentError) and "answered 200 OK" in str(error)


async def test_a_storm_of_429_is_waited_out_as_the_server_asks(stage: MakeStage, site: Site) -> None:
    storm = Reply(status=429, headers={"Retry-After": "0"})
    site.routes["/"] = [storm, storm, Reply("ok")]
    result, context = await asked(stage, site, method="POST", body="x")
    assert result["status"] == 200
    assert context.messages("warn") == [f"{site.url()} answered 429 Too Many Requests; next try in 0.0 s"] * 2
    site.routes["/"] = storm
    error, _ = await asked(stage, site)
    assert isinstance(error, PassingError) and len(site.asked) == 6


async def test_what_may_have_been_done_is_not_sent_twice(stage: MakeStage, site: Site) -> None:
    site.routes["/"] = Reply(status=502, headers={"Retry-After": "0"})
    error, _ = await asked(stage, site, method="POST", body="pay")
    assert isinstance(error, PassingError) and len(site.asked) == 1


async def test_a_server_that_does_not_answer_is_a_passing_failure(stage: MakeStage, site: Site) -> None:
    async def hangs(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    site.routes["/"] = hangs
    error, _ = await asked(stage, site, request_seconds=0.1, retries=0)
    assert isinstance(error, PassingError) and "took longer than 0.1 s" in str(error)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("x" * 200_000), 'set save_as = "document"'),
        (Reply("x" * 300_000), "more than 250,000 bytes"),
        (Reply("{", headers={"Content-Type": "application/problem+json"}), "did not answer with JSON"),
        (to("/"), "more than 5 redirects"),
        (to("http://localhost:1/"), "not a public address"),
    ],
)
async def test_what_cannot_be_kept_is_a_reason(stage: MakeStage, site: Site, reply: Reply, why: str) -> None:
    site.routes["/"] = reply
    error, _ = await asked(stage, site, max_size=250_000)
    assert isinstance(error, PermanentError) and why in str(error)


async def test_an_endpoint_on_this_machine_has_to_be_named(stage: MakeStage, site: Site) -> None:
    (error,) = (await stage(HttpRequest, url=site.url()).run()).values()
    assert isinstance(error, PermanentError) and "unless allow_hosts names '127.0.0.1'" in str(error)
    assert site.connections == 0


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"method": "TRACE"}, "Input should be"),
        ({"headers": {"Host": "a"}}, "is set by the program itself"),
        ({"headers": {"a b": "c"}}, "is not the name of a header"),
        ({"headers": {"X-A": "b\nc"}}, "must be printable ASCII"),
        ({"secrets": ["not a name"]}, "should match pattern"),
        ({"url": "http://a.example/$KEY", "secrets": ["KEY"]}, "may stand in the query"),
        ({"allow_hosts": ["http://a"]}, "is not a host"),
        ({"unknown": 1}, "not permitted"),
    ],
)
def test_wrong_settings_are_refused_at_load(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HttpRequestSettings.model_validate({"url": "http://a.example/", **wrong})
