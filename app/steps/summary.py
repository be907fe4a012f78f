"""summary: an index, a summary or a map of a code base, from what earlier steps have found out about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.steps.document_facts import with_facts
from app.steps.models.settings import NEEDED
from app.steps.outside.trouble import PassingError
from app.steps.source_tree import printable
from app.steps.summaries.code_base import CodeBase, code_base_in
from app.steps.summaries.composing import Composed, Composer
from app.steps.summaries.folder_map import compose_map
from app.steps.summaries.index import compose_index
from app.steps.summaries.overview import compose_summary
from app.steps.summaries.settings import Kind, SummarySettings
from app.work.step_type import Context, Document, Obstacle, PermanentError, StepType, WorkItem

COMPOSERS: dict[Kind, Composer] = {"index": compose_index, "summary": compose_summary, "map": compose_map}


class Summary(StepType[SummarySettings]):
    """One document, composed from facts; where there is a model, it writes about them. What is missing is said, in the
    log and in the document; the rest is made. Only where nothing at all is known about the folder does the work item
    fail, or where a model is insisted upon that does not deliver."""

    name = "summary"
    summary = "Writes an index, a summary or a map of a code base from what earlier steps have found out."
    settings_type = SummarySettings
    timeout = 3600.0

    @classmethod
    def obstacle(cls, settings: SummarySettings) -> Obstacle | None:
        why = settings.why_no_model() if settings.needs_model else None
        return Obstacle(f"{settings.kind}: {why}", ("writer", *NEEDED)) if why else None

    def plan(self, context: Context[SummarySettings]) -> Iterator[WorkItem]:
        folder = str(Path(context.settings.folder).resolve())
        yield WorkItem(f"{context.settings.kind} of {printable(Path(folder).name or '/')}", {"folder": folder})

    def run(self, context: Context[SummarySettings], item: WorkItem) -> dict[str, Any]:
        """The numbers that the document is about, what is missing from it, its address, and what a model has used."""
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
        written, usage = self._written(context, code_base, composed)
        address = f"{settings.kind}:{folder}"
        body = self._save(context, address, written)
        context.log(f"{printable(composed.title)}: {len(body):,} characters")
        return {**written.facts, "missing": composed.missing, "document": address, **usage}

    def _written(
        self, context: Context[SummarySettings], code_base: CodeBase, composed: Composed
    ) -> tuple[Composed, dict[str, Any]]:
        """By a model, where there is one, and what that has used; otherwise as it was composed."""
        settings = context.settings
        from_facts = replace(composed, facts={**composed.facts, "writer": "facts"})
        why = settings.why_no_model()
        if why and not settings.needs_model:
            context.log(f"written from the facts alone: {why}", "debug")
            return from_facts, {}
        from app.steps.summaries._with_model import written

        try:
            by_model, usage = written(context, code_base, composed, _readme(context, code_base))
        except (PassingError, PermanentError) as error:
            if settings.writer == "model":
                raise
            context.log(f"written from the facts alone, since the model has failed: {error}", "warn")
            return replace(from_facts, facts={**from_facts.facts, "model_error": str(error)}), {}
        context.log(f"{by_model.facts['model']}: {usage.input_tokens:,} tokens read, {usage.output_tokens:,} written")
        return by_model, {"usage": usage.amounts(settings.prices)}

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


def _readme(context: Context[SummarySettings], code_base: CodeBase) -> str:
    """What the code base says of itself, or nothing."""
    at_top = [file.path for file in code_base.files if "/" not in file.path and file.path.lower().startswith("readme")]
    document = context.document(f"file:{code_base.folder}/{min(at_top, key=len)}") if at_top else None
    return document.body if document else ""
