"""Documents: what steps produce and hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """A document to be saved. `address` (a URL, or `file:` and an absolute path) is its identity, whoever saves it."""

    address: str
    title: str
    body: str
    source_type: str
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    """Facts by the step type that found them, e.g. {"rule_classify_files": {"category": "test"}}."""
    content_hash: str = ""
    """SHA-256 of the source's bytes, in hex; "" lets the store take that of the body's UTF-8."""

    def hash(self) -> str:
        return self.content_hash or sha256(self.body.encode("utf-8", "surrogatepass")).hexdigest()


def category_of(metadata: Mapping[str, Any]) -> str | None:
    """The category that a step type has put the document into; of several, the one that was named last."""
    named = [facts.get("category") for facts in metadata.values() if isinstance(facts, Mapping)]
    return next((each for each in reversed(named) if isinstance(each, str) and each), None)


@dataclass(frozen=True, slots=True)
class StoredDocument(Document):
    """A document as it was read."""

    id: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
