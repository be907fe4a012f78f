"""URLs: one spelling for each, and which of them a crawl may follow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from urllib.parse import urljoin

MAX_URL = 2000
"""Longer ones are traps rather than pages."""


@lru_cache(maxsize=8192)
def canonical(url: str) -> str | None:
    """The URL in the one spelling under which it is known: without fragment, default port and dots, its host in lower
    case, its path and query percent-encoded. None for what is no http or https URL, or holds a password."""
    import httpx  # when it is needed: no start waits for it

    try:
        parsed = httpx.URL(url.partition("#")[0].strip())
        plain = parsed.scheme in ("http", "https") and parsed.host and not parsed.userinfo
        spelt = str(parsed) if plain else ""
    except (httpx.InvalidURL, ValueError, UnicodeError):
        return None
    return spelt if spelt and len(spelt) <= MAX_URL else None


def joined(base: str, reference: str) -> str | None:
    """The canonical URL that a reference on a page means."""
    reference = reference.strip()[: 2 * MAX_URL]
    if not reference.isprintable():
        reference = re.sub(r"[\t\r\n]", "", reference)  # as browsers do
    if reference.startswith("/") and not reference.startswith("//"):
        return canonical(origin_of(base) + reference)  # much the same as below, in less time
    try:
        return canonical(urljoin(base, reference))
    except ValueError:
        return None


def origin_of(url: str) -> str:
    """Such as "https://example.org:8443"; of a canonical URL."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def site_of(url: str) -> str:
    """The host and port of a canonical URL; a name with and without "www." is one site."""
    return origin_of(url).partition("://")[2].removeprefix("www.")


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a URL that one of the patterns fits: * stands for any characters, ? for one, [a-z] for one of a
    range. A pattern that begins with a slash is for the path and query, any other for the whole URL."""
    path = "[^/:]*://[^/]*"
    spelt = (path + translate(pattern) if pattern.startswith("/") else translate(pattern) for pattern in patterns)
    return re.compile("|".join(f"(?:{each})" for each in spelt))


class Bounds:
    """Which URLs a crawl may follow."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str], stay_on_site: bool) -> None:
        self._include = _any_of(tuple(include))
        self._exclude = _any_of(tuple(exclude))
        self._includes_all = not include
        self._excludes_any = bool(exclude)
        self._stay_on_site = stay_on_site

    def holds(self, url: str, site: str) -> bool:
        """`site`: the one that the crawl began on."""
        if self._stay_on_site and site_of(url) != site:
            return False
        if self._excludes_any and self._exclude.match(url):
            return False
        return self._includes_all or self._include.match(url) is not None
