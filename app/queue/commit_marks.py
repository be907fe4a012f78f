"""A mark that every transaction of a writer leaves behind, so that after a COMMIT which failed it can be told whether
it was carried out; and the revision that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import randbits, token_hex
from typing import Any

from sqlalchemy.engine import Connection, CursorResult

from app.queue.database import Database

_OWN = "commit"
_LEAVE = "INSERT INTO sequence (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_ADVANCE = "UPDATE sequence SET value = value + 1 WHERE name = 'revision' RETURNING value"
_ADVANCE_AND_LEAVE = f"WITH mark AS ({_LEAVE}) {_ADVANCE}"
_SAY = "SELECT value, pg_notify(?, ?::text || value || ?::text) FROM advanced"
_ADVANCE_AND_LEAVE_AND_SAY = f"WITH mark AS ({_LEAVE}), advanced AS ({_ADVANCE}) {_SAY}"
_READ = "SELECT value FROM sequence WHERE name = ?"
_FORGET = "DELETE FROM sequence WHERE name LIKE ? AND value < ?"
_RANDOM = 30
"""Bits of a number that are drawn; those before them are the second in which it was left."""
KEPT = 7 * 86_400
"""Seconds for which what a writer on PostgreSQL left last is kept: it may have ended, or ask for it yet."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is said on a channel of PostgreSQL about a transaction: the revision that it makes stands between the two
    parts."""

    channel: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CommitMark:
    """The number of that name in `sequence`."""

    name: str
    number: int

    def is_found(self, database: Database, overwrite: bool) -> bool:
        """Whether the transaction was committed. Waits for the end of one that a database server still works on; raises
        whatever keeps it from being told.

        `overwrite`: it may come back, although it is not there: then something else is written in its place first.
        """
        with database.writing.begin() as connection:
            found = _run(connection, _READ, self.name).scalar_one_or_none() == self.number
            if overwrite and not found:
                _run(connection, _LEAVE, _OWN, randbits(62))
        return found


class CommitMarks:
    """Those of one writer. On SQLite, where there is one, the revision that a transaction makes is a mark already, and
    those that make none leave a number.

    On PostgreSQL each writer has a row of its own. The number that the server gives a transaction would not do: after a
    crash it gives the numbers of those that were lost to others.
    """

    def __init__(self) -> None:
        self._name = f"{_OWN}:{token_hex(8)}"
        self._is_first = True

    def leave(
        self, connection: Connection, changes: bool, now: float, said: Said | None = None
    ) -> tuple[int, CommitMark]:
        """Marks the transaction. If it changes anything it makes a revision, which is returned, too; else 0. `said`: is
        said with that revision."""
        if connection.dialect.name == "postgresql":
            return self._leave_own(connection, changes, int(now), said)
        if changes:
            revision = _run(connection, _ADVANCE).scalar_one()
            return revision, CommitMark("revision", revision)
        made = CommitMark(_OWN, randbits(62))
        _run(connection, _LEAVE, made.name, made.number)
        return 0, made

    def _leave_own(self, connection: Connection, changes: bool, now: int, said: Said | None) -> tuple[int, CommitMark]:
        """All in one statement, as each is a way to the server and back."""
        if self._is_first:
            _run(connection, _FORGET, f"{_OWN}:%", (now - KEPT) << _RANDOM)
            self._is_first = False
        made = CommitMark(self._name, now << _RANDOM | randbits(_RANDOM))
        values = (made.name, made.number)
        if not changes:
            _run(connection, _LEAVE, *values)
            return 0, made
        if said is None:
            return _run(connection, _ADVANCE_AND_LEAVE, *values).scalar_one(), made
        advanced = _run(connection, _ADVANCE_AND_LEAVE_AND_SAY, *values, said.channel, said.before, said.after)
        return advanced.one()[0], made


def _run(connection: Connection, statement: str, *values: object) -> CursorResult[Any]:
    is_sqlite = connection.dialect.name == "sqlite"
    return connection.exec_driver_sql(statement if is_sqlite else statement.replace("?", "%s"), values)
