"""What keeps the steps of a definition from running here, though nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from app.queue.run_plan import StepPlan
from app.work.definition_files import dotted
from app.work.failures import told
from app.work.parameters import Parameter, fill, placeholders
from app.work.problems import Problem
from app.work.registry import StepTypes
from app.work.step_type import Obstacle

_EXAMPLES = {"string": "x", "integer": 1, "number": 1.0, "boolean": True, "folder": "/", "file": "/"}


def obstacles(steps: Iterable[StepPlan], step_types: StepTypes) -> Iterator[Problem]:
    """Those of steps whose placeholders are filled. A step type that is gone says so when it is to run."""
    for step in steps:
        if step.type in step_types and (found := _obstacle(step_types, step.type, step.settings)):
            yield _problem(step, found)


def certain_obstacles(
    steps: Iterable[StepPlan], parameters: Iterable[Parameter], step_types: StepTypes
) -> Iterator[Problem]:
    """Those that no value of a parameter can remove. Parameters without a default take an example; where a step type
    does not accept it nothing is certain."""
    values = {each.name: _EXAMPLES[each.type] if each.default is None else each.default for each in parameters}
    for step in steps:
        found = _obstacle(step_types, step.type, fill(step.settings, values))
        if found and not any(_is_open(step.settings.get(name)) for name in found.settings):
            yield _problem(step, found)


def _obstacle(step_types: StepTypes, name: str, settings: dict[str, Any]) -> Obstacle | None:
    if name in step_types.run_elsewhere:
        return None
    step_type = step_types[name]
    try:
        checked = step_type.settings_type.model_validate(settings)
    except ValidationError:
        return None
    try:
        return step_type.obstacle(checked)
    except Exception as error:  # of somebody's own step type: it must not take the page along
        return Obstacle(f"whether it can run here cannot be found out: {told(error)}")


def _is_open(setting: Any) -> bool:
    return next(placeholders(setting), None) is not None


def _problem(step: StepPlan, found: Obstacle) -> Problem:
    return Problem(None, None, dotted(("step", step.name)), found.reason)
