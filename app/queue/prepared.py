"""Statements that run for thousands of rows a second, compiled once and handed to the driver as they are.

SQLAlchemy prepares the parameters of every row in Python, which costs about as much as SQLite needs to write the
row. Here the caller gives each value in its stored form (a status as its text, JSON as encoded text), and only the
driver is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql.dml import Insert, Update

Row = Mapping[str, Any]


class Prepared:
    """One INSERT or UPDATE for many rows."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = list(columns) if columns else None
        self._by_dialect: dict[str, tuple[str, Callable[[Sequence[Row]], list[Any]]]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Runs the statement for each row; returns how many rows of the table it touched in all."""
        if not rows:
            return 0
        dialect = connection.dialect
        if dialect.name not in self._by_dialect:
            self._by_dialect[dialect.name] = self._compile(dialect)
        sql, parameters_of = self._by_dialect[dialect.name]
        return connection.exec_driver_sql(sql, parameters_of(rows)).rowcount

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Sequence[Row]], list[Any]]]:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)
        processors = compiled._bind_processors
        constants = {
            name: processors[name](value) if name in processors else value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required
        }
        if not compiled.positional:
            return str(compiled), lambda rows: [{**constants, **row} for row in rows]
        in_order = itemgetter(*compiled.positiontup)
        if not constants:
            return str(compiled), lambda rows: [in_order(row) for row in rows]
        return str(compiled), lambda rows: [in_order({**constants, **row}) for row in rows]
