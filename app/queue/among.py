"""`column IN (those given)`, for a few values and statements that run all the time.

SQLAlchemy writes such a statement anew for each number of values. To PostgreSQL that is another statement each time,
which it has to prepare and plan anew: there the values are one array.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.queue.row_arrays import array


class _Array(sa.types.TypeDecorator[Any]):
    """Values as PostgreSQL has them in an array, as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        return array(value)


class _Among(FunctionElement[Any]):
    type = sa.types.NullType()  # as a Boolean, it would be compared with 1 on SQLite, and no index be used
    inherit_cache = True


def among(column: sa.ColumnElement[Any], parameter: str) -> sa.ColumnElement[bool]:
    """Whether the column, of whole numbers or texts, has one of the values of that parameter, a list."""
    return _Among(column, sa.bindparam(parameter, type_=column.type))


@compiles(_Among)
def _in(element: Any, compiler: Any, **options: Any) -> str:
    column, given = element.clauses
    values = sa.bindparam(given.key, expanding=True, type_=column.type, required=True)
    return str(compiler.process(column.in_(values), **options))


@compiles(_Among, "postgresql")
def _any(element: Any, compiler: Any, **options: Any) -> str:
    column, given = element.clauses
    stored = sa.BigInteger() if column.type.python_type is int else sa.Text()
    values = sa.bindparam(given.key, type_=_Array(), required=True)
    return str(compiler.process(column == sa.any_(sa.cast(values, postgresql.ARRAY(stored))), **options))
