"""stepglass backup and restore: the database of a data directory, to a file and back."""

from __future__ import annotations

from pathlib import Path

import click

from app.cli.options import read_settings, setting
from app.cli.refusals import Refusal, refusals
from app.queue.database import FILE_NAME
from app.queue.ownership import owning
from app.settings import Settings

_FILE = click.Path(path_type=Path)


@click.command
@click.argument("file", type=_FILE)
@click.option("--overwrite", is_flag=True, help="Take the place of a file that exists.")
@setting("data", "DIR")
def backup(file: Path, overwrite: bool, data: str | None) -> None:
    """Copy the database, as it is at one moment, to FILE; also while a server runs.

    FILE is there when it is whole and everything in it agrees, and not before.
    """
    from app.queue.backup import back_up

    settings = _of_sqlite(data)
    with refusals():
        made = back_up(settings.data / FILE_NAME, file, overwrite)
    click.echo(f"{made.file}: revision {made.revision:,}, {made.size:,} bytes, everything agrees")


@click.command
@click.argument("file", type=_FILE)
@setting("data", "DIR")
def restore(file: Path, data: str | None) -> None:
    """Put the backup FILE in the place of the database, which no server may own. The one before is kept beside it."""
    from app.queue.backup import restore as put_back

    settings = _of_sqlite(data)
    with refusals(), owning(settings.data, "stepglass restore"):
        made, kept = put_back(file, settings.data / FILE_NAME)
    click.echo(f"{settings.data.absolute() / FILE_NAME}: revision {made.revision:,}, restored from {made.file}")
    if kept:
        click.echo(f"The one before is kept as {kept}; delete it when it is not needed any more.")


def _of_sqlite(data: str | None) -> Settings:
    settings = read_settings(data=data)
    if settings.database and data is None:
        raise Refusal(
            "The queue is in PostgreSQL, which has backups of its own (pg_dump); --data DIR names a directory."
        )
    return settings
