"""What keeps a run that was kept from before from being started again, though its definition was sound then."""

from __future__ import annotations

from pathlib import Path

from app.queue.run_plan import RunPlan
from app.work.definition_files import DefinitionFile, dotted
from app.work.obstacles import obstacles
from app.work.page_rules import PageRules
from app.work.problems import Problem
from app.work.registry import StepTypes


def against_repeating(plan: RunPlan, rules: PageRules, step_types: StepTypes) -> list[Problem]:
    """That its text came through the page, which may not write it now; or what keeps those of its steps that would run
    from running here, as a start is told it."""
    if rules.wrote(plan.text):
        faults = rules.of_page_text(DefinitionFile.of_text(Path("the text of the run"), plan.text))
        if faults:
            return [Problem(None, None, dotted(key), message) for key, message in faults]
    return list(obstacles((step for step in plan.steps if step.name not in plan.taken), step_types))
