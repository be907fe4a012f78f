"""Files as documents, wherever they come from: a folder, or a repository."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from app.steps.document_facts import with_facts
from app.steps.source_tree import printable
from app.steps.text_decoding import decode
from app.work.step_type import Context, Document, StoredDocument

SOURCE_TYPE = "file"


def save_file(
    context: Context[Any],
    step_type: str,
    address: str,
    relative: str,
    content: bytes,
    facts: dict[str, Any],
    tags: list[str],
) -> str:
    """Saves a file's document with these facts and more, if it has changed; says in a word what came of it."""
    stored = context.document(address)
    content_hash = sha256(content).hexdigest()
    if stored and _is_unchanged(stored, step_type, content_hash, tags):
        return "unchanged"
    found, body = _read(context, relative, content)
    document = Document(
        address=address,
        title=relative,
        body=body,
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
        content_hash=content_hash,
    )
    context.save_document(with_facts(document, step_type, {**facts, **found}, tags))
    return "imported"


def has_extension(relative: str, extensions: Sequence[str]) -> bool:
    """Whether a file has one of the extensions, such as "py" or ".py", in any case; none means every file."""
    endings = tuple(f".{extension.lstrip('.').lower()}" for extension in extensions)
    return not endings or relative.lower().endswith(endings)


def batch_name(relatives: Sequence[str]) -> str:
    """The name of a work item for these files."""
    # Named after what is in it: planned again after a crash, other files make another work item.
    first, last = printable(relatives[0]), printable(relatives[-1])
    return first if len(relatives) == 1 else f"{first} to {last} ({len(relatives)} files)"


def _is_unchanged(stored: StoredDocument, step_type: str, content_hash: str, tags: list[str]) -> bool:
    former = stored.metadata.get(step_type, {}).get("tags")
    return stored.content_hash == content_hash and former == tags and set(tags) <= set(stored.tags)


def _read(context: Context[Any], relative: str, content: bytes) -> tuple[dict[str, Any], str]:
    text = decode(content)
    facts = {
        "path": relative,
        "extension": PurePosixPath(relative).suffix.lower(),
        "size": len(content),
        "binary": text is None,
        "encoding": text.encoding if text else None,
    }
    if text and not text.certain:
        context.log(f"{printable(relative)}: not UTF-8, read as {text.encoding}", "warn")
    return facts, text.text if text else ""
