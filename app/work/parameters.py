"""The parameters of a definition: their types, the values given to a run, and the places they are put into."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.queue.places import LARGEST
from app.work.problems import ParameterError, Problem, did_you_mean, printable

ParameterType = Literal["string", "integer", "number", "boolean", "folder", "file"]

# {{x}} is a literal {x}; {x} is the parameter x; anything else in braces, such as \d{3}, is ordinary text.
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `[parameters.<name>]` of a definition."""

    name: str
    type: ParameterType = "string"
    default: Any = None
    """None: the parameter has to be given."""
    help: str = ""

    @property
    def required(self) -> bool:
        return self.default is None

    def typed(self, value: Any) -> Any:
        """The value in the parameter's type, converted from text where need be; for a folder or file only a path, see
        `existing`. Raises ValueError saying what is wrong."""
        match self.type:
            case "integer":
                return _integer(value)
            case "number":
                return _number(value)
            case "boolean":
                return _boolean(value)
            case "string":
                return _text(value, "a string")
            case "folder" | "file":
                return _text(value, "a path")

    def existing(self, path: str) -> str:
        """The absolute path of a folder or file that exists and can be read. Raises ValueError saying what is wrong."""
        if not path:
            raise ValueError(f"must be the path of a {self.type}, not an empty text")
        try:
            absolute = Path(path).expanduser().resolve()
            fits, exists = absolute.is_dir() if self.type == "folder" else absolute.is_file(), absolute.exists()
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"{_shown(path)} cannot be followed ({why}); give the path of a {self.type}") from None
        if not fits:
            found = f"is not a {self.type}" if exists else "does not exist"
            raise ValueError(f"{str(absolute)!r} {found}; give the path of a {self.type} that can be read")
        _text(str(absolute), "a path")  # where links lead may have a name that is no text
        if not os.access(absolute, os.R_OK | (os.X_OK if self.type == "folder" else 0)):
            raise ValueError(f"{str(absolute)!r} cannot be read; check its permissions")
        return str(absolute)


def settle(parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter, given or default. Raises ParameterError with everything that is wrong."""
    known = {parameter.name: parameter for parameter in parameters}
    unknown = [name for name in given if name not in known]
    problems = [_problem(name, f"is not a parameter; {did_you_mean(name, known)}") for name in unknown]
    values: dict[str, Any] = {}
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        try:
            values[parameter.name] = _settled(parameter, value)
        except ValueError as error:
            problems.append(_problem(parameter.name, str(error)))
    if problems:
        raise ParameterError(problems)
    return values


def placeholders(setting: Any) -> Iterator[str]:
    """The names of the parameters that a setting refers to, also deep inside lists and tables."""
    match setting:
        case str():
            yield from (match["name"] for match in _PLACEHOLDER.finditer(setting) if match["name"])
        case list():
            for value in setting:
                yield from placeholders(value)
        case dict():
            for value in setting.values():
                yield from placeholders(value)


def fill(setting: Any, values: Mapping[str, Any]) -> Any:
    """The setting with every placeholder replaced. A text that is nothing but one placeholder takes the value as it is;
    within a longer text a value is spelt as TOML would spell it."""
    match setting:
        case str():
            whole = _PLACEHOLDER.fullmatch(setting)
            if whole and whole["name"]:
                return values[whole["name"]]
            return _PLACEHOLDER.sub(lambda match: _spelt(match, values), setting)
        case list():
            return [fill(value, values) for value in setting]
        case dict():
            return {key: fill(value, values) for key, value in setting.items()}
    return setting


def _spelt(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match["literal"]:
        return "{" + match["literal"] + "}"
    value = values[match["name"]]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settled(parameter: Parameter, value: Any) -> Any:
    if value is None:
        raise ValueError(f"is missing; give a value of type {parameter.type}")
    typed = parameter.typed(value)
    return parameter.existing(typed) if parameter.type in ("folder", "file") else typed


def _problem(name: str, message: str) -> Problem:
    return Problem(None, None, printable(name), message)


def _integer(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST:
        return value
    raise ValueError(f"must be an integer such as 5, not {_shown(value)}")


def _number(value: Any) -> int | float:
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, int) and not isinstance(number, bool) and -LARGEST <= number <= LARGEST:
        return number
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ValueError(f"must be a number such as 0.5, not {_shown(value)}")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"must be true or false, not {_shown(value)}")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be {what}, not {_shown(value)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"must be {what} of valid characters, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} in which too much is nested"
    return text if len(text) <= 80 else f"{text[:77]}..."
