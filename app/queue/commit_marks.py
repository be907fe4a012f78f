"""A mark that every transaction of a writer leaves behind, so that after a COMMIT which failed it can be told whether
it was carried out."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import randbits, token_hex
from typing import Any

from sqlalchemy.engine import Connection, CursorResult

from app.queue.database import Database

_OWN = "commit"
_LEAVE = "INSERT INTO sequence (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_READ = "SELECT value FROM sequence WHERE name = ?"
_FORGET = "DELETE FROM sequence WHERE name LIKE ? AND value < ?"
_RANDOM = 30
"""Bits of a number that are drawn; those before them are the second in which it was left."""
KEPT = 7 * 86_400
"""Seconds for which what a writer on PostgreSQL left last is kept: it may have ended, or ask for it yet."""


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

    def leave(self, connection: Connection, revision: int, now: float) -> CommitMark:
        """Marks the transaction. `revision`: that which it makes; 0 if it makes none."""
        if connection.dialect.name == "postgresql":
            return self._leave_own(connection, int(now))
        if revision:
            return CommitMark("revision", revision)
        made = CommitMark(_OWN, randbits(62))
        _run(connection, _LEAVE, made.name, made.number)
        return made

    def _leave_own(self, connection: Connection, now: int) -> CommitMark:
        if self._is_first:
            _run(connection, _FORGET, f"{_OWN}:%", (now - KEPT) << _RANDOM)
            self._is_first = False
        made = CommitMark(self._name, now << _RANDOM | randbits(_RANDOM))
        _run(connection, _LEAVE, made.name, made.number)
        return made


def _run(connection: Connection, statement: str, *values: object) -> CursorResult[Any]:
    is_sqlite = connection.dialect.name == "sqlite"
    return connection.exec_driver_sql(statement if is_sqlite else statement.replace("?", "%s"), values)
