"""TOML and JSON of unknown shape, read by key; what has another type than it should is a fault with its line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from app.steps.manifests.build_info import ManifestError

_KINDS = {dict: "a table", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Table:
    """A table of a manifest, which knows where it stands."""

    def __init__(self, values: dict[str, Any], source: str, where: str = "") -> None:
        self.values = values
        self._source = source
        self._where = where

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def text(self, key: str) -> str:
        """The text of that key, "" without one."""
        return str(self._checked(key, str, "a text") or "")

    def texts(self, key: str) -> list[str]:
        found = self._checked(key, list, "a list of texts") or []
        if not all(isinstance(each, str) for each in found):
            raise self.fault(key, "a list of texts", next(each for each in found if not isinstance(each, str)))
        return list(found)

    def table(self, key: str) -> Table:
        """The table of that key, an empty one without it."""
        return Table(self._checked(key, dict, "a table") or {}, self._source, f"{self._where}{key}.")

    def tables(self, key: str) -> list[Table]:
        """The tables in the list of that key, such as those of [[bin]]."""
        found = self._checked(key, list, "a list of tables") or []
        if not all(isinstance(each, dict) for each in found):
            raise self.fault(key, "a list of tables", next(each for each in found if not isinstance(each, dict)))
        return [Table(each, self._source, f"{self._where}{key}.") for each in found]

    def pairs(self, key: str) -> dict[str, str]:
        """The texts of the table of that key; what is no text in it is left out."""
        return {name: value for name, value in self.table(key).values.items() if isinstance(value, str)}

    def fault(self, key: str, wanted: str, found: Any) -> ManifestError:
        is_a = _KINDS.get(type(found), f"a {type(found).__name__}")
        return ManifestError(f"{self._where}{key} must be {wanted}, but is {is_a}", self._line_of(key))

    def _checked(self, key: str, kind: type, wanted: str) -> Any:
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.fault(key, wanted, value)
        return value

    def _line_of(self, key: str) -> int | None:
        """Where the key stands for the first time below its table; parsers do not keep it."""
        outer = self._where.rstrip(".")
        begin = self._source.find(f"[{outer}]") if outer else 0
        found = re.compile(rf"^[^#\n]*?\b{re.escape(key)}[\"']?\s*[=:\]]", re.MULTILINE).search(
            self._source, max(begin, 0)
        )
        return self._source.count("\n", 0, found.end()) + 1 if found else None


def toml(text: str) -> Table:
    try:
        return Table(tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        raise ManifestError(f"is not TOML: {_AT_LINE.sub('', str(error))}", line) from None
    except (RecursionError, ValueError, OverflowError):
        raise ManifestError(
            "is not TOML that can be read: it is nested too deeply, or has too large a number"
        ) from None


def json_table(text: str) -> Table:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(f"is not JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except (RecursionError, ValueError):
        raise ManifestError(
            "is not JSON that can be read: it is nested too deeply, or has too large a number"
        ) from None
    if not isinstance(values, dict):
        raise ManifestError(f"must be an object {{...}}, but is {_KINDS.get(type(values), 'null')}", 1)
    return Table(values, text)
