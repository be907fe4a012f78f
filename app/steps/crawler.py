"""crawler: fetches the pages of web sites, and makes a Markdown document of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from time import perf_counter
from typing import Any

from pydantic import Field, field_validator

from app.steps.crawling.crawl import Crawl, Manners, crawl_of
from app.steps.crawling.large_pages import takes_long
from app.steps.crawling.pages import Page, read_page
from app.steps.crawling.sitemaps import sitemap_pages
from app.steps.crawling.urls import Bounds, canonical, site_of
from app.steps.document_facts import with_facts
from app.steps.outside.addresses import AllowHosts
from app.steps.outside.client import USER_AGENT, Answer, Limits, Request, location, shown
from app.steps.source_tree import printable
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, WorkItem

SOURCE_TYPE = "page"
_MARKUP = ("text/html", "application/xhtml+xml", "")
_PLAIN = ("text/plain", "text/markdown")
_MOST_SEEN = 200_000
_BREATH = 0.02
"""Seconds after which others get a turn."""


class CrawlerSettings(Settings):
    start_urls: list[str] = Field(min_length=1, max_length=10_000)
    include: list[str] = Field(default_factory=list)
    """Only links that match one of these are followed: "/news/*" is for the path, "https://*.example.org/*" for all of
    the URL."""
    exclude: list[str] = Field(default_factory=list)
    """Links that match one of these are not followed."""
    stay_on_site: bool = True
    """Follow links to the site that a start URL is on only, with or without www."""
    max_depth: int = Field(3, ge=0, le=1000)
    """How many links a page may be away from a start URL."""
    max_pages: int = Field(100, ge=1, le=1_000_000)
    """Work items of the step."""
    sitemaps: bool = False
    """Fetch the pages that the sitemaps of the start URLs' sites name, too."""
    obey_robots: bool = True
    """Keep to robots.txt. Leave it on for sites that are not your own."""
    concurrency: int = Field(4, ge=1, le=100)
    """Requests to one host at the same time."""
    delay_ms: float = Field(200, ge=0, le=600_000)
    """Pause between the beginnings of two requests to one host; a longer one in its robots.txt is kept, up to 60 s."""
    max_page_size: int = Field(2 << 20, ge=1, le=100 << 20)
    """In bytes, unpacked; larger pages fail."""
    request_seconds: float = Field(30.0, gt=0, le=3600)
    """How long one request may take, from its beginning to the last byte of the page."""
    retries: int = Field(2, ge=0, le=10)
    max_wait: float = Field(60.0, ge=0, le=3600)
    """The longest wait, in seconds, that a server may ask for with Retry-After."""
    user_agent: str = Field(USER_AGENT, min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")
    tags: list[str] = Field(default_factory=list)
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @field_validator("start_urls")
    @classmethod
    def _are_urls(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if canonical(url) is None:
                raise ValueError(f"{url[:200]!r} is not a URL to start at; write it as https://example.org/")
        return urls

    def manners(self) -> Manners:
        return Manners(
            self.user_agent,
            self.concurrency,
            self.delay_ms / 1000,
            self.obey_robots,
            tuple(self.allow_hosts),
            self.retries,
            self.max_wait,
        )

    def bounds(self) -> Bounds:
        return Bounds(self.include, self.exclude, self.stay_on_site)


class Crawler(StepType[CrawlerSettings]):
    """One work item per page. Its name is the page's URL, so that no page is fetched twice."""

    name = "crawler"
    summary = "Crawls web sites, and makes a Markdown document of each page."
    settings_type = CrawlerSettings
    timeout = 3600.0

    async def plan(self, context: Context[CrawlerSettings]) -> AsyncIterator[WorkItem]:
        settings = context.settings
        context.log(f"at most {settings.max_pages:,} pages, {settings.max_depth:,} links deep")
        planned: set[str] = set()
        async for item in _beginnings(context):
            if len(planned) == settings.max_pages:
                break
            if item.name not in planned:
                planned.add(item.name)
                yield item

    async def run(self, context: Context[CrawlerSettings], item: WorkItem) -> dict[str, Any]:
        """The outcome (saved, unchanged, not_indexed, skipped), the page's url and status, its links and how many of
        them are followed. Raises PassingError or PermanentError for a page that cannot be had."""
        async with crawl_of(context.step_id, context.settings.manners()) as crawl:
            return await _Visit(context, crawl, item).result()


async def _beginnings(context: Context[CrawlerSettings]) -> AsyncIterator[WorkItem]:
    starts = [url for each in context.settings.start_urls if (url := canonical(each))]
    for url in starts:
        yield WorkItem(url, {"depth": 0, "site": ""})
    if not context.settings.sitemaps:
        return
    bounds = context.settings.bounds()
    async with crawl_of(context.step_id, context.settings.manners()) as crawl:
        for origin in dict.fromkeys(crawl.host(url).origin for url in starts):
            site = site_of(origin)
            async for url in sitemap_pages(crawl, origin, lambda message: context.log(message, "warn")):
                if bounds.holds(url, site):
                    yield WorkItem(url, {"depth": 0, "site": site})


class _Visit:
    """The visit of one page. `site` is the one that its start URL is on; "" while that is not known, since a start URL
    may move to another host."""

    def __init__(self, context: Context[CrawlerSettings], crawl: Crawl, item: WorkItem) -> None:
        self._context = context
        self._settings = context.settings
        self._crawl = crawl
        self._name = item.name
        self._depth: int = item.input["depth"]
        self._site: str = item.input["site"]
        self._bounds = self._settings.bounds()
        self._limits = Limits(self._settings.request_seconds, self._settings.max_page_size)

    async def result(self) -> dict[str, Any]:
        answer = await self._answer()
        if isinstance(answer, str):
            return self._skipped(answer)
        answer.check()
        if not _is_wanted(answer):
            return self._skipped(f"it is {printable(answer.media_type[:80])}, not a page")
        text = answer.text()
        if text is None:
            return self._skipped("it is binary, not a page")
        if not text.certain:
            self._context.log(f"{shown(answer.url)}: the charset is not told right, read as {text.encoding}", "warn")
        url = canonical(answer.url) or self._name
        page = await self._read(text.text, url, answer)
        followed = await self._follow(page, self._site or site_of(url))
        outcome = self._save(page, url, answer)
        self._context.log(
            f"{outcome.replace('_', ' ')}: {printable(page.title) or 'no title'} ({len(answer.content):,} bytes, "
            f"{len(page.links):,} links, {followed:,} followed) {shown(url)}"
        )
        return {
            "outcome": outcome,
            "url": url,
            "status": answer.status,
            "title": page.title,
            "links": len(page.links),
            "followed": followed,
        }

    async def _answer(self) -> Answer | str:
        """The answer at the end of the redirects, or why the page is not wanted."""
        url = self._name
        for _ in range(self._limits.redirects + 1):
            if not await self._crawl.may_ask(url, self._warn):
                return f"the robots.txt of its site does not allow {shown(url)}"
            host = self._crawl.host(url)
            answer = await self._crawl.ask_patiently(
                host, Request(url, headers=_ACCEPT), self._limits, _is_wanted, self._warn
            )
            if not answer.is_redirect:
                return answer
            target = canonical(location(answer))
            if target is None:
                raise PermanentError(f"{shown(url)} redirects to something that is not a page")
            if self._site and not self._bounds.holds(target, self._site):
                return f"it redirects to {shown(target)}, which is not to be followed"
            url = target
        raise PermanentError(f"more than {self._limits.redirects} redirects, the last one to {shown(url)}")

    async def _read(self, text: str, url: str, answer: Answer) -> Page:
        if answer.media_type in _PLAIN:
            return Page("", [], None, "", True, True, text)
        robots = answer.headers.get("x-robots-tag", "")
        if takes_long(text):
            return await self._crawl.large_pages.read(text, url, robots)
        return read_page(text, url, robots)

    async def _follow(self, page: Page, site: str) -> int:
        """Makes work items of the links that are to be followed, and returns how many links that are."""
        if self._depth >= self._settings.max_depth:
            return 0
        followed = 0
        # What an earlier attempt spawned may have been lost with it.
        seen = self._crawl.seen if self._context.attempt == 1 else set()
        breath = perf_counter() + _BREATH
        for link in page.links:
            if perf_counter() > breath:  # thousands of links, and as many rules of a robots.txt, take long
                await asyncio.sleep(0)
                breath = perf_counter() + _BREATH
            if not self._bounds.holds(link, site) or not self._crawl.host(link).allows(link):
                continue
            followed += 1
            if link not in seen:
                self._context.spawn(
                    WorkItem(link, {"depth": self._depth + 1, "site": site}), at_most=self._settings.max_pages
                )
                if len(seen) < _MOST_SEEN:
                    seen.add(link)
        return followed

    def _save(self, page: Page, url: str, answer: Answer) -> str:
        """Saves the page as a document, under the URL that it calls its own, and says in a word what came of it."""
        if not page.may_index:
            return "not_indexed"
        own = page.canonical
        address = own if own and site_of(own) == site_of(url) else url
        stored = self._context.document(address)
        content_hash = sha256(answer.content).hexdigest()
        tags = self._settings.tags
        former = stored.metadata.get(Crawler.name, {}).get("tags") if stored else None
        if stored and stored.content_hash == content_hash and former == tags:
            return "unchanged"
        document = Document(
            address=address,
            title=page.title or shown(address),
            body=page.markdown,
            source_type=SOURCE_TYPE,
            tags=stored.tags if stored else (),
            metadata=stored.metadata if stored else {},
            content_hash=content_hash,
        )
        facts = {
            "url": url,
            "status": answer.status,
            "depth": self._depth,
            "media_type": answer.media_type,
            "language": page.language,
            "size": len(answer.content),
        }
        self._context.save_document(with_facts(document, Crawler.name, facts, tags))
        return "saved"

    def _skipped(self, why: str) -> dict[str, Any]:
        self._context.log(f"skipped, {why}: {shown(self._name)}")
        return {"outcome": "skipped", "url": self._name, "why": why}

    def _warn(self, message: str) -> None:
        self._context.log(message, "warn")


_ACCEPT = {"Accept": "text/html, application/xhtml+xml, text/plain;q=0.8, */*;q=0.1"}


def _is_wanted(answer: Answer) -> bool:
    return answer.media_type in _MARKUP or answer.media_type in _PLAIN
