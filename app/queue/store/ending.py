"""When something ended: now; but, where the clock was set back while it ran, not before it began."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Float, Table, bindparam, case


def end_of(table: Table, now: str = "now") -> ColumnElement[Any]:
    """The end of a row of the table that ends at the time of that parameter, or not at all if that is None."""
    at = bindparam(now, type_=Float)
    return case((table.c.started_at > at, table.c.started_at), else_=at)
