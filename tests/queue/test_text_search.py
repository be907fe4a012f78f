"""Text in a column is found alike on both databases, whatever language they are set up for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.queue.database import Database
from app.queue.text_search import contains


@pytest.mark.parametrize(
    ("text", "wanted", "is_found"),
    [
        ("Downloaded PAGE", "ed page", True),
        ("100% _done_/", "% _D", True),
        ("100 percent", "%", False),
        ("abc", "a_c", False),
        ("a/b", "/", True),
        ("Caf\u00e9", "CAF\u00e9", True),
        ("Caf\u00e9", "caf\u00c9", False),
        ("\u6771\u4eac\u90fd", "\u4eac", True),
    ],
)
def test_what_contains_a_text_whatever_the_case_of_ascii(
    database: Database, text: str, wanted: str, is_found: bool
) -> None:
    column: sa.ColumnElement[str] = sa.literal(text)
    if not database.is_sqlite:
        column = column.collate("und-x-icu")  # knows the letters of all languages
    with database.read() as connection:
        assert bool(connection.execute(sa.select(contains(connection, column, wanted))).scalar_one()) is is_found
