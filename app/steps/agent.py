"""agent: looks at each document, and writes what it finds out into the document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from pydantic import Field

from app.steps.document_facts import with_facts
from app.steps.source_tree import printable
from app.work.step_type import Context, Settings, StepType, WorkItem

MAX_TEXT = 100_000
"""Characters of a document that are looked at."""
_LANGUAGES = "ar|bg|br|cz|da|de|el|en|es|et|fa|fi|fr|hi|hr|hu|hy|id|it|ja|lt|lv|nl|no|pl|pt|ro|ru|sk|sl|sv|tr|uk|zh"
_FACT = re.compile(r"^[-*] [^:\n]{1,40}: .*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_MARKS = re.compile(r"^[#>\s]+|[*_`|]+", re.MULTILINE)


class AgentSettings(Settings):
    agent_type: Literal["keyword_extractor"]
    filter_tags: list[str] = Field(default_factory=list)
    """Only documents that carry all of these."""
    filter_source_type: str = ""
    """Only documents of this source type, such as "places" or "page"."""
    filter_limit: int = Field(1000, ge=1, le=1_000_000)
    max_keywords: int = Field(10, ge=1, le=100)
    max_words: int = Field(2, ge=1, le=5)
    """Of one keyword."""
    language: str = Field("en", pattern=f"^({_LANGUAGES})$")
    tags: list[str] = Field(default_factory=list)


class Agent(StepType[AgentSettings]):
    """One work item per document. Documents are updated, none is created. Keywords are extracted offline (YAKE)."""

    name = "agent"
    summary = "Looks at each document, and writes what it finds out, such as keywords, into the document."
    settings_type = AgentSettings
    timeout = 120.0

    def plan(self, context: Context[AgentSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        found = context.documents(
            tags=settings.filter_tags, source_type=settings.filter_source_type or None, bodies=False
        )
        for document in islice(found, settings.filter_limit):
            name = f"{printable(document.title)} ({printable(document.address)})"
            yield WorkItem(name, {"address": document.address})
        if next(found, None) is not None:
            context.log(f"only the first {settings.filter_limit:,} documents are looked at (filter_limit)", "warn")

    def run(self, context: Context[AgentSettings], item: WorkItem) -> dict[str, list[str]]:
        """The keywords, the best first; none when the document is gone."""
        settings = context.settings
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return {"keywords": []}
        text = f"{document.title}.\n\n{document.body[:MAX_TEXT]}"
        facts = {"keywords": keywords(text, settings.language, settings.max_words, settings.max_keywords)}
        context.save_document(with_facts(document, settings.agent_type, facts, settings.tags))
        context.log(f"{printable(document.title)}: {', '.join(facts['keywords']) or 'no keywords'}")
        return facts


def keywords(text: str, language: str, most_words: int, most: int) -> list[str]:
    """The keywords of a text in Markdown, the best first, each in its first spelling."""
    found = _extractor(language, most_words, most).extract_keywords(_prose(text))
    return list(dict.fromkeys(printable(keyword) for keyword, _ in found))


def _prose(text: str) -> str:
    """Without the marks of Markdown, the targets of links, and lines of facts such as "- Phone: 1"."""
    return _MARKS.sub("", _LINK.sub(r"\1", _FACT.sub("", text)))


@lru_cache(maxsize=8)
def _extractor(language: str, most_words: int, most: int) -> Any:
    from yake import KeywordExtractor  # type: ignore[import-untyped] # takes a second, which no start should

    return KeywordExtractor(lan=language, n=most_words, top=most)
