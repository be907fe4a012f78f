"""Structured answers: what a model is told about their shape, and what is made of the text that it sends."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.steps.source_tree import printable


class Answer(BaseModel):
    """Base of every answer: the keys that a model has to fill. Others that it adds are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


A = TypeVar("A", bound=Answer)

_TOLD = ("type", "enum", "description")
_MOST_FAULTS = 5
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Misfit(Exception):
    """An answer that is not what was asked for. Its text says why, for people and for the model."""


def wire_schema(shape: type[Answer]) -> dict[str, Any]:
    """The JSON Schema of a shape, in the few words that every endpoint knows: all keys required, no references."""
    schema = shape.model_json_schema()
    return _plain(schema, schema.get("$defs", {}))


def read(text: str, shape: type[A]) -> A:
    """Raises Misfit."""
    try:
        value = json.loads(_bare(text), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Misfit(f"it is not JSON ({error})") from None
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in faults[:_MOST_FAULTS])
        raise Misfit(f"it does not fit the schema ({printable(told)[:600]})") from None


def _bare(text: str) -> str:
    """Without what some models put around their JSON: their thoughts before it, a Markdown fence."""
    text = _THOUGHT.sub("", text)
    fenced = _FENCED.match(text)
    return fenced[1] if fenced else text


def _place(keys: tuple[int | str, ...]) -> str:
    return ".".join(map(str, keys)) or "the whole"


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _plain(target, definitions) | ({"description": schema["description"]} if "description" in schema else {})
    plain = {key: schema[key] for key in _TOLD if key in schema}
    if "const" in schema:
        plain["enum"] = [schema["const"]]
    if "anyOf" in schema:
        plain["anyOf"] = [_plain(each, definitions) for each in schema["anyOf"]]
    if "items" in schema:
        plain["items"] = _plain(schema["items"], definitions)
    if "properties" in schema:
        plain["properties"] = {name: _plain(each, definitions) for name, each in schema["properties"].items()}
        plain["required"] = list(schema["properties"])
        plain["additionalProperties"] = False
    return plain


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
