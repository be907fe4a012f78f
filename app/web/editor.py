"""What the web room gets from outside to edit definitions with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class NotEditable(Exception):
    """A definition cannot be edited or deleted here; the message says why, and what to do."""


class TextChanged(Exception):
    """The file is not what was opened. `now`: what it says; None if it is gone. `base` names that text."""

    def __init__(self, message: str, now: str | None, base: str) -> None:
        super().__init__(message)
        self.now = now
        self.base = base


class Fault(Protocol):
    """One thing that is wrong with a text."""

    @property
    def line(self) -> int | None: ...
    @property
    def key(self) -> str: ...
    @property
    def message(self) -> str: ...


class OpenedText(Protocol):
    """A text to be edited. `base` names what a save replaces; empty when it makes a new file."""

    @property
    def text(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def copied_from(self) -> Path | None: ...


class CheckedText(Protocol):
    """A text that was looked at. `digest` names what it says."""

    @property
    def id(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def problems(self) -> Sequence[Fault]: ...
    @property
    def steps(self) -> int: ...
    @property
    def digest(self) -> str: ...


class Editor(Protocol):
    """Edits definitions as text. Its calls wait for the disk: use a thread."""

    @property
    def folder(self) -> Path:
        """Where new definitions are saved."""

    def open(self, id: str) -> OpenedText | None:
        """The text of a definition; None if there is none of that id. Raises NotEditable."""

    def check(self, text: str, id: str | None = None) -> CheckedText:
        """Looks at a text as a new definition, or with `id` as that one."""

    def ensure_unchanged(self, checked: CheckedText, base: str) -> None:
        """Raises TextChanged or NotEditable where a save would."""

    def save(self, checked: CheckedText, text: str, base: str) -> None:
        """Writes a text that has no problems. Raises TextChanged, NotEditable or OSError; then the file is as it
        was."""

    def delete(self, id: str, base: str) -> None:
        """Removes the file of a definition. Raises TextChanged, NotEditable or OSError."""
