"""What is said on the channel of the changes is heard, all of it, whatever else is said there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from psycopg import AsyncConnection

from app.queue import announcing
from app.queue.announcing import CHANNEL, Listener, understood
from app.queue.changes import MuchChanged
from app.queue.database import Database
from app.queue.writer import Commit

SAY = "SELECT pg_notify(%s, %s)"
NOTHING = ("", "garbage", "[]", '["name"]', '["name",1]', '["name","1",[]]', '["name",1,[7]]', "{}")


@pytest.mark.parametrize("text", NOTHING)
def test_what_none_of_us_says_is_not_understood(text: str) -> None:
    assert understood(text) is None


@pytest.mark.parametrize("change", ["[]", "[7]", "[[]]", '["Newer",1]', '["WorkAdded","x"]'])
def test_what_a_newer_version_says_may_be_anything(change: str) -> None:
    assert understood(f'["name",3,[{change}]]') == ("name", Commit(3, [MuchChanged()], "name"))


class Hearing:
    """Somebody who listens and knows no revision, so that each look at the database is heard as its revision, which is
    0; and somebody else who speaks."""

    def __init__(self, database: Database, other: AsyncConnection[object]) -> None:
        self.heard = asyncio.Queue[int]()
        self.fails_at = 0
        self.listener = Listener(database, "listener", self._hear, lambda: -1)
        self._other = other

    def _hear(self, commit: Commit) -> None:
        self.heard.put_nowait(commit.revision)
        if commit.revision == self.fails_at > 0:
            raise RuntimeError("whoever is told fails")

    async def say(self, *said: str) -> None:
        """All at once."""
        async with self._other.transaction():
            for each in said:
                await self._other.execute(SAY, (CHANNEL, each))


@pytest.fixture
async def hearing(postgres_as_new: Callable[[], Database], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hearing]:
    monkeypatch.setattr(announcing, "AGAIN_AFTER", 0.0)
    monkeypatch.setattr(announcing, "LOOK_EVERY", 3_600.0)
    database = postgres_as_new()
    async with await AsyncConnection.connect(database.libpq_url, autocommit=True) as other:
        hearing = Hearing(database, other)
        async with hearing.listener.listening():
            assert await hearing.heard.get() == 0
            yield hearing


async def test_all_that_arrives_together_is_heard(hearing: Hearing) -> None:
    wanted = list(range(7_000, 7_020))
    await hearing.say(*(f'["other",{revision},[]]' for revision in wanted))
    assert [await hearing.heard.get() for _ in wanted] == wanted


async def test_what_is_not_understood_and_who_fails_to_take_it_end_no_listening(hearing: Hearing) -> None:
    """After either the database is asked what it is at."""
    await hearing.say("garbage", '["other",7000,[]]')
    assert [await hearing.heard.get() for _ in range(2)] == [7_000, 0]
    hearing.fails_at = 7_001
    await hearing.say('["other",7001,[]]')
    assert [await hearing.heard.get() for _ in range(2)] == [7_001, 0]
    await hearing.say('["other",7002,[]]')
    assert await hearing.heard.get() == 7_002
