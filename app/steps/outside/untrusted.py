"""Reading JSON that others made, whatever its shape is."""

from __future__ import annotations

from typing import Any

from app.work.step_type import PermanentError

MAX_TEXT = 2000


def table(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one: no provider is trusted to keep its own shape."""
    return value if isinstance(value, dict) else {}


def words(value: Any) -> str:
    return " ".join(value.split())[:MAX_TEXT] if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    ordinary = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if ordinary else None


def names(value: Any) -> tuple[str, ...]:
    """The texts of a list, or a single text; each once."""
    listed = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(name for each in listed[:50] if (name := words(each))))


def listed(answer: Any, key: str, told: str) -> list[Any]:
    """Raises PermanentError when an answer does not have the list that it should have."""
    found = table(answer).get(key, [] if isinstance(answer, dict) else None)
    if not isinstance(found, list):
        raise PermanentError(f"{told} answered in a shape that is not known: no list of {key!r}")
    return found
