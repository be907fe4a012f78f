"""The schema and its versions. A database is brought up to date when it is opened for writing.

A new database gets the tables of HEAD in one go. Migrations are alembic's; alembic itself is only loaded when there is
something to migrate, as a start costs less without.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from app.queue import postgres_document_index
from app.queue.database import Database, DatabaseTrouble
from app.queue.storage_faults import explained
from app.queue.tables import metadata, sequence

HEAD = "0016"
"""The newest revision in `migrations/versions`."""
WORKS_FROM = "0016"
"""The oldest revision whose programs may work on a database of HEAD, while newer ones do. The migrations since then
only add: tables, columns that are NULL or have a default, indexes; and an older program need not know of them. Whoever
writes one that does more, or lets programs do what others rely on, puts its own revision here: those before 0016 make
no tickets, without which Procrastinate hands nothing out."""

MARK = "works from"
"""The name in `sequence` under which a database says that of itself."""
UNFINISHED_COPY = "copying"
"""The version of a database that is being copied into."""
LOOK_FOR = 0.2
"""Seconds for which a file is looked through when it is opened for writing."""

version_table = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
_MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(database: Database) -> None:
    """Creates the schema or migrates it to HEAD; leaves a newer one as it is. Raises DatabaseTrouble for one that is
    too new, damaged, or cannot be written."""
    try:
        _refuse_damaged(database)
        with database.writing.connect() as connection:
            found, works_from = version_of(connection), _works_from(connection)
        _refuse_newer(database, found, works_from)
        if found is not None and found >= HEAD:
            _index_documents(database)
            return
        if found is None:
            _create(database)
        else:
            migrate(database)
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise DatabaseTrouble(f"{database} cannot be opened for writing: {explained(error)}") from error


def require_current(database: Database) -> None:
    """For those who only read. Raises DatabaseTrouble for a database that is older than schema HEAD or too new, or
    cannot be read."""
    try:
        with database.read() as connection:
            found, works_from = version_of(connection), _works_from(connection)
    except sa.exc.DBAPIError as error:
        raise DatabaseTrouble(f"{database} cannot be read: {explained(error)}") from error
    _refuse_newer(database, found, works_from)
    if found is None or found < HEAD:
        raise DatabaseTrouble(f"{database} has schema {found}, not {HEAD}; `stepglass serve` brings it up to date")


def _refuse_damaged(database: Database) -> None:
    """Looks through the file for as long as a start may take; whatever lies further on is found when it is used."""
    is_there = database.path is not None and database.path.is_file() and database.path.stat().st_size > 0
    if is_there and (damage := database.damage(LOOK_FOR)):
        raise DatabaseTrouble(
            f"{database} is damaged ({damage}). Nothing was changed. Restore a backup: stepglass restore FILE; what "
            f"else can be done is in docs/operations.md."
        )


def _refuse_newer(database: Database, found: str | None, works_from: str) -> None:
    if found == UNFINISHED_COPY:
        raise DatabaseTrouble(f"{database} is a copy that was not finished; the same `stepglass copy` goes on with it")
    if found is not None and found > HEAD and (not works_from or works_from > HEAD):
        too_old = f", and only those that know {works_from} may work on it" if works_from else ""
        raise DatabaseTrouble(
            f"{database} was written by a newer Stepglass (schema {found}, this one knows {HEAD}{too_old}); "
            "use that version"
            + (", or another data directory" if database.is_sqlite else " here, too; what already runs goes on")
        )


def version_of(connection: sa.Connection) -> str | None:
    """Of the schema that is there; None without one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _works_from(connection: sa.Connection) -> str:
    """What the database says of itself; empty if it does not."""
    if not sa.inspect(connection).has_table(sequence.name):
        return ""
    number = connection.execute(sa.select(sequence.c.value).where(sequence.c.name == MARK)).scalar_one_or_none()
    return "" if number is None else f"{number:04}"


def _create(database: Database) -> None:
    """Makes what all migrations, one after the other, would have made."""
    with database.writing.begin() as connection:
        if (found := version_of(connection)) is not None:
            _refuse_newer(database, found, _works_from(connection))
            return  # another process was first
        metadata.create_all(connection, checkfirst=False)
        version_table.create(connection)
        connection.execute(sa.insert(sequence), [{"name": "job", "value": 0}, {"name": "revision", "value": 0}])
        _mark(connection)
        connection.execute(sa.insert(version_table), {"version_num": HEAD})


def _index_documents(database: Database) -> None:
    """Those that were saved since by a process of an earlier version, which does not know the index of PostgreSQL."""
    if database.is_sqlite:
        return
    with database.read() as connection:
        misses_some = postgres_document_index.misses_some(connection)
    if misses_some:
        with database.writing.begin() as writing:
            postgres_document_index.learn_missing(writing)


def migrate(database: Database, revision: str = HEAD) -> None:
    """Runs the migrations up to that one; those that the database has had are left out."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with database.writing.begin() as connection:
        found = version_of(connection)
        _refuse_newer(database, found, _works_from(connection))
        if found is not None and found >= HEAD:
            return  # another process was first
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        if revision == HEAD:
            _mark(connection)


def _mark(connection: sa.Connection) -> None:
    connection.execute(sa.delete(sequence).where(sequence.c.name == MARK))
    connection.execute(sa.insert(sequence), {"name": MARK, "value": int(WORKS_FROM)})
