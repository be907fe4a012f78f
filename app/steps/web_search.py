"""web_search: asks a search engine that speaks as SearXNG does, and keeps what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import Field, field_validator

from app.steps.crawling.urls import canonical
from app.steps.document_facts import with_facts
from app.steps.outside.addresses import AllowHosts
from app.steps.outside.client import Answer, Limits, Outside, Request, checked_url
from app.steps.outside.trouble import patiently
from app.steps.outside.untrusted import listed, names, number, table, words
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, WorkItem

SOURCE_TYPE = "web_search"
_MAX_ANSWER = 5 << 20
_MAX_PAGES = 50
_FORBIDDEN = 403


class WebSearchSettings(Settings):
    endpoint: str
    """The address of a SearXNG instance that has the format json enabled, such as "http://localhost:8888"."""
    queries: list[str] = Field(min_length=1, max_length=10_000)
    max_results: int = Field(20, ge=1, le=500)
    """Of each query."""
    categories: list[str] = Field(default_factory=list)
    """Such as ["news", "science"]; none leaves it to the instance."""
    language: str = Field("", pattern=r"^[A-Za-z-]*$", max_length=20)
    time_range: Literal["", "day", "week", "month", "year"] = ""
    safe_search: int = Field(0, ge=0, le=2)
    save_as: Literal["documents", "result"] = "documents"
    """One document per page found, or all of them in the result of the work item."""
    tags: list[str] = Field(default_factory=list)
    request_seconds: float = Field(30.0, gt=0, le=3600)
    retries: int = Field(2, ge=0, le=10)
    max_wait: float = Field(60.0, ge=0, le=3600)
    """The longest wait, in seconds, that the instance may ask for with Retry-After."""
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @field_validator("queries")
    @classmethod
    def _have_words(cls, queries: list[str]) -> list[str]:
        if not all(query.strip() for query in queries):
            raise ValueError("a query has no words; take it out")
        return queries


class WebSearch(StepType[WebSearchSettings]):
    """One work item per query."""

    name = "web_search"
    summary = "Asks a SearXNG search engine, and keeps what it finds as documents or results."
    settings_type = WebSearchSettings
    timeout = 3600.0

    async def plan(self, context: Context[WebSearchSettings]) -> AsyncIterator[WorkItem]:
        checked_url(context.settings.endpoint)
        for query in dict.fromkeys(" ".join(query.split()) for query in context.settings.queries):
            yield WorkItem(query)

    async def run(self, context: Context[WebSearchSettings], item: WorkItem) -> dict[str, Any]:
        """How many pages were found; the pages themselves, if they are to be in the result."""
        settings = context.settings
        async with Outside(settings.allow_hosts) as outside:
            found = await _search(context, outside, item.name)
        context.log(f"{len(found):,} pages found: {item.name}")
        if settings.save_as == "result":
            return {"found": len(found), "pages": found}
        for page in found:
            _save(context, item.name, page)
        return {"found": len(found)}


async def _search(context: Context[WebSearchSettings], outside: Outside, query: str) -> list[dict[str, Any]]:
    """The pages found, the best first, each URL once."""
    found: dict[str, dict[str, Any]] = {}
    for number_of_page in range(1, _MAX_PAGES + 1):
        answer = await _asked(context, outside, query, number_of_page)
        before = len(found)
        for entry in listed(answer, "results", "the search engine"):
            page = _page(table(entry))
            if page:
                found.setdefault(page["url"], page)
        if number_of_page == 1:
            _warn_of_silent_engines(context, answer)
        if len(found) >= context.settings.max_results or len(found) == before:
            break
    return list(found.values())[: context.settings.max_results]


async def _asked(context: Context[WebSearchSettings], outside: Outside, query: str, number_of_page: int) -> Any:
    settings = context.settings
    question = {
        "q": query,
        "format": "json",
        "pageno": number_of_page,
        "safesearch": settings.safe_search,
        "categories": ",".join(settings.categories),
        "language": settings.language,
        "time_range": settings.time_range,
    }
    query_text = urlencode({key: value for key, value in question.items() if value != ""})
    request = Request(f"{settings.endpoint.rstrip('/')}/search?{query_text}", headers={"Accept": "application/json"})

    async def attempt() -> Answer:
        answer = await outside.fetch(request, Limits(settings.request_seconds, _MAX_ANSWER))
        if answer.status == _FORBIDDEN:
            raise PermanentError(
                "the search engine answered 403 Forbidden; in SearXNG, search.formats in settings.yml must name json"
            )
        return answer.check()

    answer = await patiently(
        attempt,
        lambda line: context.log(line, "warn"),
        retries=settings.retries,
        longest_wait=settings.max_wait,
    )
    return answer.json()


def _warn_of_silent_engines(context: Context[WebSearchSettings], answer: Any) -> None:
    silent = table(answer).get("unresponsive_engines")
    told = (
        [": ".join(names(engine)) for engine in silent if isinstance(engine, list)] if isinstance(silent, list) else []
    )
    if told:
        context.log(f"engines that did not answer: {', '.join(told[:20])}", "warn")


def _page(entry: dict[str, Any]) -> dict[str, Any] | None:
    """What is known about a page; None for an entry without a URL that could be asked."""
    url = canonical(words(entry.get("url")))
    if url is None:
        return None
    return {
        "url": url,
        "title": words(entry.get("title"))[:500] or url,
        "content": words(entry.get("content")),
        "engines": list(names(entry.get("engines") or entry.get("engine"))),
        "score": number(entry.get("score")),
        "published": words(entry.get("publishedDate"))[:50],
    }


def _save(context: Context[WebSearchSettings], query: str, page: dict[str, Any]) -> None:
    """Saves what was found about a page; of a page that a crawler has fetched, the facts only."""
    stored = context.document(page["url"])
    fetched = stored if stored and stored.source_type != SOURCE_TYPE else None
    document = Document(
        address=page["url"],
        title=fetched.title if fetched else page["title"],
        body=fetched.body if fetched else page["content"],
        source_type=fetched.source_type if fetched else SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
        content_hash=fetched.content_hash if fetched else "",
    )
    facts = {"query": query, **{key: page[key] for key in ("engines", "score", "published")}}
    context.save_document(with_facts(document, WebSearch.name, facts, context.settings.tags))
