"""The file of a SQLite database as a file: whether it is sound."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Literal
from urllib.parse import quote

_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""


def open_to_read(path: Path, mode: Literal["rw", "ro"] = "rw") -> sqlite3.Connection:
    """A connection to a file that exists. With "ro" not a byte of it is changed, and the files beside it that SQLite
    needs for that stay. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute("PRAGMA query_only=ON")
    return connection


def damage_in(path: Path, seconds: float | None = None) -> str | None:
    """What is damaged; None if nothing is, or if nothing was found within that time. Raises sqlite3.OperationalError
    for a file that cannot be read at all just now."""
    until = None if seconds is None else time.monotonic() + seconds
    try:
        with closing(open_to_read(path, "ro")) as connection:
            if until is not None:
                connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found is None or found[0] == "ok" else str(found[0]).replace("\n", " ")
