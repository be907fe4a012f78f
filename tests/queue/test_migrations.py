"""A database of an earlier version is brought up to date with everything that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.queue import audit
from app.queue.database import Database
from app.queue.records import LevelCounts
from app.queue.schema import HEAD, WORKS_FROM, bring_up_to_date, migrate
from app.queue.snapshot import Snapshot
from app.queue.tables import metadata

pytestmark = pytest.mark.postgresql

RUN = (
    "INSERT INTO manager_job (id, definition, name, status, reason, tags, parameters, max_child_failures,"
    " failure_action, definition_text, created_at, started_at) VALUES (1, 'd', 'n', 'running', '', '[]', '{}', -1,"
    " 'stop_all', '', 0, 0)",
    "UPDATE sequence SET value = 3 WHERE name = 'job'",
)
STEP = (
    "INSERT INTO step_job (id, manager_id, position, name, type, description, depends, on_error, always_run, settings,"
    " status, reason, ready, plan_attempt, planned, log_count, document_count, created_at) VALUES (:id, 1, :id, :name,"
    " 't', '', '[]', 'fail', false, '{}', 'running', '', false, 1, false, :lines, 0, 0)"
)
COUNTER = "INSERT INTO step_counter (step_id, status, number) VALUES (:id, :status, 0)"
ENTRY = "INSERT INTO log_entry (step_id, line, at, level, message) VALUES (2, :line, 0, :level, 'said')"


@pytest.fixture
def old_database(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Of the first version: a run of two steps, one of which has spoken."""
    if backend == "sqlite":
        made = Database.in_directory(tmp_path)
    else:
        made = Database(request.getfixturevalue("postgres_database"))
    request.addfinalizer(made.close)
    migrate(made, "0001")
    with made.writing.begin() as connection:
        for statement in RUN:
            connection.execute(sa.text(statement))
        for step_id, lines in ((2, 6), (3, 0)):
            connection.execute(sa.text(STEP), {"id": step_id, "name": f"step {step_id}", "lines": lines})
            for status in ("pending", "running", "completed", "failed", "cancelled"):
                connection.execute(sa.text(COUNTER), {"id": step_id, "status": status})
        for line, level in enumerate(["info", "info", "info", "warn", "error", "error"], start=1):
            connection.execute(sa.text(ENTRY), {"line": line, "level": level})
    return made


def test_the_lines_of_an_older_database_are_counted_by_level(old_database: Database) -> None:
    bring_up_to_date(old_database)
    with Snapshot.of(old_database) as snapshot:
        assert snapshot.logs.levels([2, 3]) == {2: LevelCounts(0, 3, 1, 2), 3: LevelCounts()}
    assert [drift for drift in audit.check(old_database) if "line" in drift] == []


def test_bringing_up_to_date_twice_changes_nothing_more(old_database: Database) -> None:
    bring_up_to_date(old_database)
    bring_up_to_date(old_database)
    with old_database.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one() == HEAD


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_a_new_database_is_what_the_migrations_make(database: Database) -> None:
    made_at_once = described(database)
    with database.writing.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
    migrate(database)
    assert described(database) == made_at_once


def test_migrations_that_older_programs_live_with_only_add(tmp_path: Path) -> None:
    """Otherwise WORKS_FROM has to say so."""
    database = Database.in_directory(tmp_path)
    migrate(database, WORKS_FROM)
    before = shapes(database)
    migrate(database)
    after = shapes(database)
    database.close()
    for table, columns in before.items():
        assert {name: after[table][name] for name in columns} == columns
        added = after[table].keys() - columns.keys()
        assert [
            name for name in added if "NOT NULL" in after[table][name] and "DEFAULT" not in after[table][name]
        ] == []


def shapes(database: Database) -> dict[str, dict[str, str]]:
    """By table: each column, with whatever an INSERT has to know of it."""
    with database.read() as connection:
        inspector = sa.inspect(connection)
        return {
            name: {
                column["name"]: f"{column['type']}"
                f"{'' if column['nullable'] else ' NOT NULL'}{' DEFAULT' if column['default'] is not None else ''}"
                for column in inspector.get_columns(name)
            }
            for name in inspector.get_table_names()
        }


def described(database: Database) -> dict[str, Any]:
    """Everything that the database says of its tables, whatever their order."""
    with database.writing.connect() as connection:
        inspector = sa.inspect(connection)
        tables: dict[str, Any] = {
            name: {
                "columns": {str({**column, "type": str(column["type"])}) for column in inspector.get_columns(name)},
                "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
                "foreign keys": _as_set(inspector.get_foreign_keys(name)),
                "unique": {tuple(each["column_names"]) for each in inspector.get_unique_constraints(name)},
                "checks": {"".join(each["sqltext"].split()) for each in inspector.get_check_constraints(name)},
                "rows": set(connection.execute(sa.text(f"SELECT * FROM {name}")).all()),  # noqa: S608  our own names
            }
            for name in inspector.get_table_names()
        }
        indexes = {
            "sqlite": "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL",
            "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        }[connection.dialect.name]
        found = connection.execute(sa.text(indexes))
        return {**tables, "indexes": {name: "".join(made.replace('"', "").split()).lower() for name, made in found}}


def _as_set(keys: Sequence[Any]) -> set[str]:
    return {str({**key, "name": None}) for key in keys}
