"""Definition files as text: read, parsed as TOML, and each key traced back to its line."""

from __future__ import annotations

import codecs
import json
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from app.work.problems import DefinitionError, Problem, printable

KeyPath = tuple[str | int, ...]
"""The way to a value: ("step", "classify", "rules", 2, "name")."""

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class DefinitionFile:
    """A file that is TOML; whether it is a definition is another question."""

    path: Path
    text: str
    table: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> DefinitionFile:
        """Raises DefinitionError when the file cannot be read, is not UTF-8 or is not TOML."""
        return cls.of_text(path, read_text(path))

    @classmethod
    def of_text(cls, path: Path, text: str) -> DefinitionFile:
        """What the file would be with that text. Raises DefinitionError when it is not TOML."""
        return cls(path, text, _parsed(path, text))

    def problem(self, key: KeyPath, message: str) -> Problem:
        return Problem(self.path, self.line_of(key), dotted(key), message)

    def line_of(self, key: KeyPath) -> int | None:
        """The line of the key, or of the nearest table around it that the text names."""
        parents = (key[:length] for length in range(len(key), 0, -1))
        return next((self._lines[parent] for parent in parents if parent in self._lines), None)

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return _lines_of_keys(self.text)


def read_text(path: Path) -> str:
    """The text of a file. Raises DefinitionError when it cannot be read or is not UTF-8."""
    return _decoded(path, _content(path))


def dotted(key: KeyPath) -> str:
    """The key in TOML's own notation: `step.classify.rules[2].name`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += ("." if text else "") + (part if bare else json.dumps(part))
    return text


def _content(path: Path) -> bytes:
    if "\0" in str(path):
        raise _refused(path, "has a null character in its path; take it out")
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise _refused(path, "is a directory; name a TOML file in it")
        if not stat.S_ISREG(about.st_mode):
            raise _refused(path, "is not a regular file; a definition is a TOML file")
        if about.st_size > MAX_BYTES:
            raise _refused(path, f"is larger than {MAX_BYTES:,} bytes, the most that a definition may have")
        return path.read_bytes()
    except FileNotFoundError:
        raise _refused(path, "does not exist; check the path") from None
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror}); check its permissions") from None


def _decoded(path: Path, content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refused(path, "is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise DefinitionError([Problem(path, line, "", message)]) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _toml_fault(str(error), text)
        raise DefinitionError([Problem(path, line, "", f"is not valid TOML: {message}")]) from None
    except RecursionError:
        raise _refused(path, "is not valid TOML: its arrays or tables are nested too deeply") from None


def _toml_fault(message: str, text: str) -> tuple[str, int]:
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if place is None:
        return printable(message), 1
    last_line = len(text.splitlines()) or 1
    return printable(message[: place.start()]), int(place[1] or last_line)


def _refused(path: Path, message: str) -> DefinitionError:
    return DefinitionError([Problem(path, None, "", message)])


def _lines_of_keys(text: str) -> dict[KeyPath, int]:
    lines: dict[KeyPath, int] = {}
    tables_in: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement, parsed in _statements(text):
        path = _key_of(parsed)
        if statement.lstrip().startswith("[["):
            path = _inside_latest(path, tables_in)
            index = tables_in.get(path, 0)
            tables_in[path] = index + 1
            table = key = (*path, index)
        elif statement.lstrip().startswith("["):
            table = key = _inside_latest(path, tables_in)
        else:
            key = (*table, *path)
        for length in range(1, len(key) + 1):
            lines.setdefault(key[:length], line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Cuts valid TOML into table headers and key-value pairs, each with its first line and its own parse.

    A statement ends with the first line at which it is valid by itself, since TOML is read from left to right.
    """
    start, statement = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        if "\n" in statement[:-1] and not re.search(r"[\]}'\"]", line):
            continue  # only a closing mark can end a statement that goes over several lines
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if parsed:
            yield start, statement, parsed
        start, statement = number + 1, ""


def _key_of(parsed: dict[str, Any]) -> KeyPath:
    """The first key that the statement writes: {"a": {"b": 1}} is ("a", "b")."""
    path: list[str | int] = []
    value: Any = parsed
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)


def _inside_latest(path: KeyPath, tables_in: dict[KeyPath, int]) -> KeyPath:
    """[a.b] after [[a]] is about the latest of the tables in the array `a`."""
    found: KeyPath = ()
    for part in path[:-1]:
        found = (*found, part)
        if found in tables_in:
            found = (*found, tables_in[found] - 1)
    return (*found, *path[-1:])
