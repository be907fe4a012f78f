"""summary: an index, a summary or a map of a code base, from what earlier steps have found out about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from app.steps.document_facts import with_facts
from app.steps.source_tree import printable
from app.steps.summaries.code_base import code_base_in
from app.steps.summaries.composing import Composed, Composer
from app.steps.summaries.folder_map import compose_map
from app.steps.summaries.index import compose_index
from app.steps.summaries.overview import compose_summary
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, WorkItem

Kind = Literal["index", "summary", "map"]

COMPOSERS: dict[Kind, Composer] = {"index": compose_index, "summary": compose_summary, "map": compose_map}


class SummarySettings(Settings):
    kind: Kind
    folder: str
    """The code base: the folder that the earlier steps were given."""
    filter_tags: list[str] = Field(default_factory=list)
    """Only files whose documents carry all of these."""
    tags: list[str] = Field(default_factory=list)


class Summary(StepType[SummarySettings]):
    """One document, composed without a model. What is missing is said, in the log and in the document; the rest is
    made. Only where nothing at all is known about the folder does the work item fail."""

    name = "summary"
    summary = "Writes an index, a summary or a map of a code base from what earlier steps have found out."
    settings_type = SummarySettings
    timeout = 600.0

    def plan(self, context: Context[SummarySettings]) -> Iterator[WorkItem]:
        folder = str(Path(context.settings.folder).resolve())
        yield WorkItem(f"{context.settings.kind} of {printable(Path(folder).name or '/')}", {"folder": folder})

    def run(self, context: Context[SummarySettings], item: WorkItem) -> dict[str, Any]:
        """The numbers that the document is about, what is missing from it, and its address."""
        settings, folder = context.settings, item.input["folder"]
        code_base = code_base_in(context, folder, settings.filter_tags)
        if code_base.is_unknown:
            tagged = f" with the tags {', '.join(settings.filter_tags)}" if settings.filter_tags else ""
            raise PermanentError(
                f"there are no documents about {printable(folder)}{tagged}; steps of type code_map and import_files "
                "with the same folder have to come first"
            )
        composed = COMPOSERS[settings.kind](code_base)
        for sentence in composed.missing:
            context.log(f"missing: {sentence}", "warn")
        address = f"{settings.kind}:{folder}"
        body = self._save(context, address, composed)
        context.log(f"{printable(composed.title)}: {len(body):,} characters")
        return {**composed.facts, "missing": composed.missing, "document": address}

    def _save(self, context: Context[SummarySettings], address: str, composed: Composed) -> str:
        stored = context.document(address)
        document = Document(
            address=address,
            title=composed.title,
            body=composed.body(),
            source_type=context.settings.kind,
            tags=stored.tags if stored else (),
            metadata=stored.metadata if stored else {},
        )
        facts = {"kind": context.settings.kind, **composed.facts, "missing": composed.missing}
        context.save_document(with_facts(document, self.name, facts, context.settings.tags))
        return document.body
