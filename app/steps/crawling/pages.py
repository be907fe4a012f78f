"""HTML: what is on a page, and the page as Markdown. Both parsers bear whatever a hostile page holds: they are not
recursive without limit, take time in proportion to its size, and load nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.steps.crawling.urls import joined

if TYPE_CHECKING:
    from lxml import html  # type: ignore[import-untyped]

MAX_LINKS = 5000
MAX_TITLE = 500


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    links: list[str]
    """Canonical URLs that the page lets a crawler follow, each once."""
    canonical: str | None
    """What the page says its URL is."""
    language: str
    may_index: bool
    may_follow: bool
    markdown: str


def read_page(text: str, url: str, robots_header: str = "") -> Page:
    """`robots_header`: X-Robots-Tag."""
    root = _parsed(text)
    if root is None:
        return Page("", [], None, "", True, True, "")
    base = _base(root, url)
    rules = {rule.strip().lower() for text in (robots_header, _meta(root, "robots")) for rule in text.split(",")}
    may_follow = not rules & {"nofollow", "none"}
    return Page(
        title=_title(root),
        links=list(dict.fromkeys(_links(root, base))) if may_follow else [],
        canonical=_canonical(root, base),
        language=(root.get("lang") or "")[:35],
        may_index=not rules & {"noindex", "none"},
        may_follow=may_follow,
        markdown=as_markdown(text, base),
    )


def as_markdown(text: str, base: str) -> str:
    """The content of a page; menus, forms, scripts and images are left out, links are absolute."""
    from html_to_markdown import ConversionOptions, convert

    options = ConversionOptions(extract_metadata=False, skip_images=True, base_url=base)
    return str(convert(text, options).content or "").strip()


def _parsed(text: str) -> html.HtmlElement | None:
    # As bytes: a page that names its encoding in an XML declaration would be refused as text. libxml2 stops at a depth
    # of 256 by itself.
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError):
        return None  # there is no element in it


def _base(root: html.HtmlElement, url: str) -> str:
    for element in root.iter("base"):
        if element.get("href"):
            return joined(url, element.get("href")) or url
    return url


def _title(root: html.HtmlElement) -> str:
    for tag in ("title", "h1"):
        for element in root.iter(tag):
            if title := " ".join(element.text_content().split()):
                return title[:MAX_TITLE]
    return ""


def _meta(root: html.HtmlElement, name: str) -> str:
    return ",".join(
        element.get("content") or "" for element in root.iter("meta") if (element.get("name") or "").lower() == name
    )


def _canonical(root: html.HtmlElement, base: str) -> str | None:
    for element in root.iter("link"):
        if "canonical" in (element.get("rel") or "").lower().split() and element.get("href"):
            return joined(base, element.get("href"))
    return None


def _links(root: html.HtmlElement, base: str) -> Iterator[str]:
    found = 0
    for element in root.iter("a", "area"):
        reference = element.get("href")
        if not reference or "nofollow" in (element.get("rel") or "").lower().split():
            continue
        if url := joined(base, reference):
            found += 1
            yield url
        if found == MAX_LINKS:
            return
