"""Agents that ask a language model."""

from __future__ import annotations

from typing import Any

from app.steps.agent import Agent
from app.steps.agents._tasks import task_of
from app.steps.agents.settings import AgentSettings
from app.steps.document_facts import with_facts
from app.steps.models.model import Model, Prompt
from app.steps.source_tree import printable
from app.work.step_type import Context, WorkItem


class ModelAgent(Agent):
    """Waits for its model most of the time, and runs on the loop."""

    async def run(self, context: Context[AgentSettings], item: WorkItem) -> dict[str, Any]:  # type: ignore[override]
        """What was found out, and what that has used."""
        settings = context.settings
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return {"skipped": "the document is gone"}
        text = document.body[: settings.max_characters]
        if len(text) < len(document.body):
            context.log(
                f"{printable(document.title)}: only the first {len(text):,} of {len(document.body):,} characters are "
                f"looked at (max_characters)",
                "warn",
            )
        task = task_of(settings, f"{document.title}\n{text}")
        model = Model(
            settings,
            lambda line: context.log(f"{printable(document.title)}: {line}", "warn"),
            lambda usage: context.add_to_totals(usage.amounts(settings.prices)),
        )
        instructions = f"{task.instructions}\n\n{settings.instructions}" if settings.instructions else task.instructions
        prompt = Prompt(instructions, {"title": document.title, "text": text})
        answer, usage = await model.ask(prompt, task.shape)
        facts = task.facts(answer)
        latest = context.document(document.address)  # others may have written into it meanwhile
        if latest is not None:
            kept = {**facts, "model": model.name}
            context.save_document(with_facts(latest, settings.name_of_facts, kept, settings.tags))
        context.log(
            f"{printable(document.title)}: {task.told(facts)} "
            f"({usage.input_tokens:,} tokens read, {usage.output_tokens:,} written)"
        )
        return {**facts, "usage": usage.amounts(settings.prices)}
