"""agent: looks at each document, and writes what it finds out into the document."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.steps.agents.keywords import keywords
from app.steps.agents.settings import AgentSettings
from app.steps.document_facts import with_facts
from app.steps.models.settings import NEEDED, endpoint_of
from app.steps.source_tree import printable
from app.work.step_type import Context, Obstacle, PermanentError, StepType, WorkItem


class Agent(StepType[AgentSettings]):
    """One work item per document. Documents are updated, none is created."""

    name = "agent"
    summary = "Looks at each document, and writes what it finds out, such as keywords or a summary, into the document."
    settings_type = AgentSettings
    timeout = 3600.0

    @classmethod
    def obstacle(cls, settings: AgentSettings) -> Obstacle | None:
        if settings.asks_model:
            try:
                endpoint_of(settings)
            except PermanentError as error:
                return Obstacle(f"{settings.agent_type}: {error}", ("agent_type", *NEEDED))
        return None

    @classmethod
    def variant(cls, settings: AgentSettings) -> type[StepType[AgentSettings]]:
        if not settings.asks_model:
            return cls
        from app.steps.agents._with_model import ModelAgent

        return ModelAgent

    def plan(self, context: Context[AgentSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        of_kind = context.documents(
            tags=settings.filter_tags, source_type=settings.filter_source_type or None, bodies=False
        )
        found = filter(settings.wants, of_kind)
        for document in islice(found, settings.filter_limit):
            name = f"{printable(document.title)} ({printable(document.address)})"
            yield WorkItem(name, {"address": document.address})
        if next(found, None) is not None:
            context.log(f"only the first {settings.filter_limit:,} documents are looked at (filter_limit)", "warn")

    def run(self, context: Context[AgentSettings], item: WorkItem) -> dict[str, Any]:
        """The keywords, the best first; none when the document is gone."""
        settings = context.settings
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return {"keywords": []}
        text = f"{document.title}.\n\n{document.body[: settings.max_characters]}"
        facts = {"keywords": keywords(text, settings.language, settings.max_words, settings.max_keywords)}
        context.save_document(with_facts(document, settings.name_of_facts, facts, settings.tags))
        context.log(f"{printable(document.title)}: {', '.join(facts['keywords']) or 'no keywords'}")
        return facts
