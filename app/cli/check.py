"""stepglass check: counts everything again, and tells what does not agree."""

from __future__ import annotations

import click

from app.cli.options import read_database_settings, setting
from app.cli.refusals import Refusal, refusals
from app.queue.audit import check as audit
from app.queue.database import Database
from app.queue.schema import require_current


@click.command
@setting("data", "DIR")
@setting("database", "URL")
def check(data: str | None, database: str | None) -> None:
    """Recount every counter and verify every rule of the database. Exit status 1 if something does not agree.

    It only reads, and may be used while a server runs.
    """
    settings = read_database_settings(data, database)
    checked = Database.named(settings.database, settings.data)
    if checked.path and not checked.path.is_file():
        raise Refusal(f"There is no database in {settings.data.absolute()}. Name the data directory with --data.")
    with refusals():
        require_current(checked)
        drifts = audit(checked)
    checked.close()
    for drift in drifts:
        click.echo(drift)
    if drifts:
        raise click.exceptions.Exit(1)
    click.echo(f"{checked}: everything agrees")
