"""What a definition that was saved through the page may not do, unless a setting allows it.

Whoever may write files on this machine may run programs on it; whoever may use the page may not, for that alone. So a
text that came through the page is refused what reaches beyond: step types that do whatever their settings say, hosts
that are not public, secrets of the server's environment.

A text is known by a digest of what it says, recorded in the database before the file is written. It is known again
after a restart, under another file name, and with other comments or line ends; a definition that somebody has changed
by hand since says something else, and is theirs.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from app.work.definition_checks import Fault
from app.work.definition_files import DefinitionFile
from app.work.registry import StepTypes

WAY_OUT = "write it into the file by hand, or start the server with --edit-unsafe-steps"

_KEPT = re.compile(r"allow_hosts|secrets|(\w+_)?(api_key|variable|token|password|env)", re.ASCII)
"""Settings that name hosts which are not public, or variables of the server's environment."""


class PageRules:
    """Which texts came through the page, and what they may not do."""

    def __init__(self, step_types: StepTypes, digests: frozenset[str] = frozenset(), allow_all: bool = False) -> None:
        self._step_types = step_types
        self._digests = set(digests)
        self._allow_all = allow_all

    def wrote(self, text: str) -> bool:
        """Whether the page has written what this valid text says."""
        return _digest_of_text(text) in self._digests

    def add(self, digest: str) -> None:
        """The page is about to write what has that digest."""
        self._digests.add(digest)

    def of_file(self, file: DefinitionFile) -> list[Fault]:
        """What a file may not do, if the page has written it."""
        return self.of_page_text(file) if digest_of(file.table) in self._digests else []

    def of_page_text(self, file: DefinitionFile) -> list[Fault]:
        """What a file may not do, as the page is writing it."""
        return [] if self._allow_all else list(_faults(file.table, self._step_types))


def digest_of(table: dict[str, Any]) -> str:
    """Of what a definition says, in its order."""
    return hashlib.sha256(json.dumps(table, default=str, ensure_ascii=True).encode()).hexdigest()


@lru_cache(maxsize=1000)
def _digest_of_text(text: str) -> str:
    return digest_of(tomllib.loads(text))


def _faults(table: dict[str, Any], step_types: StepTypes) -> Iterator[Fault]:
    steps = table.get("step")
    for name, step in steps.items() if isinstance(steps, dict) else ():
        if not isinstance(step, dict):
            continue
        type_name = step.get("type")
        step_type = step_types.get(type_name) if isinstance(type_name, str) else None
        if step_type and not step_type.page_may_use:
            yield ("step", name, "type"), f"{type_name!r} is not for text that came through the page; {WAY_OUT}"
        for key, pattern in step_type.page_patterns.items() if step_type else ():
            if key in step and not re.fullmatch(pattern, str(step[key]), re.DOTALL):
                message = f"must look like {pattern} in text that came through the page; {WAY_OUT}"
                yield ("step", name, key), message
        for key, value in step.items():
            if _KEPT.fullmatch(key) and value:
                message = (
                    "hosts that are not public" if key == "allow_hosts" else "variables of the server's environment"
                )
                yield ("step", name, key), f"text that came through the page may name no {message}; {WAY_OUT}"
