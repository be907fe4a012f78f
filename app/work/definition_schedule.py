"""The `[schedule]` of a definition: when it is started by itself, and with which parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.queue.ticks import Cron, Missed, check_expression, zone_of
from app.work.definition_files import KeyPath
from app.work.parameters import Parameter
from app.work.problems import did_you_mean


@dataclass(frozen=True)
class Schedule:
    """When a definition is started. `parameters`: the values that its runs are given."""

    cron: Cron
    missed: Missed
    parameters: dict[str, Any] = field(default_factory=dict)


def schedule_faults(table: Any, parameters: Mapping[str, dict[str, Any]]) -> Iterator[tuple[KeyPath, str]]:
    """What no single type tells: keys are relative to the definition. `parameters`: those that it declares."""
    if not isinstance(table, dict):
        return
    if isinstance(expression := table.get("cron"), str):
        yield from _told(("schedule", "cron"), check_expression, expression)
    if isinstance(zone := table.get("time_zone"), str):
        yield from _told(("schedule", "time_zone"), zone_of, zone)
    given = table.get("parameters", {})
    if isinstance(given, dict):
        yield from _parameter_faults(given, parameters)


def _parameter_faults(given: dict[str, Any], parameters: Mapping[str, dict[str, Any]]) -> Iterator[tuple[KeyPath, str]]:
    for name in given:
        if name not in parameters:
            yield ("schedule", "parameters", name), f"is not a parameter; {did_you_mean(name, parameters)}"
    for name, declared in parameters.items():
        if name in given:
            parameter = Parameter(name, declared.get("type", "string"))
            yield from _told(("schedule", "parameters", name), parameter.typed, given[name])
        elif declared.get("default") is None:
            way_out = f"give it under [schedule.parameters], or a default under [parameters.{name}]"
            yield ("schedule", "parameters"), f"has no value for {name!r}, which a run needs; {way_out}"


def _told(key: KeyPath, check: Callable[[Any], object], value: Any) -> Iterator[tuple[KeyPath, str]]:
    try:
        check(value)
    except ValueError as error:
        yield key, str(error)
