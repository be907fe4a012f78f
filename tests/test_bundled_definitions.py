"""The bundled definitions that need an outside do their work, with one served on loopback."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.stepglass import stepglass
from tests.steps.loopback import Reply, Site, page, serving


async def ran(definition: str, data: Path, **parameters: Any) -> dict[str, Any]:
    """The run, as the command tells it."""
    given = [f"--set={name}={value}" for name, value in parameters.items()]
    told = await asyncio.to_thread(stepglass, "run", definition, "--json", "--data", data, *given)
    assert told.stdout, told.stderr
    run: dict[str, Any] = json.loads(told.stdout)
    return run


def news(site: Site) -> None:
    """A site of 1 + 3 + 6 pages, one of them gone, with a picture and a link that leads away."""
    site.routes |= {
        "/": page("/1", "/2", "/3", "/gone", "/picture.png", "http://other.example/"),
        "/gone": Reply("", 404),
        **{f"/{number}": page(f"/{number}/a", f"/{number}/b", "/") for number in (1, 2, 3)},
        **{f"/{number}/{letter}": page("/too/deep") for number in (1, 2, 3) for letter in "ab"},
    }


async def test_news_crawler_makes_a_document_of_each_page(tmp_path: Path) -> None:
    async with serving() as site:
        news(site)
        run = await ran("news_crawler", tmp_path, start_url=site.url(), allow_hosts="127.0.0.1", delay_ms=0)
        assert (run["status"], run["document_count"]) == ("completed", 10)
        assert (run["counts"]["completed"], run["counts"]["failed"]) == (10, 1)
        assert run["failures"][0]["message"] == f"{site.url('/gone')} answered 404 Not Found"
        assert len(site.asked) == 12, "the pages, the one that is gone, and robots.txt"
        again = await ran("news_crawler", tmp_path, start_url=site.url(), allow_hosts="127.0.0.1", delay_ms=0)
        assert again["document_count"] == 0, "nothing is new"


async def test_news_crawler_fetches_no_more_pages_than_told(tmp_path: Path) -> None:
    async with serving() as site:
        news(site)
        run = await ran(
            "news_crawler", tmp_path, start_url=site.url(), allow_hosts="127.0.0.1", delay_ms=0, max_pages=4
        )
        assert run["counts"]["total"] == 4


async def test_news_crawler_does_not_reach_this_machine_unless_it_is_named(tmp_path: Path) -> None:
    async with serving() as site:
        news(site)
        run = await ran("news_crawler", tmp_path, start_url=site.url())
        assert run["status"] == "failed" and site.connections == 0
        assert "is not a public address" in run["failures"][0]["message"]


async def test_nearby_restaurants_become_twenty_documents_with_keywords(tmp_path: Path) -> None:
    for new in (20, 0):
        run = await ran("nearby_restaurants_keywords", tmp_path)
        search, extract = run["steps"]
        assert (run["status"], run["document_count"]) == ("completed", new), "keywords update documents, and make none"
        assert (search["counts"]["completed"], search["document_count"]) == (1, new)
        assert (extract["counts"]["completed"], extract["document_count"]) == (20, 0)


async def test_test_job_generator_fails_and_logs_as_told(tmp_path: Path) -> None:
    """5 + 3 + 2 work items, and 3 with two generations of two children each; some fail, and the run completes."""
    run = await ran("test_job_generator", tmp_path, slow_delay_ms=0, high_volume_lines=20)
    steps = {step["name"]: step["counts"]["total"] for step in run["steps"]}
    assert steps == {"fast": 5, "high_volume": 3, "slow": 2, "recursive": 3 + 6 + 12}
    assert run["status"] == "completed" and 0 < run["counts"]["failed"] < run["counts"]["total"]
