"""The files of a folder that import_files has made documents of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.work.step_type import Context, StoredDocument

_NOT_ITS_OWN = ("vendored",)
"""Categories of rule_classify_files: what somebody else wrote is no part of a code base."""


@dataclass(frozen=True, slots=True)
class ImportedFile:
    path: str
    """Below the folder."""
    document: StoredDocument
    """Without its body."""

    @property
    def category(self) -> str:
        return str(self.document.metadata.get("rule_classify_files", {}).get("category") or "")

    @property
    def is_binary(self) -> bool:
        return bool(self.document.metadata.get("import_files", {}).get("binary"))


def code_base_of(folder: str) -> str:
    """The folder as documents know it: absolute, links resolved."""
    return str(Path(folder).resolve())


def imported_files(context: Context[Any], folder: str) -> Iterator[ImportedFile]:
    """The files of a code base in the order of their paths, without vendored ones."""
    for document in context.documents(source_type="file", under=f"file:{folder}", bodies=False):
        file = ImportedFile(document.address[len(f"file:{folder}") :].lstrip("/"), document)
        if file.category not in _NOT_ITS_OWN:
            yield file


def warn_of_nothing(context: Context[Any], folder: str) -> None:
    missing = f"there are no documents of files in {folder!r}"
    context.log(f"{missing}; a step of type import_files with the same folder has to come first", "warn")
