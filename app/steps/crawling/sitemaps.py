"""Sitemaps: the pages that a site itself names, and further sitemaps, as sitemaps.org has it; packed ones too."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any
from xml.parsers import expat

from app.steps.crawling.crawl import Crawl, Warn
from app.steps.crawling.urls import canonical
from app.steps.outside.client import Limits, shown
from app.steps.outside.trouble import PassingError
from app.steps.outside.unpacking import TooLarge, gunzipped
from app.work.step_type import PermanentError

LIMITS = Limits(seconds=60, size=50 << 20)
"""That of sitemaps.org: 50 MB unpacked."""
MAX_SITEMAPS = 100


async def sitemap_pages(crawl: Crawl, start: str, warn: Warn) -> AsyncIterator[str]:
    """The canonical URLs of the pages named by the sitemaps of the site of `start`: those of its robots.txt, or else
    /sitemap.xml. What is wrong with a sitemap is told to `warn`."""
    host = crawl.host(start)
    try:
        await crawl.meet(host, warn)
    except PassingError as error:
        warn(f"no sitemaps: {error}")
        return
    named = list(host.rules.sitemaps) if host.rules else []
    waiting = [url for each in named or [f"{host.origin}/sitemap.xml"] if (url := canonical(each))]
    known = set(waiting)
    while waiting and len(known) <= MAX_SITEMAPS:
        pages, further = await _read(crawl, waiting.pop(0), warn)
        for page in pages:
            yield page
        waiting += [url for url in further if url not in known]
        known.update(further)


async def _read(crawl: Crawl, url: str, warn: Warn) -> tuple[list[str], list[str]]:
    """The pages and the sitemaps that a sitemap names."""
    try:
        content = (await crawl.sitemap(url, LIMITS, warn)).content
        # In a thread, as a large one would let nothing else run for seconds.
        return await asyncio.to_thread(lambda: _named(gunzipped(content, LIMITS.size)))
    except (PassingError, PermanentError) as error:
        warn(f"sitemap skipped: {error}")
    except TooLarge:
        warn(f"sitemap skipped: {shown(url)} unpacks to more than {LIMITS.size:,} bytes")
    except (expat.ExpatError, zlib.error, ValueError, LookupError) as error:
        warn(f"sitemap skipped: {shown(url)} is not a sitemap ({error})")
    return [], []


def _named(content: bytes) -> tuple[list[str], list[str]]:
    """Raises ExpatError for what is not XML, ValueError for what only an attack has in it."""
    path: list[str] = []
    text: list[str] = []
    found: dict[str, list[str]] = {"url": [], "sitemap": []}

    def start(name: str, _: Any) -> None:
        path.append(name.rpartition(":")[2])
        text.clear()
        if len(path) > 20:
            raise ValueError("it is nested too deeply")

    def end(name: str) -> None:
        if path[-1] == "loc" and len(path) > 1 and path[-2] in found:
            url = canonical("".join(text))
            if url:
                found[path[-2]].append(url)
        path.pop()
        text.clear()

    def entity(*_: Any) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.EntityDeclHandler = entity
    parser.Parse(content, True)
    return found["url"], found["sitemap"]
