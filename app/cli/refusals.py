"""What goes wrong before anything has begun: one paragraph on stderr and exit status 2, never a traceback."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from app.cli.terminal_text import plain
from app.queue.database import DatabaseTrouble
from app.queue.ownership import DirectoryTrouble
from app.queue.writer import WriteFailed
from app.settings import SettingsError


class Refusal(click.ClickException):
    """A command that cannot be carried out as it was given."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        lines = map(plain, self.message.split("\n"))
        paragraphs = [textwrap.fill(line, 110, break_long_words=False) for line in lines]
        click.echo("stepglass: " + "\n".join(paragraphs), err=True, file=file)


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the troubles that a person can put right into refusals."""
    try:
        yield
    except (SettingsError, DirectoryTrouble, DatabaseTrouble) as trouble:
        raise Refusal(str(trouble)) from trouble
    except WriteFailed as trouble:
        raise Refusal(f"{trouble}. Everything that was acknowledged is kept.") from trouble
