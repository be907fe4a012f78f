"""Several step types write about one document: each has a place of its own in the metadata, and tags of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.work.step_type import Document


def with_facts(document: Document, step_type: str, facts: dict[str, Any], tags: Sequence[str]) -> Document:
    """The document with these facts and tags in place of those that the step type gave it before."""
    former = document.metadata.get(step_type, {}).get("tags", ())
    kept = [tag for tag in document.tags if tag not in former]
    return Document(
        address=document.address,
        title=document.title,
        body=document.body,
        source_type=document.source_type,
        tags=tuple(dict.fromkeys([*kept, *tags])),
        metadata={**document.metadata, step_type: {**facts, "tags": list(tags)}},
        content_hash=document.content_hash,
    )
