"""What no single key of a definition can tell: whether its steps, step types, settings and parameters fit together.

Every check reads the parsed TOML as it is, so that a fault in one place hides none in another.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from app.work.definition_files import KeyPath
from app.work.definition_schedule import schedule_faults
from app.work.definition_tables import DefinitionTable, ParameterTable, StepTable, faults, names_in
from app.work.parameters import Parameter, fill, placeholders
from app.work.problems import did_you_mean, printable
from app.work.registry import AnyStepType, StepTypes

Fault = tuple[KeyPath, str]
"""The way to a key, and what is wrong there."""

_EXAMPLES = {"string": "", "integer": 1, "number": 1.0, "boolean": True, "folder": "/", "file": "/"}


def definition_faults(table: dict[str, Any], step_types: StepTypes) -> list[Fault]:
    """Everything that is wrong with a definition."""
    parameters = _tables(table.get("parameters"))
    steps = _tables(table.get("step"))
    found = [
        *_shape_faults(table),
        *_default_faults(parameters),
        *_depends_faults(steps),
        *schedule_faults(table.get("schedule"), parameters),
        *(fault for name, step in steps.items() for fault in _step_faults(name, step, parameters, step_types)),
    ]
    faulty = {key for key, _ in found}
    found += [fault for fault in _unstorable(table, ()) if fault[0] not in faulty]
    return list(dict.fromkeys(found))


def settings_faults(step_type: AnyStepType, settings: Mapping[str, Any]) -> list[Fault]:
    """What a step type has against its settings, their placeholders filled; keys are relative to the step."""
    try:
        step_type.settings_type.model_validate(dict(settings))
    except ValidationError as error:
        return list(faults(error, step_type.settings_type))
    return []


def dependencies(steps: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The steps that each step waits for: those it names, or else the one before it."""
    before: tuple[str, ...] = ()
    depends: dict[str, tuple[str, ...]] = {}
    for name, step in steps.items():
        depends[name] = tuple(dict.fromkeys(names_in(step["depends"]))) if "depends" in step else before
        before = (name,)
    return depends


def _shape_faults(table: dict[str, Any]) -> Iterator[Fault]:
    try:
        DefinitionTable.model_validate(table)
    except ValidationError as error:
        yield from faults(error, DefinitionTable)


def _default_faults(parameters: Mapping[str, dict[str, Any]]) -> Iterator[Fault]:
    for name, table in parameters.items():
        try:
            _default(name, table)
        except ValidationError:
            continue  # already told by the shape
        except ValueError as error:
            yield ("parameters", name, "default"), str(error)


def _default(name: str, table: dict[str, Any]) -> Any:
    declared = ParameterTable.model_validate(table)
    return None if declared.default is None else Parameter(name, declared.type).typed(declared.default)


def _step_faults(
    name: str, step: dict[str, Any], parameters: Mapping[str, dict[str, Any]], step_types: StepTypes
) -> Iterator[Fault]:
    settings = {key: value for key, value in step.items() if key not in StepTable.model_fields}
    for key, value in settings.items():
        for unknown in sorted(set(placeholders(value)) - set(parameters)):
            way_out = f"{did_you_mean(unknown, parameters)} (for the text itself write {{{{{unknown}}}}})"
            yield ("step", name, key), f"{{{unknown}}} names no parameter; {way_out}"
    type_name = step.get("type")
    if not isinstance(type_name, str):
        return
    if type_name not in step_types:
        way_out = did_you_mean(type_name, step_types)
        if step_types.not_loaded:
            missing = "; ".join(step_types.not_loaded)
            way_out = f"{way_out.rstrip('?')}, or was it in what could not be loaded: {missing}?"
        yield ("step", name, "type"), f"{type_name!r} is not a step type; {way_out}"
        return
    for place, message in _certain_faults(step_types[type_name], settings, parameters):
        yield ("step", name, *place), message


def _certain_faults(
    step_type: AnyStepType, settings: dict[str, Any], parameters: Mapping[str, dict[str, Any]]
) -> list[Fault]:
    """The faults that a run would meet whatever its parameters: settings that wait for a value are judged with it."""
    values = {name: _example(name, table) for name, table in parameters.items()}
    defaults = {name for name, table in parameters.items() if "default" in table}
    known = step_type.settings_type.model_fields
    waiting = {key for key, value in settings.items() if key in known and not set(placeholders(value)) <= defaults}
    examples = {name: "" for value in settings.values() for name in placeholders(value)} | values
    found = settings_faults(step_type, fill(settings, examples))
    return [(key, message) for key, message in found if (key[0] not in waiting if key else not waiting)]


def _example(name: str, table: dict[str, Any]) -> Any:
    try:
        default = _default(name, table)
    except ValueError:
        return ""
    return _EXAMPLES[table.get("type", "string")] if default is None else default


def _depends_faults(steps: Mapping[str, dict[str, Any]]) -> Iterator[Fault]:
    depends = dependencies(steps)
    for name, named in depends.items():
        for unknown in (step for step in named if step not in steps):
            yield ("step", name, "depends"), f"{unknown!r} is not a step here; {did_you_mean(unknown, steps)}"
    yield from _cycle_faults(steps, depends)


def _cycle_faults(steps: Mapping[str, dict[str, Any]], depends: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    while cycle := _cycle(depends):
        told = next((name for name in cycle if "depends" in steps[name]), cycle[0])
        implied = next((name for name in cycle if "depends" not in steps[name]), None)
        way = " -> ".join(map(printable, cycle))
        message = f"the steps wait for each other: {way}; take one of them out of depends"
        if implied:
            message += (
                f" ({implied!r} has no depends, so it waits for the step before it; depends = [] starts it at once)"
            )
        yield ("step", told, "depends"), message
        depends = {name: () if name in cycle else named for name, named in depends.items()}


def _cycle(depends: dict[str, tuple[str, ...]]) -> list[str]:
    """The steps of one cycle, each waiting for the next and the last being the first; empty when there is none."""
    try:
        TopologicalSorter(depends).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _unstorable(value: Any, key: KeyPath) -> Iterator[Fault]:
    """TOML can say what neither JSON nor a database column holds."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from _unstorable(inner, (*key, name))
        case list():
            for index, inner in enumerate(value):
                yield from _unstorable(inner, (*key, index))
        case str() if "\0" in value:
            yield key, f"{value!r} has a null character; take it out"
        case float() if not math.isfinite(value):
            yield key, f"{value} is not a number that can be stored; give a finite one"
        case datetime.date() | datetime.time():
            yield key, f'{value} is a date or time; write it as a string: "{value}"'


def _tables(value: Any) -> dict[str, dict[str, Any]]:
    entries: Iterable[tuple[str, Any]] = value.items() if isinstance(value, dict) else ()
    return {name: table for name, table in entries if isinstance(table, dict)}
