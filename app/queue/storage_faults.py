"""What can be wrong with a storage, told from the errors of SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from sqlalchemy.exc import DBAPIError, OperationalError


class Fault(StrEnum):
    """What is wrong."""

    BUSY = "busy"  # another program holds it locked
    FULL = "full"  # no room on the disk
    READ_ONLY = "read_only"
    FAILING = "failing"  # the disk, or whatever else is below, reports errors
    DAMAGED = "damaged"  # the file is not a sound database
    AWAY = "away"  # a database server does not answer
    SLOW = "slow"  # it works, and takes its time


WAYS_OUT = {
    Fault.BUSY: "end the other program that writes to it, and work goes on by itself",
    Fault.FULL: "make room on its disk, and work goes on by itself",
    Fault.READ_ONLY: "make it writable, and work goes on by itself",
    Fault.FAILING: "look at its disk and at the system's log; it is tried again, and work goes on by itself",
    Fault.DAMAGED: "stop the server, and restore a backup: stepglass restore FILE",
    Fault.AWAY: "start the database server, and work goes on by itself",
    Fault.SLOW: "its disk is overloaded, or another program holds it; nothing is lost",
}
"""What a person can do about it."""

_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.FAILING,
    sqlite3.SQLITE_IOERR: Fault.FAILING,
    sqlite3.SQLITE_NOMEM: Fault.FAILING,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
}
_POSTGRES = {"53100": Fault.FULL, "25006": Fault.READ_ONLY, "58030": Fault.FAILING}
_POSTGRES_DAMAGED = "XX00"
_UNSYNCED = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


def fault_of(error: BaseException) -> Fault | None:
    """None if it is not the storage that is to blame, but what was asked of it."""
    if not isinstance(error, DBAPIError):
        return None
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(_code(cause) & 0xFF)
    state = getattr(cause, "sqlstate", None)
    if state in _POSTGRES:
        return _POSTGRES[state]
    if state and state.startswith(_POSTGRES_DAMAGED) and state > _POSTGRES_DAMAGED + "0":
        return Fault.DAMAGED
    return Fault.AWAY if isinstance(error, OperationalError) or error.connection_invalidated else None


def may_come_back(error: BaseException) -> bool:
    """Whether a COMMIT that failed so, and was undone, may still come true when the machine crashes now: it was written
    in full, and only not known to have reached the disk."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and _code(cause) in _UNSYNCED


def cause_of(error: BaseException) -> str:
    """In the words of the database."""
    return str((error.orig if isinstance(error, DBAPIError) else None) or error)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0
