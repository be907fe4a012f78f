"""What can be wrong with a storage, told from the errors of SQLite and PostgreSQL."""

from __future__ import annotations

import re
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


_TO_DO = (
    (
        r"(password|peer|ident|md5|scram).* authentication failed|no password supplied",
        "see to the user and the password: in the URL (there an @ is written %40, a / %2F), in the environment "
        "(PGPASSWORD) or in ~/.pgpass",
    ),
    (
        r'database ".*" does not exist',
        "a superuser makes it: CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0",
    ),
    (r'role ".*" does not exist', "a superuser makes it: CREATE ROLE name LOGIN"),
    (r"permission denied|must be owner", "let its user own the database: ALTER DATABASE name OWNER TO user"),
    (r"pg_hba\.conf", "let it in by a line in the pg_hba.conf of the server"),
    (r"\bSSL\b|sslmode|sslrootcert|certificate", "see to what the URL says of TLS: sslmode, sslrootcert"),
    (
        r"unsupported startup parameter",
        "connect to PostgreSQL itself: no pooler passes on what sessions are told",
    ),
    (r"invalid .*(option|value)|unrecognized .*parameter", "see to what follows the ? in the URL"),
    (r"too many (clients|connections)|connection slots", "raise its max_connections, or stop what uses it"),
    (r"(relation|type) .* already exists", "name a database that nothing else has tables in"),
    (
        r"failed to resolve|could not translate|refused|timeout expired|unreachable|no route|no such file",
        "see to host and port, and that the server runs",
    ),
)


def to_do_about(cause: str) -> str | None:
    """What helps when PostgreSQL says that; None if that is not known."""
    return next((to_do for said, to_do in _TO_DO if re.search(said, cause, re.IGNORECASE)), None)


def cause_of(error: BaseException) -> str:
    """In the words of the database, in one line."""
    said = (error.orig if isinstance(error, DBAPIError) else None) or error
    primary = getattr(getattr(said, "diag", None), "message_primary", None)  # without the statement
    lines = [" ".join(line.split()) for line in str(primary or said).splitlines()]
    return " ".join(dict.fromkeys(line for line in lines if line))  # libpq says some things twice


def explained(error: BaseException) -> str:
    """The cause, and what helps."""
    cause = cause_of(error)
    to_do = to_do_about(cause) if isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error) else None
    return f"{cause}; {to_do}" if to_do else cause


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0
