"""Ownership: one process at a time owns a data directory.

The owner holds a lock on `owner.json` as long as it lives, so that a dead owner's file is no obstacle; what the file
says is for others to read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

FILE_NAME = "owner.json"

SERVER = "stepglass serve"
"""The command of an owner that will announce its address as soon as it serves."""


class Owner(msgspec.Struct, frozen=True):
    """Who owns a data directory. `url`: where it can be asked; empty while, or when, it does not serve."""

    pid: int = 0
    command: str = "another process"
    url: str = ""
    started: str = ""

    @property
    def is_starting(self) -> bool:
        """Whether it has still to say where it can be asked."""
        return not self.url and self.command in (SERVER, Owner().command)

    def __str__(self) -> str:
        since = f" since {self.started}" if self.started else ""
        return f"{self.command} (process {self.pid or 'unknown'}{since}{f', at {self.url}' if self.url else ''})"


class DirectoryTrouble(Exception):
    """A data directory cannot be used; the message names it, says why, and what to do."""


class AlreadyOwned(DirectoryTrouble):
    """Another process owns the data directory."""

    def __init__(self, directory: Path, owner: Owner) -> None:
        where = f"Use that one at {owner.url}, or stop it first" if owner.url else "Wait for its end, or stop it first"
        super().__init__(
            f"{directory} is in use by {owner}. {where}; with another --data directory both can run side by side."
        )
        self.owner = owner


class Ownership:
    """The lock that this process holds on a data directory."""

    def __init__(self, directory: Path, lock: int, owner: Owner) -> None:
        self._directory = directory
        self._lock = lock
        self._owner = owner
        # A process forked off this one would inherit the lock and keep it after our death.
        os.register_at_fork(after_in_child=self._drop)

    @property
    def owner(self) -> Owner:
        """This process, as others see it."""
        return self._owner

    def announce(self, url: str) -> None:
        """Lets others know where this process can be asked. Raises DirectoryTrouble."""
        self._owner = msgspec.structs.replace(self._owner, url=url)
        with _explained(self._directory):
            self._write(msgspec.json.encode(self._owner) + b"\n")

    def _write(self, content: bytes) -> None:
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, content, 0)

    def end(self) -> None:
        """Gives the directory up; the file stays, as removing it could remove the next owner's."""
        if self._lock >= 0:
            with suppress(OSError):  # a full disk must not keep the lock
                self._write(b"")
        self._drop()

    def _drop(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def owning(directory: Path, command: str) -> Iterator[Ownership]:
    """Makes the directory if need be and owns it. Raises AlreadyOwned, or DirectoryTrouble when it cannot be used."""
    lock = _locked(directory)
    started = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    ownership = Ownership(directory, lock, Owner(os.getpid(), command, "", started))
    try:
        ownership.announce("")
        yield ownership
    finally:
        ownership.end()


def _locked(directory: Path) -> int:
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(directory / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(file)
            os.close(file)
            raise AlreadyOwned(directory.absolute(), owner) from None
        return file


def _read(file: int) -> Owner:
    try:
        return msgspec.json.decode(os.pread(file, 65536, 0), type=Owner)
    except msgspec.DecodeError:  # it has only just taken the lock
        return Owner()


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise DirectoryTrouble(
            f"The data directory {directory.absolute()} cannot be made: {error.filename or directory} is a file. "
            f"Name a directory with --data or STEPGLASS_DATA."
        ) from error
    except OSError as error:
        raise DirectoryTrouble(
            f"The data directory {directory.absolute()} cannot be written: {error.strerror}. Make it writable, or name "
            f"another one with --data or STEPGLASS_DATA."
        ) from error
