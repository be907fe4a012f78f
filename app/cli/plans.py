"""From a definition and parameters to a plan, or to a refusal that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.cli.refusals import Refusal
from app.main import Stepglass
from app.queue.run_plan import RunPlan
from app.queue.store.start import StartRefused
from app.web.access import NoSuchDefinition, NotStartable


def plan_or_refuse(stepglass: Stepglass, definition: str, parameters: Mapping[str, str]) -> RunPlan:
    """Raises Refusal."""
    try:
        return stepglass.catalog.plan(definition, parameters)
    except NoSuchDefinition as error:
        raise Refusal(str(error)) from error
    except StartRefused as error:
        raise Refusal(str(error)) from error
    except NotStartable as error:
        raise not_startable(definition, error.problems) from error


def absolute(path: str) -> Path:
    """The path as it stands here, for a reader in another working directory."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # ~name of nobody: then it is a name like any other
        return Path(path).absolute()


def not_startable(definition: str, problems: Mapping[str, str]) -> Refusal:
    """Tells each problem on a line of its own."""
    lines = (f"{key}: {message}" for key, message in problems.items())
    return Refusal("\n".join([f"{definition} cannot be started:", *lines]))
