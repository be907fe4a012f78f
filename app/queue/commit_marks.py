"""A mark that every transaction of the writer leaves behind, so that after a COMMIT which failed it can be told whether
it was carried out."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import randbits

from sqlalchemy.engine import Connection

from app.queue.database import TRANSACTION, Database

_OWN = "commit"
_LEAVE = "INSERT INTO sequence (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_READ = "SELECT value FROM sequence WHERE name = ?"


class NotYetKnown(Exception):
    """The database server still works on the transaction."""


@dataclass(frozen=True, slots=True)
class CommitMark:
    """On SQLite, which has one writer: the number of that name in `sequence`, which the latest transaction leaves. On
    PostgreSQL: the number that the server gave the transaction."""

    name: str
    number: int

    @classmethod
    def left_in(cls, connection: Connection, revision: int) -> CommitMark:
        """Marks the transaction. `revision`: that which it makes, a mark already; 0 if it makes none."""
        if connection.dialect.name == "postgresql":
            return cls("", connection.info[TRANSACTION])
        if revision:
            return cls("revision", revision)
        made = cls(_OWN, randbits(62))
        connection.exec_driver_sql(_LEAVE, (made.name, made.number))
        return made

    def is_found(self, database: Database, overwrite: bool) -> bool:
        """Whether the transaction was committed. Raises whatever keeps that from being told, or NotYetKnown.

        `overwrite`: it may come back, although it is not there: then something else is written in its place first.
        """
        with database.writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                return self._asked_of_server(connection)
            found = connection.exec_driver_sql(_READ, (self.name,)).scalar_one_or_none() == self.number
            if overwrite and not found:
                CommitMark.left_in(connection, 0)
        return found

    def _asked_of_server(self, connection: Connection) -> bool:
        status = connection.exec_driver_sql("SELECT txid_status(%(number)s)", {"number": self.number}).scalar_one()
        if status == "in progress":
            raise NotYetKnown(f"transaction {self.number} is still in progress")
        return bool(status == "committed")
