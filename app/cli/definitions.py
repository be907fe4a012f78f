"""stepglass definitions check: whether definition files can be used, before anything is started."""

from __future__ import annotations

from pathlib import Path

import click

from app import steps
from app.cli.terminal_text import plain
from app.work.definitions import read_entry
from app.work.registry import StepTypes


@click.group
def definitions() -> None:
    """Commands for definition files."""


@definitions.command
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check definition files; each problem is told as file:line: key: message. Exit status 2 if there is any."""
    step_types = StepTypes.in_package(steps)
    problems = 0
    for entry in (read_entry(path, step_types) for path in files):
        problems += len(entry.problems)
        for problem in entry.problems:
            click.echo(plain(str(problem)))
        if entry.definition:
            number = len(entry.definition.steps)
            click.echo(f"{plain(str(entry.path))}: valid, {number} step{'' if number == 1 else 's'}")
    if problems:
        raise click.exceptions.Exit(2)
