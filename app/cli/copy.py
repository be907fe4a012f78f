"""stepglass copy: moves a queue into another database, and makes sure that it has arrived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from app.cli.options import read_database_settings, setting
from app.cli.refusals import Refusal, refusals
from app.queue import copying
from app.queue.audit import check as audit
from app.queue.database import FILE_NAME, Database
from app.queue.ownership import owning
from app.settings import Settings, SettingsError


@click.command
@setting("data", "DIR")
@setting("database", "URL")
@click.option("--to", "target", metavar="TARGET", required=True, help="postgresql://user@host/name, or a directory.")
def copy(data: str | None, database: str | None, target: str) -> None:
    """Copy the whole queue into an empty database: from SQLite to PostgreSQL, or back.

    Nothing may run or write meanwhile. A copy that is interrupted goes on when it is started again. At the end every
    table is compared row by row, and everything is counted again.
    """
    settings = read_database_settings(data, database)
    with refusals(), ExitStack() as stack:
        target_settings = _settings_of(target)
        source = stack.enter_context(_opened(settings, must_exist=True))
        into = stack.enter_context(_opened(target_settings, must_exist=False))
        _copy(source, into)
        drifts = audit(into)
    for drift in drifts:
        click.echo(drift)
    if drifts:
        raise click.exceptions.Exit(1)
    click.echo(f"{into}: everything has arrived, and everything agrees. {source} is as it was.")


def _settings_of(target: str) -> Settings:
    """Raises SettingsError."""
    name = "database" if ":" in target.partition("/")[0] else "data"
    try:
        settings = Settings.read({}, {name: target})
    except SettingsError as error:
        raise SettingsError(str(error).replace(f"--{name} ", "--to ", 1)) from None
    return settings


@contextmanager
def _opened(settings: Settings, must_exist: bool) -> Iterator[Database]:
    """The database; if it is in a data directory, nobody else has that meanwhile."""
    with ExitStack() as stack:
        if not settings.database:
            _ensure_there(settings.data, must_exist)
            stack.enter_context(owning(settings.data, "stepglass copy"))
        database = Database.named(settings.database, settings.data)
        stack.callback(database.close)
        yield database


def _ensure_there(directory: Path, must_exist: bool) -> None:
    if must_exist and not (directory / FILE_NAME).is_file():
        raise Refusal(f"There is no database in {directory.absolute()}. Name the data directory with --data.")


def _copy(source: Database, target: Database) -> None:
    for progress in copying.copy(source, target):
        if progress.rows and progress.done == progress.rows:
            click.echo(f"{progress.table}: {progress.rows:,} rows")
