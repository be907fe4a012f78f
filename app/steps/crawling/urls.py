"""URLs: one spelling for each, and which of them a crawl may follow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from urllib.parse import urljoin

import httpx

MAX_URL = 2000
"""Longer ones are traps rather than pages."""


@lru_cache(maxsize=8192)
def canonical(url: str) -> str | None:
    """The URL in the one spelling under which it is known: without fragment, default port and dots, its host in lower
    case, its path and query percent-encoded. None for what is no http or https URL, or holds a password."""
    try:
        parsed = httpx.URL(url.partition("#")[0].strip())
        plain = parsed.scheme in ("http", "https") and parsed.host and not parsed.userinfo
        spelt = str(parsed) if plain else ""
    except (httpx.InvalidURL, ValueError, UnicodeError):
        return None
    return spelt if spelt and len(spelt) <= MAX_URL else None


def joined(base: str, reference: str) -> str | None:
    """The canonical URL that a reference on a page means."""
    try:
        # Browsers drop line breaks and tabs inside a reference
        return canonical(urljoin(base, re.sub(r"[\t\r\n]", "", reference.strip())[: 2 * MAX_URL]))
    except ValueError:
        return None


def origin_of(url: str) -> str:
    """Such as "https://example.org:8443"; of a canonical URL."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def site_of(url: str) -> str:
    """The host and port of a canonical URL; a name with and without "www." is one site."""
    return origin_of(url).partition("://")[2].removeprefix("www.")


class Patterns:
    """Patterns with * for any characters, ? for one and [a-z] for one of a range. One that begins with a slash is for
    the path and query of a URL, any other for the whole URL."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self._of_paths = [re.compile(translate(pattern)) for pattern in patterns if pattern.startswith("/")]
        self._of_urls = [re.compile(translate(pattern)) for pattern in patterns if not pattern.startswith("/")]

    def match(self, url: str) -> bool:
        path = "/" + url.partition("://")[2].partition("/")[2]
        return any(regex.match(path) for regex in self._of_paths) or any(regex.match(url) for regex in self._of_urls)


class Bounds:
    """Which URLs a crawl may follow."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str], stay_on_site: bool) -> None:
        self._include = Patterns(include) if include else None
        self._exclude = Patterns(exclude)
        self._stay_on_site = stay_on_site

    def holds(self, url: str, site: str) -> bool:
        """`site`: the one that the crawl began on."""
        if self._stay_on_site and site_of(url) != site:
            return False
        return (self._include is None or self._include.match(url)) and not self._exclude.match(url)
