"""Statements that run for thousands of rows a second, compiled once and handed to the driver as they are.

SQLAlchemy prepares the parameters of every row in Python, which costs about as much as SQLite needs to write the
row. Here the caller gives each value in its stored form (a status as its text, JSON as encoded text), and only the
driver is left. How PostgreSQL gets many rows is told in `row_arrays`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql.dml import Update

from app.queue import row_arrays
from app.queue.row_arrays import Row, constants_of

ROWS_AT_ONCE = 50
"""Rows that one INSERT on SQLite brings. Half the work per row; and the driver lets go of the interpreter's lock for
each statement, so that a busy event loop would hold up every single row."""


class PreparedInsert:
    """INSERT of many rows, each with its values in the order of `columns`, which is that of the table."""

    def __init__(self, table: Table, columns: Sequence[str] | None = None) -> None:
        every = [column.name for column in table.columns]
        self._columns = list(columns or every)
        assert self._columns == [name for name in every if name in self._columns]
        self._table = table
        self._by_dialect: dict[str, Callable[[Connection, Sequence[tuple[Any, ...]]], None]] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        dialect = connection.dialect
        if dialect.name not in self._by_dialect:
            self._by_dialect[dialect.name] = self._compile(dialect)
        self._by_dialect[dialect.name](connection, rows)

    def _compile(self, dialect: Dialect) -> Callable[[Connection, Sequence[tuple[Any, ...]]], None]:
        if dialect.name == "postgresql":
            return row_arrays.insert_of(self._table, self._columns, dialect)
        one = str(insert(self._table).compile(dialect=dialect, column_keys=self._columns))
        of_one_row = ", ".join("?" * len(self._columns))
        many = one + f", ({of_one_row})" * (ROWS_AT_ONCE - 1)
        return lambda connection, rows: _insert_together(connection, one, many, rows)


def _insert_together(connection: Connection, one: str, many: str, rows: Sequence[tuple[Any, ...]]) -> None:
    together = len(rows) - len(rows) % ROWS_AT_ONCE
    for start in range(0, together, ROWS_AT_ONCE):
        connection.exec_driver_sql(many, tuple(chain.from_iterable(rows[start : start + ROWS_AT_ONCE])))
    if together < len(rows):
        connection.exec_driver_sql(one, list(rows[together:]))


class PreparedUpdate:
    """One UPDATE for many rows, each of which finds another row of the table, or none."""

    def __init__(self, statement: Update) -> None:
        self._statement = statement
        self._by_dialect: dict[str, Callable[[Connection, Sequence[Row]], int]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Runs the statement for each row; returns how many rows of the table it touched in all."""
        if not rows:
            return 0
        dialect = connection.dialect
        if dialect.name not in self._by_dialect:
            self._by_dialect[dialect.name] = self._compile(dialect)
        return self._by_dialect[dialect.name](connection, rows)

    def _compile(self, dialect: Dialect) -> Callable[[Connection, Sequence[Row]], int]:
        if dialect.name == "postgresql":
            return row_arrays.update_of(self._statement, dialect)
        compiled: Any = self._statement.compile(dialect=dialect)
        sql, constants, in_order = str(compiled), constants_of(compiled), itemgetter(*compiled.positiontup)

        def execute(connection: Connection, rows: Sequence[Row]) -> int:
            values = [in_order({**constants, **row} if constants else row) for row in rows]
            return connection.exec_driver_sql(sql, values).rowcount

        return execute
