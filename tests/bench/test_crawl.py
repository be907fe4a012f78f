"""A crawl of a site whose pages take 20 ms each, and the page of the server meanwhile.

The floor is a bare client that asks for the same pages over as many connections, and does nothing with them.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from time import perf_counter

import httpx

from tests.bench.rig import show
from tests.stepglass import serving as server_on
from tests.steps.loopback import Reply, serving

PAGES = 1000
CONNECTIONS = 16
EACH = 0.02
"""Seconds that the site takes for a page."""
LINKS = 20
POLL = 0.5
TEXT = "<p>Some <b>bold</b> text, with a few words more than one would read in a single breath.</p>" * 20


async def test_a_thousand_pages(tmp_path: Path) -> None:
    """Target: 200 pages/s, the page answering throughout."""
    async with serving() as site:

        async def answer(writer: asyncio.StreamWriter) -> None:
            number = len(site.asked)
            await asyncio.sleep(EACH)
            writer.write(_page(number).wire())

        site.routes |= {"*": answer, "/robots.txt": Reply("", 404)}
        floor = await _floor(site.url("/"))
        site.asked.clear()
        rate, answers = await _crawl(tmp_path, site.url("/0"))
    show("pages crawled", rate, "per second", (), f"target 200; a bare client {floor:,.0f}; ratio {rate / floor:.2f}")
    show("the queue page meanwhile, median", statistics.median(answers), "ms", answers)


def _page(number: int) -> Reply:
    # Each page links to some that are new and to some that are known.
    links = "".join(f'<a href="/{number * 3 % PAGES + more}">Page</a> ' for more in range(LINKS))
    return Reply(f"<html><head><title>Page {number}</title></head><body><h1>Page</h1>{TEXT}{links}</body></html>")


async def _floor(url: str) -> float:
    """Pages per second of a bare client."""
    left = iter(range(PAGES))

    async def fetch(client: httpx.AsyncClient) -> None:
        for number in left:
            (await client.get(f"{url}{number}")).raise_for_status()

    async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
        began = perf_counter()
        await asyncio.gather(*(fetch(client) for _ in range(CONNECTIONS)))
        return PAGES / (perf_counter() - began)


async def _crawl(folder: Path, start: str) -> tuple[float, list[float]]:
    """Pages per second, and how many milliseconds each answer of the queue page took."""
    parameters = {
        "start_url": start,
        "allow_hosts": "127.0.0.1",
        "max_pages": PAGES,
        "max_depth": 1000,
        "concurrency": CONNECTIONS,
        "delay_ms": 0,
    }
    answers: list[float] = []
    with server_on(folder, "--slots", str(CONNECTIONS)) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
            await client.get("/queue")
            began = perf_counter()
            started = await client.post("/api/jobs", json={"definition": "news_crawler", "parameters": parameters})
            run = f"/api/jobs/{started.json()['job_id']}"
            while (job := (await client.get(run)).json())["status"] not in ("completed", "failed"):
                asked = perf_counter()
                (await client.get("/queue")).raise_for_status()
                answers.append((perf_counter() - asked) * 1000)
                await asyncio.sleep(POLL)
            seconds = perf_counter() - began
    assert (job["status"], job["document_count"]) == ("completed", PAGES), job
    return PAGES / seconds, answers
