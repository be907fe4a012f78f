"""extract_build_info: what the manifests of a code base say about how it is built, and on what it depends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from app.steps.document_facts import with_facts
from app.steps.manifests.build_info import BuildInfo, ManifestError
from app.steps.manifests.kinds import kind_of
from app.steps.manifests.report import report, report_of_fault
from app.steps.source_tree import globs, printable
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, StoredDocument, WorkItem

SOURCE_TYPE = "build_info"


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
    the file came from. What it says becomes a document of its own, as other steps may be changing that of the file at
    the same time. A malformed manifest fails its own work item."""

    name = "extract_build_info"
    summary = "Reads names, versions, dependencies, commands and entry points from the manifests of a code base."
    settings_type = ExtractBuildInfoSettings
    timeout = 30.0

    def plan(self, context: Context[ExtractBuildInfoSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        folder = str(Path(settings.folder).resolve()) if settings.folder else ""
        under = f"file:{folder}" if folder else None
        excluded = globs(tuple(settings.exclude_paths))
        for document in context.documents(tags=settings.filter_tags, source_type="file", under=under, bodies=False):
            path = document.address.removeprefix(under or "file:").lstrip("/")
            if kind_of(path) and not excluded.match_file(path):
                yield WorkItem(printable(path), {"address": document.address, "path": path})
        _remove_gone(context, folder)

    def run(self, context: Context[ExtractBuildInfoSettings], item: WorkItem) -> dict[str, Any] | None:
        """What the manifest says, with only the number of its dependencies; None when the document is gone."""
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return None
        path = item.input["path"]
        kind = str(kind_of(path))
        try:
            info = _read(kind, document)
        except ManifestError as error:
            line = error.line_in(document.body)
            fault = {"path": path, "kind": kind, "error": error.reason, "line": line}
            _save(context, document.address, path, report_of_fault(path, line, error.reason), fault)
            where = item.name if line is None else f"{item.name}, line {line}"
            raise PermanentError(f"{where}: {error.reason}") from None
        facts = {"path": path, "kind": kind, **info.facts()}
        _save(context, document.address, path, report(path, info), facts)
        context.log(f"{item.name}: {_sentence(info)}")
        return {**facts, "dependencies": len(info.dependencies)}


def _address(of_file: str) -> str:
    return f"{SOURCE_TYPE}:{of_file.removeprefix('file:')}"


def _save(
    context: Context[ExtractBuildInfoSettings], of_file: str, path: str, body: str, facts: dict[str, Any]
) -> None:
    stored = context.document(_address(of_file))
    document = Document(
        address=_address(of_file),
        title=path,
        body=body,
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
    )
    context.save_document(with_facts(document, ExtractBuildInfo.name, facts, context.settings.tags))


def _remove_gone(context: Context[ExtractBuildInfoSettings], folder: str) -> None:
    """Removes what was said by manifests that are no documents any more."""
    files = context.documents(source_type="file", under=f"file:{folder}" if folder else None, bodies=False)
    present = {_address(document.address) for document in files}
    under = f"{SOURCE_TYPE}:{folder}" if folder else None
    for document in context.documents(source_type=SOURCE_TYPE, under=under, bodies=False):
        if document.address not in present:
            context.delete_document(document.address)


def _read(kind: str, document: StoredDocument) -> BuildInfo:
    if any(facts.get("binary") is True for facts in document.metadata.values() if isinstance(facts, dict)):
        raise ManifestError("is no text")
    from app.steps.manifests._readers import READERS

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
