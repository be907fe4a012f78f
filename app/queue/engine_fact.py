"""Which engine works a database is a fact of the database: whoever writes makes tickets, or does not, by it."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ColumnElement, exists

from app.queue.tables import sequence

Engine = Literal["embedded", "procrastinate"]
ENGINE = "engine"
"""The name of the number that says so: 1 for Procrastinate. It belongs to one database, and no copy takes it along."""

is_procrastinate: ColumnElement[bool] = exists().where(sequence.c.name == ENGINE, sequence.c.value == 1)
