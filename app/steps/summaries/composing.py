"""Composing without a model: from the facts to Markdown, and to the numbers that programs read.

A model, where there is one, is told what is composed here, and writes before it (`prose`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from app.steps.markdown import escaped
from app.steps.summaries.code_base import CodeBase


@dataclass(frozen=True, slots=True)
class Composed:
    title: str
    sections: list[tuple[str, str]]
    """Heading and Markdown; the first has no heading."""
    facts: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    """A sentence for each part that could not be written, for lack of facts."""

    def body(self) -> str:
        parts = [f"# {escaped(self.title)}"]
        missing = "\n".join(f"- {escaped(sentence)}" for sentence in self.missing)
        for heading, text in [*self.sections, ("Missing", missing)]:
            if text:
                parts += [f"## {heading}", text] if heading else [text]
        return "\n\n".join(parts)


Composer = Callable[[CodeBase], Composed]


def counted(number: int, what: str) -> str:
    """ "1 file", "2 files"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(names: Iterable[str], most: int = 3) -> str:
    """ "a, b and c", with how many more there are."""
    every = list(names)
    shown = every[:most] + ([f"{len(every) - most:,} more"] if len(every) > most else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def sized(size: dict[str, Any]) -> str:
    return f"{counted(size['files'], 'file')}, {counted(size['code'], 'line')} of code"
