"""The PostgreSQL of the tests."""

from __future__ import annotations

import sqlalchemy as sa


def test_each_test_gets_an_empty_database_that_can_be_written(postgres_database: str) -> None:
    engine = sa.create_engine(postgres_database)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE job (id integer)"))
        connection.execute(sa.text("INSERT INTO job VALUES (1)"))
        assert connection.scalar(sa.text("SELECT count(*) FROM job")) == 1
    engine.dispose()
