"""The tables and keys that a definition file may have, and what is said about those that it may not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from app.queue.limits import MOST_PRIORITY, Limits, rate_of
from app.queue.run_plan import RETRY_LIMITS, UNLIMITED, FailureAction, OnError
from app.queue.ticks import Missed
from app.work.definition_files import KeyPath
from app.work.parameters import ParameterType
from app.work.problems import did_you_mean

_DURATION = re.compile(r"(?P<count>\d{1,9}(\.\d{1,6})?)\s*(?P<unit>[smhd])", re.ASCII)
MOST_DAYS = 100_000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _in_seconds(value: Any) -> Any:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match["count"]) * _SECONDS[match["unit"]]
    return value


def _delay(value: Any) -> float:
    seconds, most = _in_seconds(value), RETRY_LIMITS["longest_delay"][1]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= most:
        raise ValueError(f'must be a duration such as "5s", "2m" or a number of seconds, up to a day, not {value!r}')
    return float(seconds)


def _seconds(value: Any) -> float:
    value = _in_seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f'must be a duration such as "90s", "5m", "4h" or a number of seconds above 0, not {value!r}')
    return float(value)


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def names_in(depends: Any) -> list[str]:
    """The step names in a `depends`, which is a list or a text with commas; none in anything else."""
    listed = _names(depends)
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _rate(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'must be a rate such as "10/second", "60/minute" or "500/hour", not {value!r}')
    rate_of(value)
    return value.replace(" ", "")


# Ids and step names stand in addresses, parameters in braces.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Duration = Annotated[float, BeforeValidator(_seconds)]
Delay = Annotated[float, BeforeValidator(_delay)]
RateText = Annotated[str, BeforeValidator(_rate)]
Names = Annotated[list[str], BeforeValidator(_names)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ParameterTable(Table):
    type: ParameterType = "string"
    default: Any = None
    help: str = ""


class ToleranceTable(Table):
    max_child_failures: int = Field(UNLIMITED, ge=UNLIMITED)
    failure_action: FailureAction = Field(FailureAction.STOP_ALL, strict=False)


def _between(name: str) -> Any:
    """An optional field within the limits of Retry's field of that name."""
    least, most = RETRY_LIMITS[name]
    return Field(None, ge=least, le=most)


class RetryTable(Table):
    """What it does not say is said elsewhere: for a step by the definition, then by the step type."""

    attempts: int | None = _between("attempts")
    first_delay: Delay | None = None
    factor: float | None = _between("factor")
    longest_delay: Delay | None = None
    jitter: float | None = _between("jitter")


class LimitsTable(Table):
    work_items: int | None = Field(None, ge=1)
    rate: RateText | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.work_items, self.rate)


class StepTable(Table):
    """The keys that every step has; all others are settings of its step type."""

    model_config = ConfigDict(extra="allow")

    type: str
    description: str = ""
    depends: Names | None = None
    on_error: OnError = Field(OnError.FAIL, strict=False)
    always_run: bool = False
    timeout: Duration | None = None
    step_timeout: Duration | None = None
    retry: RetryTable | None = None
    limits: LimitsTable = Field(default_factory=lambda: LimitsTable.model_validate({}))

    @property
    def settings(self) -> dict[str, Any]:
        return self.model_extra or {}


class ScheduleTable(Table):
    cron: str
    time_zone: str = "UTC"
    missed: Missed = Field(Missed.ONCE, strict=False)
    parameters: dict[ParameterName, Any] = {}


class RetentionTable(Table):
    days: int | None = Field(None, ge=0, le=MOST_DAYS)
    runs: int | None = Field(None, ge=0)


class DefinitionTable(Table):
    id: Name
    name: str = ""
    description: str = ""
    tags: list[str] = []
    timeout: Duration | None = None
    enabled: bool = True
    concurrency: int = Field(1, ge=1)
    priority: int = Field(0, ge=-MOST_PRIORITY, le=MOST_PRIORITY)
    limits: LimitsTable = Field(default_factory=lambda: LimitsTable.model_validate({}))
    parameters: dict[ParameterName, ParameterTable] = {}
    error_tolerance: ToleranceTable = Field(default_factory=lambda: ToleranceTable.model_validate({}))
    retry: RetryTable | None = None
    schedule: ScheduleTable | None = None
    retention: RetentionTable = Field(default_factory=lambda: RetentionTable.model_validate({}))
    step: dict[Name, StepTable] = Field(min_length=1)


def faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str]]:
    """Every fault that pydantic found: the way to the key, and a sentence with the value and the way out."""
    for fault in error.errors(include_url=False):
        key = tuple(part for part in fault["loc"] if part != "[key]")
        match fault["type"]:
            case "extra_forbidden":
                message = f"is not a known key; {did_you_mean(str(key[-1]), _keys_of(model, key[:-1]))}"
            case "missing":
                message = "is missing; add it"
            case "model_type" | "model_attributes_type":
                message = f"must be a table, not {_shown(fault['input'])}"
            case "value_error":
                message = str(fault["ctx"]["error"])
            case "string_pattern_mismatch":
                message = f"{_shown(fault['input'])} is not a name; use letters, digits and _, a letter first"
            case _:
                message = f"{_sentence(fault['msg'])}, not {_shown(fault['input'])}"
        yield key, message


def _sentence(message: str) -> str:
    return message.replace("Input should be", "must be").replace("Input should", "must")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_of(model: type[BaseModel], key: KeyPath) -> list[str]:
    """The keys that a model has at a place inside it; its own when the place cannot be told."""
    for part in key:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as list[Rule], dict[str, Rule] or Rule | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation) if argument is not NoneType)
    return next((model for model in found if model), None)
