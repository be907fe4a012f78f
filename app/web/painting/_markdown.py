"""Markdown as HTML that can do no harm: no HTML of the writer's own, nothing that is loaded, links that lead out only.

The libraries take a while to load: import this where a document is painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

SCHEMES = ("http://", "https://", "mailto:")
TAGS = {
    "a", "blockquote", "br", "code", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href"}, "ol": {"start"}}
"""No ids and classes: they are names in our page."""


def html_of(markdown: str) -> str:
    """Sanitised HTML. Its headings begin below that of the page; pictures are links to them."""
    return nh3.clean(
        _markdown.render(markdown),
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_leading_out,
        url_schemes={scheme.rstrip(":/") for scheme in SCHEMES},
        link_rel="noopener nofollow",
    )


def _leading_out(tag: str, name: str, value: str) -> str | None:
    """An address without a host would lead to a page of ours, which the writer did not mean."""
    is_kept = name in ATTRIBUTES.get(tag, ()) and (name != "href" or value.lower().startswith(SCHEMES))
    return value if is_kept else None


class _Renderer(RendererHTML):
    def image(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        said = self.renderInlineAsText(token.children, options, env) if token.children else ""
        link = [Token("text", "", 0, content=said or str(token.attrs["src"]))]
        if not env.get("in_link"):
            attributes = {"href": token.attrs["src"]}
            link = [Token("link_open", "a", 1, attrs=attributes), *link, Token("link_close", "a", -1)]
        return self.renderInline(link, options, env)

    def link_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        env["in_link"] = True
        return self.renderToken(tokens, index, options, env)

    def link_close(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        env["in_link"] = False
        return self.renderToken(tokens, index, options, env)

    def heading_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        return self.renderToken(tokens, index, options, env)

    heading_close = heading_open


_markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
