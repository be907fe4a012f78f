"""The schema and its versions. A database is brought up to date when it is opened for writing.

A new database gets the tables of HEAD in one go. Migrations are alembic's; alembic itself is only loaded when there is
something to migrate, as a start costs less without.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from app.queue.database import Database, DatabaseTrouble
from app.queue.tables import metadata, sequence

HEAD = "0009"
"""The newest revision in `migrations/versions`."""

UNFINISHED_COPY = "copying"
"""The version of a database that is being copied into."""

version_table = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
_MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(database: Database) -> None:
    """Creates the schema or migrates it to HEAD. Raises DatabaseTrouble for one that is newer, or cannot be written."""
    try:
        with database.writing.connect() as connection:
            found = version_of(connection)
        if found == HEAD:
            return
        _refuse_newer(database, found)
        if found is None:
            _create(database)
        else:
            migrate(database)
    except sa.exc.DBAPIError as error:
        raise DatabaseTrouble(f"{database} cannot be opened for writing: {error.orig}") from error


def require_current(database: Database) -> None:
    """For those who only read. Raises DatabaseTrouble for a database that is not of schema HEAD, or cannot be read."""
    try:
        with database.read() as connection:
            found = version_of(connection)
    except sa.exc.DBAPIError as error:
        raise DatabaseTrouble(f"{database} cannot be read: {error.orig}") from error
    _refuse_newer(database, found)
    if found != HEAD:
        raise DatabaseTrouble(f"{database} has schema {found}, not {HEAD}; `stepglass serve` brings it up to date")


def _refuse_newer(database: Database, found: str | None) -> None:
    if found == UNFINISHED_COPY:
        raise DatabaseTrouble(f"{database} is a copy that was not finished; the same `stepglass copy` goes on with it")
    if found is not None and found > HEAD:
        raise DatabaseTrouble(
            f"{database} was written by a newer Stepglass (schema {found}, this one knows {HEAD}); "
            f"use that version, or another data directory"
        )


def version_of(connection: sa.Connection) -> str | None:
    """Of the schema that is there; None without one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _create(database: Database) -> None:
    """Makes what all migrations, one after the other, would have made."""
    with database.writing.begin() as connection:
        if version_of(connection) == HEAD:
            return  # another process was first
        metadata.create_all(connection, checkfirst=False)
        version_table.create(connection)
        connection.execute(sa.insert(sequence), [{"name": "job", "value": 0}, {"name": "revision", "value": 0}])
        connection.execute(sa.insert(version_table), {"version_num": HEAD})


def migrate(database: Database, revision: str = HEAD) -> None:
    """Runs the migrations up to that one; those that the database has had are left out."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
