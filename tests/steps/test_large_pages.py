"""A page on which the parsers break down, or which keeps them busy, fails alone, and nothing waits for it."""

from __future__ import annotations

import asyncio
import sys

import pytest

from app.steps.crawler import Crawler
from app.steps.crawling.large_pages import LargePages
from app.steps.crawling.pages import read_page
from app.work.step_type import PermanentError

from .conftest import MakeStage
from .loopback import Reply, serving

BROKEN = """
import os, sys, time
from app.steps.crawling import _apart
read = _apart.read_page
def broken(text, url, robots):
    if "abort" in text:
        os.abort()
    if "hang" in text:
        time.sleep(600)
    if "half" in text:
        sys.stdout.write("half")
        sys.stdout.flush()
        os._exit(1)
    return read(text, url, robots)
_apart.read_page = broken
_apart._main()
"""
WRITTEN = "<title>T\u2028</title><p>\u00e4 <a href='/x'>x</a>"


async def test_it_reads_what_is_read_here() -> None:
    pages = LargePages()
    for text in (WRITTEN, "", WRITTEN * 1000):
        assert await pages.read(text, "http://a.example/", "nofollow") == read_page(
            text, "http://a.example/", "nofollow"
        )
    await pages.end()


async def test_pages_after_one_that_it_dies_of_are_read() -> None:
    pages = LargePages([sys.executable, "-c", BROKEN])
    for text in ("abort", "half"):
        with pytest.raises(PermanentError, match="the parser breaks down on its HTML"):
            await pages.read(text, "http://a.example/", "")
        assert (await pages.read("<p>fine", "http://a.example/", "")).markdown == "fine"
    await pages.end()
    with pytest.raises(PermanentError, match="breaks down"):
        await LargePages(["false"]).read("x" * 1_000_000, "http://a.example/", "")


async def test_one_that_never_ends_is_not_waited_for() -> None:
    pages = LargePages([sys.executable, "-c", BROKEN], patience=0.2)
    with pytest.raises(PermanentError, match=r"busy for more than 0\.2 s"):
        await pages.read("hang", "http://a.example/", "")
    waiting = asyncio.create_task(LargePages([sys.executable, "-c", BROKEN]).read("hang", "http://a.example/", ""))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("body", ["<p>text</p>" * 10_000, "<PRE>a" * 300, "<blockquote>a" * 300])
async def test_a_crawl_reads_pages_that_may_take_long_apart(
    stage: MakeStage, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr("app.steps.crawler.read_page", None)
    async with serving() as site:
        site.routes |= {"/robots.txt": Reply("", 404), "/": Reply("<title>Deep</title>" + body)}
        on_stage = stage(Crawler, start_urls=[site.url()], delay_ms=0, allow_hosts=["127.0.0.1"])
        ((_, result),) = (await on_stage.run()).items()
    assert (result["outcome"], result["title"]) == ("saved", "Deep")
