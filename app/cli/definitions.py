"""stepglass definitions check: whether definition files can be used, before anything is started."""

from __future__ import annotations

from pathlib import Path

import click

from app import steps
from app.cli.options import read_settings, setting
from app.cli.terminal_text import plain
from app.work.definitions import read_entry
from app.work.own_step_types import load_step_types


@click.group
def definitions() -> None:
    """Commands for definition files."""


@definitions.command
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@setting("steps", "PATH")
def check(files: tuple[Path, ...], **options: str | None) -> None:
    """Check definition files; each problem is told as file:line: key: message. Exit status 2 if there is any.

    Step types of your own that cannot be loaded are told first, as file:line: message. What keeps a valid definition
    from running on this machine, such as a key that is not set, is told, and is no problem of the file.
    """
    loaded = load_step_types(steps, read_settings(**options).steps)
    for trouble in loaded.troubles:
        click.echo(plain(str(trouble)))
    problems = len(loaded.troubles)
    for entry in (read_entry(path, loaded.types) for path in files):
        problems += len(entry.problems)
        for problem in entry.problems:
            click.echo(plain(str(problem)))
        if entry.definition:
            number = len(entry.definition.steps)
            click.echo(f"{plain(str(entry.path))}: valid, {number} step{'' if number == 1 else 's'}")
            for obstacle in entry.definition.obstacles():
                click.echo(plain(f"{entry.path}: cannot run here: {obstacle}"))
    if problems:
        raise click.exceptions.Exit(2)
