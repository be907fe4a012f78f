"""Many rows in one statement on PostgreSQL: an array for each column, unnested there.

A statement of its own for every row costs PostgreSQL several times as much as the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Update

Row = Mapping[str, Any]


def insert_of(table: sa.Table, columns: Sequence[str], dialect: Dialect) -> Callable[[Connection, Sequence[Any]], None]:
    """What inserts rows, each of which has its values in the order of `columns`."""
    given = _unnested({name: table.c[name].type for name in columns})
    statement = sa.insert(table).from_select(columns, sa.select(given), include_defaults=False)
    sql = str(statement.compile(dialect=dialect))

    def execute(connection: Connection, rows: Sequence[Any]) -> None:
        arrays = map(array, zip(*rows, strict=True))
        connection.exec_driver_sql(sql, dict(zip(columns, arrays, strict=True)))

    return execute


def update_of(statement: Update, dialect: Dialect) -> Callable[[Connection, Sequence[Row]], int]:
    """What carries out the UPDATE for each row of parameters, and counts what it touched. No two may find the same."""
    compiled: Any = statement.compile(dialect=dialect)
    one, constants = str(compiled), constants_of(compiled)
    given = _unnested({name: each.type for name, each in compiled.binds.items() if each.required})

    def from_array(element: Any, **_: Any) -> Any:
        is_given = isinstance(element, sa.BindParameter) and element.key in given.c
        return given.c[element.key] if is_given else None

    replaced: Any = visitors.replacement_traverse(statement, {}, from_array)
    of_many = replaced.compile(dialect=dialect)
    many, constants_of_many = str(of_many), constants_of(of_many)
    names = [column.name for column in given.c]

    def execute(connection: Connection, rows: Sequence[Row]) -> int:
        if len(rows) == 1:
            return connection.exec_driver_sql(one, {**constants, **rows[0]}).rowcount
        arrays = {name: array(row[name] for row in rows) for name in names}
        return connection.exec_driver_sql(many, {**constants_of_many, **arrays}).rowcount

    return execute


def constants_of(compiled: Any) -> dict[str, Any]:
    """The parameters that a compiled statement has itself, as the driver wants them."""
    processors = compiled._bind_processors
    return {
        name: processors[name](value) if name in processors else value
        for name, value in compiled.params.items()
        if not compiled.binds[name].required
    }


def array(values: Iterable[Any]) -> str:
    """A PostgreSQL array as text. The driver would need several times as long for it."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _unnested(types: Mapping[str, Any]) -> Any:
    """Rows of these columns, out of parameters of the same names."""
    stored = {name: sa.Text() if isinstance(each, sa.String) else each for name, each in types.items()}
    arrays = (
        sa.cast(sa.bindparam(name, type_=sa.Text, required=True), postgresql.ARRAY(each))
        for name, each in stored.items()
    )
    columns = (sa.column(name, each) for name, each in stored.items())
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived("given")
