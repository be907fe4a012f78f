"""One number, wherever one looks: what is compared is what was sent."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

import httpx

from app.web.painting.runs import IN_FULL
from tests.web.browser_model import counts, parsed
from tests.web.watcher import normal

KINDS = {"all": None, "manager": "manager", "step": "step", "worker": "worker"}
STATUSES = ("pending", "running", "completed", "failed", "cancelled", "skipped")
LINKS_AT_A_TIME = 8
SEARCH = "/documents?q=by"
"""Among the documents that random histories make."""
LIST = re.compile("jobs|runs|documents|job-[0-9]+-lines")
"""The ids of lists, also of lines."""


class Readings:
    """Reads a server's pages, lists, fragments and JSON. `round`: which of the many links are followed."""

    def __init__(self, client: httpx.AsyncClient, round: int) -> None:
        self._client, self._round = client, round

    async def agree(self) -> None:
        page = await self._page("/queue")
        shown = counts(page)
        await self._tiles(shown)
        _rows_add_up(page, shown)
        await self._lists(page)
        await self._lists(await self._page(SEARCH))
        runs = (await self._json("/api/jobs?kind=manager&limit=100"))["jobs"]
        assert len(runs) == shown["all", "manager", "all"]
        for run in runs:
            await self._run(run, shown)
        if runs:
            run = runs[self._round % len(runs)]
            over = [each for each in runs if each["finished_at"]]
            await self._pages_of(run)
            await self._fragments(page, run, is_brief=run in over and len(over) > IN_FULL)

    async def _tiles(self, shown: dict[tuple[str, str, str], int]) -> None:
        """Tiles = JSON = the lists of the JSON."""
        statistics = await self._json("/api/jobs/stats")
        for kind, name in KINDS.items():
            of_kind = statistics if name is None else statistics["by_kind"][name]
            for status in (*STATUSES, "all"):
                number = of_kind["total" if status == "all" else status]
                assert shown["all", kind, status] == number
            status = STATUSES[self._round % len(STATUSES)]
            query = "&".join(f"{k}={v}" for k, v in (("kind", name), ("status", status)) if v is not None)
            assert (await self._json(f"/api/jobs?limit=1&{query}"))["total"] == of_kind[status]

    async def _lists(self, page: Element) -> None:
        """Every number is the length of the list that it is a link to."""
        links = sorted({(each.attrib["href"], value) for each, value in _linked_counts(page)})
        first = self._round * LINKS_AT_A_TIME % max(len(links), 1)
        for address, number in (links + links)[first : first + min(LINKS_AT_A_TIME, len(links))]:
            listed = await self._page(address)
            found = [each for each in listed.iter() if LIST.fullmatch(each.attrib.get("id", ""))]
            assert [int(each.attrib["data-total"]) for each in found] == [number], address
            if found[0].attrib["id"] in ("jobs", "runs", "documents"):
                assert len(found[0]) == min(number, len(found[0]) if number > 20 else number), address

    async def _run(self, run: dict[str, Any], shown: dict[tuple[str, str, str], int]) -> None:
        job = await self._json(f"/api/jobs/{run['id']}")
        assert job["counts"] == run["counts"]
        for status, number in job["counts"].items():
            if status != "total":
                assert shown.get((f"manager:{run['id']}", "worker", status), 0) == number
        structure = await self._json(f"/api/jobs/{run['id']}/structure")
        assert sum(step["child_count"] for step in structure["steps"]) == job["counts"]["total"]

    async def _pages_of(self, run: dict[str, Any]) -> None:
        """The run's page and those of its steps say what the JSON says, of status, numbers, failures and lines."""
        tree = await self._json(f"/api/jobs/{run['id']}/tree")
        page = await self._page(f"/jobs/{run['id']}")
        shown = counts(page)
        assert _by_id(page, f"job-{run['id']}").attrib["data-status"] == tree["job"]["status"]
        assert sum(group["count"] for group in tree["failures"]) == tree["job"]["counts"]["failed"]
        for step in tree["steps"]:
            assert _by_id(page, f"job-{step['id']}").attrib["data-status"] == step["status"]
            for status in STATUSES:
                assert shown.get((f"step:{step['id']}", "worker", status), 0) == step["counts"][status]
        step = tree["steps"][self._round % len(tree["steps"])]
        alone = await self._page(f"/jobs/{run['id']}/steps/{step['name']}")
        assert _by_id(alone, f"job-{step['id']}").attrib["data-status"] == step["status"]
        assert int(_by_id(alone, f"job-{step['id']}-items").attrib["data-total"]) == step["counts"]["total"]
        assert (await self._json(f"/api/jobs/{step['id']}/logs?limit=1"))["total"] == step["log_count"]

    async def _fragments(self, page: Element, run: dict[str, Any], is_brief: bool) -> None:
        """Each is what stands on the page; of a row that is brief there, the page's numbers are among its own."""
        row = f"jobs/{run['id']}"
        for address in ("statistics", "throughput", f"{row}/head", *([] if is_brief else [row])):
            (fragment,) = await self._page(f"/fragments/{address}")
            assert normal(fragment) == normal(_by_id(page, fragment.attrib["id"])), address
        whole = counts(await self._page(f"/fragments/{row}"))
        assert counts(_by_id(page, f"job-{run['id']}")).items() <= whole.items()

    async def _page(self, address: str) -> Element:
        answer = await self._client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        return parsed(answer.text)

    async def _json(self, address: str) -> Any:
        answer = await self._client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        return answer.json()


def _by_id(page: Element, name: str) -> Element:
    found = page.find(f".//*[@id='{name}']")
    assert found is not None, name
    return found


def _linked_counts(page: Element) -> list[tuple[Element, int]]:
    """The links around numbers."""
    links = [each for each in page.iter("a") if "href" in each.attrib]
    return [
        (link, int(data.attrib["value"]))
        for link in links
        for data in link.iter("data")
        if data.attrib.get("class") == "count"
    ]


def _rows_add_up(page: Element, shown: dict[tuple[str, str, str], int]) -> None:
    """Tiles = sum of the rows = sum of their steps."""
    rows = [each for each in page.iter() if each.attrib.get("data-kind") == "manager" and each.tag != "data"]
    assert len(rows) == shown["all", "manager", "all"]
    steps = [each for each in page.iter() if each.attrib.get("data-kind") == "step" and each.tag != "data"]
    assert len(steps) == shown["all", "step", "all"]
    for status in STATUSES:
        assert sum(row.attrib["data-status"] == status for row in rows) == shown["all", "manager", status]
        assert sum(step.attrib["data-status"] == status for step in steps) == shown["all", "step", status]
        for scope in ("manager:", "step:"):
            parts = [
                n for (of, kind, st_), n in shown.items() if of.startswith(scope) and (kind, st_) == ("worker", status)
            ]
            assert sum(parts) == shown["all", "worker", status]
