"""The engine of a PostgreSQL database: who finds out that there is work, and for whom.

Embedded: every process that works hears what was committed, and claims. Procrastinate: whatever can be claimed has a
ticket in a queue of Procrastinate's, and who draws it claims. The claim is the same, and so is all that is stored.
Procrastinate's tables are in a schema of their own, so that another application's stay apart from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.queue.database import Database, DatabaseTrouble
from app.queue.engine_fact import ENGINE, Engine
from app.queue.storage_faults import cause_of
from app.queue.tables import sequence
from app.queue.tickets import make_missing

_ENGINES: tuple[Engine, Engine] = ("embedded", "procrastinate")
_SCHEMA = "stepglass_engine"
_LAST_RESCUE = """
CREATE TABLE stepglass_engine.last_rescue (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), at timestamptz NOT NULL, tickets integer NOT NULL
)
"""
_set_up_for = sa.text("SELECT migration FROM stepglass_engine.set_up_for")
_fact = sa.select(sequence.c.value).where(sequence.c.name == ENGINE)
_at_work = sa.text(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'stepglass listens%' ORDER BY 1"
)


class EngineRefused(DatabaseTrouble):
    """The database cannot be worked by that engine now; the message says why, and what to do."""


def settle_engine(database: Database, wanted: str) -> Engine:
    """By which engine the database is worked from now on. `wanted`: the one that was asked for; "" takes what is there,
    and Procrastinate for a database that nobody works on. Makes the switch, with its tickets, in one transaction.
    Raises EngineRefused or DatabaseTrouble."""
    if database.is_sqlite:
        if wanted == "procrastinate":
            raise EngineRefused(
                f"{database} is an SQLite database, which one process works on: it has no use for --engine "
                f"procrastinate. Leave that out, or name a PostgreSQL database with --database."
            )
        return "embedded"
    try:
        with database.writing.begin() as connection:
            return _settle(database, connection, wanted)
    except sa.exc.DBAPIError as error:
        raise DatabaseTrouble(
            f"{database} cannot be set up for its engine: {cause_of(error)}. Procrastinate needs the right to create "
            f"its schema, stepglass_engine; --engine embedded (STEPGLASS_ENGINE) does without."
        ) from error


def ensure_settled(database: Database, engine: Engine) -> None:
    """Looks again, now that others see this process at work. Raises EngineRefused if one that began at the same moment
    has switched to another engine."""
    if database.is_sqlite:
        return
    with database.read() as connection:
        found = _ENGINES[connection.execute(_fact).scalar_one()]
    if found != engine:
        raise EngineRefused(
            f"{database} was switched to the engine {found} by a process that began just now; start again"
        )


def _settle(database: Database, connection: Connection, wanted: str) -> Engine:
    others = connection.execute(_at_work).scalars().all()
    stored = connection.execute(_fact).scalar_one_or_none()
    found = _ENGINES[stored] if stored is not None else "embedded" if others else None
    chosen = _named(wanted) or found or "procrastinate"
    if found not in (None, chosen) and others:
        raise EngineRefused(
            f"{database} is worked by the engine {found}, of: {'; '.join(map(_process, others))}. Stop them all to "
            f"switch to {chosen}, or start with --engine {found} (STEPGLASS_ENGINE)."
        )
    if chosen == "procrastinate":
        _set_up(database, connection)
    if stored is None or chosen != found:
        _switch(connection, chosen)
    if chosen == "procrastinate":
        make_missing(connection)
    return chosen


def _named(wanted: str) -> Engine | None:
    return next((engine for engine in _ENGINES if engine == wanted), None)


def _process(application: str) -> str:
    """As it is called by the connection on which it listens; earlier versions give no name."""
    return application.removeprefix("stepglass listens").strip(", ") or "an earlier version"


def _switch(connection: Connection, chosen: Engine) -> None:
    connection.execute(sa.delete(sequence).where(sequence.c.name == ENGINE))
    connection.execute(sa.insert(sequence), {"name": ENGINE, "value": _ENGINES.index(chosen)})
    for name in ("procrastinate_jobs", "last_rescue"):
        if _is_there(connection, name):
            connection.execute(sa.delete(sa.table(name, schema=_SCHEMA)))


def _set_up(database: Database, connection: Connection) -> None:
    """Makes Procrastinate's tables, or brings them up to date with its own migrations."""
    from procrastinate.schema import SchemaManager

    migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    newest = migrations[-1].stem
    is_set_up = _is_there(connection, "set_up_for")
    if not is_set_up:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
    if not _is_there(connection, "last_rescue"):
        connection.exec_driver_sql(_LAST_RESCUE)
    if not is_set_up:
        connection.exec_driver_sql("CREATE TABLE stepglass_engine.set_up_for (migration text NOT NULL)")
        connection.execute(sa.text("INSERT INTO stepglass_engine.set_up_for VALUES (:newest)"), {"newest": newest})
        _run(connection, SchemaManager.get_schema())
        return
    known = connection.execute(_set_up_for).scalar_one()
    if known == newest:
        return
    if known not in [migration.stem for migration in migrations]:
        raise EngineRefused(
            f"{database} was set up by a newer Procrastinate (its migration {known}; this one ends with {newest}). "
            f"Install that version here too: pip install --upgrade procrastinate."
        )
    for migration in migrations:
        if migration.stem > known:
            _run(connection, migration.read_text(encoding="utf-8"))
    connection.execute(sa.text("UPDATE stepglass_engine.set_up_for SET migration = :newest"), {"newest": newest})


def _is_there(connection: Connection, table: str) -> bool:
    found = connection.exec_driver_sql("SELECT to_regclass(%s)", (f"{_SCHEMA}.{table}",))
    return found.scalar_one() is not None


def _run(connection: Connection, statements: str) -> None:
    """Several statements at once, none with parameters, which name no schema."""
    usual = connection.exec_driver_sql("SELECT current_setting('search_path')").scalar_one()
    connection.exec_driver_sql(f"SET LOCAL search_path = {_SCHEMA}")
    driver: Any = connection.connection.driver_connection
    driver.execute(statements)
    connection.execute(sa.text("SELECT set_config('search_path', :usual, true)"), {"usual": usual})
