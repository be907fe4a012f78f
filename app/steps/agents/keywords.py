"""Keywords without a language model, by YAKE."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from app.steps.source_tree import printable

LANGUAGES = "ar|bg|br|cz|da|de|el|en|es|et|fa|fi|fr|hi|hr|hu|hy|id|it|ja|lt|lv|nl|no|pl|pt|ro|ru|sk|sl|sv|tr|uk|zh"
_FACT = re.compile(r"^[-*] [^:\n]{1,40}: .*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_MARKS = re.compile(r"^[#>\s]+|[*_`|]+", re.MULTILINE)


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
