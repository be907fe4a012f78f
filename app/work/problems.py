"""What is wrong with a definition or with the parameters of a run, told so that a person can put it right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it stands, the value at fault and the way out."""

    file: Path | None
    line: int | None
    """Counted from 1; None when it is not about one line."""
    key: str
    """In TOML's notation, such as `step.import.depends`; "" when it is about the whole file."""
    message: str

    def __str__(self) -> str:
        file = printable(str(self.file)) if self.file else ""
        place = f"{file}:{self.line}" if file and self.line else file
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ProblemsError(ValueError):
    """Carries every problem that was found, not only the first. Its text has a line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class DefinitionError(ProblemsError):
    """A definition file that cannot be used."""


class ParameterError(ProblemsError):
    """Parameters that a definition does not accept. The problems' keys are the parameters' names."""


def printable(text: str) -> str:
    """The text itself, or its `repr` when it has characters that would break or disguise a line."""
    return text if text.isprintable() else repr(text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The way out of an unknown word: the near miss if there is one, otherwise everything that is known."""
    known = sorted(known)
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are: {', '.join(map(printable, known))}" if known else "none is known here"
