"""Backups of a SQLite database, made while it is written, and put in its place again.

A copy is made of one moment, next to where it is to be and under another name; it is looked through before it gets its
own. So a file of that name is a whole and sound backup, whenever the copying ended.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.queue import audit
from app.queue.database import Database, DatabaseTrouble
from app.queue.schema import HEAD
from app.queue.sqlite_files import damage_in, open_to_read

PAGES_AT_ONCE = 1_000
"""Pages between two moments at which others get at the file, and Ctrl-C is heard."""


class BackupTrouble(DatabaseTrouble):
    """A backup cannot be made or restored; the message says why, and what to do. What was there is still there."""


@dataclass(frozen=True, slots=True)
class Backup:
    """`revision`: that of the moment it shows. `schema`: its version."""

    file: Path
    size: int
    revision: int
    schema: str


def back_up(database: Path, file: Path, overwrite: bool = False) -> Backup:
    """Copies a database, whoever writes it meanwhile, to `file`. Raises BackupTrouble."""
    if not database.is_file():
        raise BackupTrouble(f"There is no database {database}. Name the data directory with --data.")
    if file.exists() and file.samefile(database):
        raise BackupTrouble(f"{file} is the database itself. Name another file.")
    _refuse_existing(file, overwrite)
    with _beside(file) as copy:
        _copy(database, copy)
        made = _looked_through(copy, f"{database} is damaged, so no backup was made")
        _sync(copy)
        _refuse_existing(file, overwrite)  # somebody may have made one meanwhile
        copy.replace(file)
        _sync(file.parent)
    return Backup(file, file.stat().st_size, *made)


def restore(file: Path, database: Path) -> tuple[Backup, Path | None]:
    """Puts a backup in the place of a database that nobody uses; returns where the one before is kept. Raises
    BackupTrouble, and has then changed nothing."""
    if not file.is_file():
        raise BackupTrouble(f"There is no backup {file}.")
    if database.exists() and file.samefile(database):
        raise BackupTrouble(f"{file} is the database itself. Name a backup of it.")
    with _beside(database) as copy:
        _copy(file, copy)
        made = _looked_through(copy, f"{file} is damaged, so it was not restored")
        if made[1] > HEAD:
            raise BackupTrouble(
                f"{file} was written by a newer Stepglass (schema {made[1]}, this one knows {HEAD}); use that version"
            )
        _sync(copy)
        kept = _kept_aside(database)
        copy.replace(database)
        _sync(database.parent)
    return Backup(file, database.stat().st_size, *made), kept


def _copy(source: Path, copy: Path) -> None:
    with _explained(source, copy), closing(open_to_read(source)) as reading, closing(sqlite3.connect(copy)) as made:
        # Without a transaction of its own the copying would begin anew whenever somebody writes.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(made, pages=PAGES_AT_ONCE, sleep=0)
        reading.execute("ROLLBACK")
        made.execute("PRAGMA journal_mode=DELETE")  # a file by itself, which can also be read where nothing is written
    shutil.copymode(source, copy)


def _looked_through(copy: Path, refusal: str) -> tuple[int, str]:
    """The revision and the schema of a copy that is sound, by the rules of SQLite and by ours. Raises BackupTrouble."""
    if damage := damage_in(copy):
        raise BackupTrouble(f"{refusal}: {damage}.")
    try:
        with closing(open_to_read(copy)) as reading:
            (schema,) = reading.execute("SELECT version_num FROM alembic_version").fetchone()
            (revision,) = reading.execute("SELECT value FROM sequence WHERE name = 'revision'").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise BackupTrouble(f"{refusal}: it is not a database of Stepglass.") from error
    if schema == HEAD:
        made = Database.at_path(copy)
        drifts = audit.check(made)
        made.close()
        if drifts:
            raise BackupTrouble(f"{refusal}: {drifts[0]}. `stepglass check` tells everything.")
    return int(revision), str(schema)


def _refuse_existing(file: Path, overwrite: bool) -> None:
    if file.is_dir():
        raise BackupTrouble(f"{file} is a folder. Name a file in it.")
    if file.exists() and not overwrite:
        raise BackupTrouble(f"{file} exists. Name another file, or say --overwrite.")


def _kept_aside(database: Path) -> Path | None:
    """Gives what is in the place of the database another name, too. The place is never empty: who starts then would
    make a new database there."""
    if not database.exists():
        return None
    kept = _unused(database.with_name(f"{database.name}.{datetime.now():%Y%m%d-%H%M%S}"))
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as alone:
        alone.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # from a sound one: then the file is all there is of it
    with _explained(database, kept):
        for ending in ("-wal", "-shm"):
            beside = database.with_name(database.name + ending)
            if beside.exists():
                beside.rename(kept.with_name(kept.name + ending))
        try:
            os.link(database, kept)
        except OSError:  # a file system where a file has one name only
            shutil.copy2(database, kept)
    return kept


def _unused(name: Path) -> Path:
    number = 1
    found = name
    while found.exists():
        number += 1
        found = name.with_name(f"{name.name}-{number}")
    return found


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A new file in the same folder, gone afterwards unless it was given another name."""
    copy = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with _explained(file, copy):
            copy.unlink(missing_ok=True)
            copy.touch(0o600)
        yield copy
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            copy.with_name(copy.name + ending).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(source: Path, copy: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise BackupTrouble(
                f"There is no room for it in {copy.parent}. Make room, or name another place."
            ) from error
        raise BackupTrouble(f"{source} cannot be copied to {copy.parent}: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise BackupTrouble(f"{source} is damaged ({error}), so it was not copied.") from error
    except OSError as error:
        room = " Make room, or name another place." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise BackupTrouble(f"{copy.parent} cannot be written: {error.strerror}.{room}") from error
