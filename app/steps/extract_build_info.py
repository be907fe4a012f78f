"""extract_build_info: what the manifests of a code base say about how it is built, and on what it depends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from app.steps.document_facts import with_facts
from app.steps.manifests.build_info import BuildInfo, ManifestError
from app.steps.manifests.kinds import READERS, kind_of
from app.steps.source_tree import globs, printable
from app.work.step_type import Context, PermanentError, Settings, StepType, StoredDocument, WorkItem


class ExtractBuildInfoSettings(Settings):
    folder: str = ""
    """Only documents of files in this folder."""
    filter_tags: list[str] = Field(default_factory=list)
    """Only documents that carry all of these."""
    exclude_paths: list[str] = Field(default_factory=list)
    """Patterns in the language of .gitignore, such as "tests/data/", of manifests that are none of the code base's."""
    tags: list[str] = Field(default_factory=list)

    @field_validator("exclude_paths")
    @classmethod
    def _are_patterns(cls, patterns: list[str]) -> list[str]:
        globs(tuple(patterns))
        return patterns


class ExtractBuildInfo(StepType[ExtractBuildInfoSettings]):
    """One work item per manifest, read from the document that an import has made of it: so it does not matter where
    the file came from. Documents are updated, none is created. A malformed manifest fails its own work item."""

    name = "extract_build_info"
    summary = "Reads names, versions, dependencies, commands and entry points from the manifests of a code base."
    settings_type = ExtractBuildInfoSettings
    timeout = 30.0

    def plan(self, context: Context[ExtractBuildInfoSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        under = f"file:{Path(settings.folder).resolve()}" if settings.folder else None
        excluded = globs(tuple(settings.exclude_paths))
        for document in context.documents(tags=settings.filter_tags, source_type="file", under=under, bodies=False):
            path = document.address.removeprefix(under or "file:").lstrip("/")
            if kind_of(path) and not excluded.match_file(path):
                yield WorkItem(printable(path), {"address": document.address, "path": path})

    def run(self, context: Context[ExtractBuildInfoSettings], item: WorkItem) -> dict[str, Any] | None:
        """What the manifest says, without its dependencies but with their number; None when the document is gone."""
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return None
        kind = str(kind_of(item.input["path"]))
        try:
            info = _read(kind, document)
        except ManifestError as error:
            line = error.line_in(document.body)
            where = item.name if line is None else f"{item.name}, line {line}"
            self._save(context, document, {"kind": kind, "error": error.reason, "line": line})
            raise PermanentError(f"{where}: {error.reason}") from None
        facts = info.facts()
        self._save(context, document, {"kind": kind, **facts})
        context.log(f"{item.name}: {_sentence(info)}")
        return {"kind": kind, **facts, "dependencies": len(info.dependencies)}

    def _save(
        self, context: Context[ExtractBuildInfoSettings], document: StoredDocument, facts: dict[str, Any]
    ) -> None:
        context.save_document(with_facts(document, self.name, facts, context.settings.tags))


def _read(kind: str, document: StoredDocument) -> BuildInfo:
    if any(facts.get("binary") is True for facts in document.metadata.values() if isinstance(facts, dict)):
        raise ManifestError("is no text")
    return READERS[kind](document.body)


def _sentence(info: BuildInfo) -> str:
    called = " ".join(printable(each) for each in (info.name, info.version) if each) or "no name"
    found = {
        "dependencies": len(info.dependencies),
        "commands": len(info.commands),
        "entry points": len(info.entry_points),
        "base images": len(info.base_images),
        "parts": len(info.parts),
    }
    counts = ", ".join(f"{number:,} {what}" for what, number in found.items() if number)
    return f"{called}; {info.build_tool or 'settings of tools'}; {counts or 'no dependencies'}"
