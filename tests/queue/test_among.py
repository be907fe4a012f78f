"""Values that are given to a statement as a list."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.queue.among import among
from app.queue.tables import sequence
from tests.queue.conftest import Queue

NAMES = ["", "NULL", '"', "\\", "{a,b}", "a,b", "é\n\t", "'", "%s ? :x"]
_found = sa.select(sequence.c.name).where(among(sequence.c.name, "names"))
_not_found = sa.select(sequence.c.name).where(~among(sequence.c.name, "names"), ~among(sequence.c.value, "values"))


@pytest.mark.parametrize("names", [NAMES, NAMES[1:3], ["nothing like it"], []])
async def test_whatever_is_among_them_is_found(queue: Queue, names: list[str]) -> None:
    with queue.database.writing.begin() as connection:
        connection.execute(sa.insert(sequence), [{"name": name, "value": 10 + n} for n, name in enumerate(NAMES)])
        found = connection.execute(_found, {"names": names}).scalars().all()
        values = [2**40, *(10 + n for n, name in enumerate(NAMES) if n % 2)]
        others = connection.execute(_not_found, {"names": names, "values": values}).scalars().all()
    assert sorted(found) == sorted(set(names) & set(NAMES))
    assert {name for name in others if name in NAMES} == {name for name in NAMES[::2] if name not in names}
