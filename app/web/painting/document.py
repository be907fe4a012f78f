"""One document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from markupsafe import Markup

from app.queue.document_records import WholeDocument
from app.web import dom
from app.web.painting import graph
from app.web.pieces import Painter, Piece
from app.web.templating import pretty, visible

SHOWN = 30_000
"""Characters of a body that its page shows; to render more as Markdown takes too long. The rest is offered."""
MOST_FACTS = 200
LONGEST_ADDRESS = 4_000
"""Characters of an address that can be followed."""

PICTURES: Mapping[str, Callable[[Mapping[str, Any]], Markup | None]] = {graph.SOURCE_TYPE: graph.graph_svg}
"""What draws the metadata of a document, by source type. It stands above the body."""
MARKDOWN_FILES = {".md", ".markdown", ".mdown"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a step type found out about a document."""

    step_type: str
    name: str
    value: str


def paint_document(painter: Painter, document: WholeDocument) -> Piece:
    facts = list(_facts(document.metadata))
    children = {
        "head": painter.piece(
            "document_head.html", dom.document(document.id, "head"), document=document, is_web=_is_web(document.address)
        ),
        "picture": _paint_picture(painter, document),
        "body": painter.piece(
            "document_body.html",
            dom.document(document.id, "body"),
            document=document,
            html=_html(document),
            left_out=document.length - len(document.body),
        ),
        "facts": painter.piece(
            "document_facts.html",
            dom.document(document.id, "facts"),
            document=document,
            facts=facts[:MOST_FACTS],
            more=len(facts) - MOST_FACTS,
        ),
    }
    return painter.piece("document.html", dom.document(document.id), children, document=document)


def _paint_picture(painter: Painter, document: WholeDocument) -> Piece | None:
    draw = PICTURES.get(document.source_type)
    picture = draw(document.metadata) if draw else None
    if picture is None:
        return None
    return painter.piece("document_picture.html", dom.document(document.id, "picture"), picture=picture)


def _html(document: WholeDocument) -> Markup | None:
    """The body as HTML; None for what is no Markdown: a file's body is what the file holds."""
    is_file = document.source_type == "file"
    if is_file and PurePosixPath(document.title).suffix.lower() not in MARKDOWN_FILES:
        return None
    from app.web.painting._markdown import html_of

    return Markup(visible(html_of(document.body)))  # noqa: S704  sanitised


def _is_web(address: str) -> bool:
    return address.lower().startswith(("http://", "https://")) and len(address) <= LONGEST_ADDRESS


def _facts(metadata: Mapping[str, Any]) -> Iterator[Fact]:
    for step_type, facts in metadata.items():
        if isinstance(facts, dict) and facts:
            yield from (Fact(step_type, name, _shown(value)) for name, value in facts.items())
        else:
            yield Fact(step_type, "", _shown(facts))


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return pretty(value)
