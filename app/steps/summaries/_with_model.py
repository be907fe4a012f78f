"""Writing with a language model. What it says stands before the facts, and takes the place of none."""

from __future__ import annotations

import asyncio

from app.steps.models.model import Model, Prompt
from app.steps.models.usage import Usage
from app.steps.summaries.code_base import CodeBase
from app.steps.summaries.composing import Composed
from app.steps.summaries.material import material, parts_of
from app.steps.summaries.prose import CodeBaseAnswer, instructions, prose, with_prose
from app.steps.summaries.settings import SummarySettings
from app.work.step_type import Context, PermanentError


def written(
    context: Context[SummarySettings], code_base: CodeBase, composed: Composed, readme: str
) -> tuple[Composed, Usage]:
    """What the model has made of it, and what that has used. Raises PassingError when the endpoint could not be had,
    PermanentError when its answer is none."""
    settings = context.settings
    parts = parts_of(code_base)
    model = Model(
        settings,
        lambda line: context.log(line, "warn"),
        lambda usage: context.add_to_totals(usage.amounts(settings.prices)),
    )
    prompt = Prompt(
        instructions(settings.kind, settings.instructions),
        material(composed, parts, readme, settings.max_characters),
    )
    answer, usage = asyncio.run(model.ask(prompt, CodeBaseAnswer))
    try:
        return with_prose(composed, prose(answer, parts), model.name), usage
    except ValueError as error:
        raise PermanentError(f"the model's answer cannot be used: {error}") from None
