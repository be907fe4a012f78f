"""Text that every database can hold."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

_LONG_NUMBER = re.compile(r"\d{19}")
NULL_SYMBOL = "\N{SYMBOL FOR NULL}"


def storable(text: str) -> str:
    """The text with null characters shown as ␀ and lone surrogates as escapes: PostgreSQL holds neither."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", NULL_SYMBOL).encode("utf-8", "backslashreplace").decode()


def stored_json(value: object) -> str | None:
    """The JSON text of a value as the tables keep it; None for None. Raises TypeError or ValueError for what JSON
    cannot hold."""
    return None if value is None else _encoded(storable_value(value))


def storable_value(value: Any) -> Any:
    """The value, if JSON can hold it, with all its text storable. Raises TypeError or ValueError if not: JSON has
    no NaN or infinity, and a whole number beyond 64 bits would come back as another one."""
    try:
        text = _encoded(value)
    except UnicodeEncodeError:
        text, value = "null", _with_storable_text(value)
    if "null" in text or _LONG_NUMBER.search(text):
        _refuse_odd_numbers(value)
    return _with_storable_text(msgspec.json.decode(text)) if r"\u0000" in text else value


def _refuse_odd_numbers(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number in JSON")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"{value} has more than 64 bits")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for each in value:
        _refuse_odd_numbers(each)


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _with_storable_text(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list | tuple):
        return [_with_storable_text(each) for each in value]
    if isinstance(value, dict):
        return {_with_storable_text(key): _with_storable_text(each) for key, each in value.items()}
    return value
