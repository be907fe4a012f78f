"""Several real processes on one PostgreSQL, any of which may die at any moment."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.queue.database import Database
from app.queue.owner_reading import OwnerRecord
from app.queue.snapshot import Snapshot
from app.queue.whereabouts import place_of
from tests.chaos import chaos_steps
from tests.stepglass import COMMAND, clean_environment

WORKER = ("worker",)
WEB = ("serve", "--port", "0", "--slots", "0")
READY = ("Stepglass is at http://", "Worker ")
LEASE = 2
"""Seconds."""


@dataclass
class Member:
    """A process of a fleet. `url`: of its page, once it is ready; "none" if it has none."""

    name: str
    process: subprocess.Popen[str]
    url: str = ""

    @property
    def pid(self) -> str:
        return str(self.process.pid)

    def ready(self) -> Member:
        """Waits until it is."""
        if not self.url:
            assert self.process.stdout
            line = self.process.stdout.readline()
            assert line.startswith(READY), f"{self.name} did not start: {line!r}"
            self.url = line.split()[-1].removesuffix("/queue") if line.startswith(READY[0]) else "none"
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> int:
        """Asks it to end; returns its exit status."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        finally:
            assert self.process.stdout
            self.process.stdout.close()


@dataclass
class Fleet:
    """`folder`: of its data directories, definitions and logs. `url`: of the database, as the test reaches it."""

    folder: Path
    url: str
    lease: float = LEASE
    members: list[Member] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.database = Database(self.url, readers=8)
        (self.folder / "definitions").mkdir(parents=True, exist_ok=True)

    def define(self, name: str, text: str) -> None:
        (self.folder / "definitions" / f"{name}.toml").write_text(text)

    def launch(
        self,
        kind: tuple[str, ...],
        *options: str,
        url: str = "",
        program: tuple[str, ...] = tuple(COMMAND),
        cwd: Path | None = None,
        **environment: str,
    ) -> Member:
        """Begins one, and does not wait for it. `url`: how it reaches the database, if otherwise than the test."""
        self._made += 1
        name = f"{'web' if kind == WEB else 'worker'}-{self._made}"
        database = (url or self.url).replace("postgresql+psycopg", "postgresql")
        told = () if kind == WORKER else ("--data", str(self.folder / name))
        told += ("--database", database)
        told += ("--definitions", str(self.folder / "definitions"), "--steps", str(chaos_steps.__file__), *options)
        environment = {**clean_environment(), "STEPGLASS_LEASE": f"{self.lease:g}", **environment}
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [*program, *kind, *told], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=cwd
            )
        member = Member(name, process)
        self.members.append(member)
        return member

    def forget(self, member: Member) -> None:
        """It has ended."""
        self.members.remove(member)
        if member.process.stdout:
            member.process.stdout.close()

    def log(self, member: Member) -> str:
        return (self.folder / f"{member.name}.log").read_text()

    def owners(self, member: Member) -> list[OwnerRecord]:
        """The names under which it has worked, the first one first."""
        with Snapshot.of(self.database) as snapshot:
            found = [owner for owner in snapshot.owners(1000) if place_of(owner.name)[1] == member.pid]
        return sorted(found, key=lambda owner: owner.started_at)

    def held(self, member: Member) -> int:
        """How much of the work it is said to hold."""
        return sum(len(owner.held) for owner in self.owners(member))

    def stop(self) -> None:
        """Ends all of them as a service manager would. Raises AssertionError for those that do not end well."""
        ends = {member.name: member.stop() for member in tuple(self.members)}
        self.members.clear()
        assert set(ends.values()) <= {0}, ends

    def end(self) -> None:
        for member in tuple(self.members):
            member.process.send_signal(signal.SIGCONT)
            member.kill()
            self.forget(member)
        self.database.close()


@contextmanager
def fleet(folder: Path, url: str, lease: float = LEASE) -> Iterator[Fleet]:
    """Whatever is left of it at the end of the block is killed."""
    made = Fleet(folder, url, lease)
    try:
        yield made
    finally:
        made.end()


def until(true: Callable[[], bool], seconds: float = 60.0, what: str = "") -> float:
    """Looks again and again until it is so. Returns the seconds that it took; raises AssertionError when it takes too
    long. What is looked at may be away for now."""
    began = time.monotonic()
    pause = threading.Event()
    while True:
        try:
            if true():
                return time.monotonic() - began
            trouble = ""
        except Exception as error:
            trouble = f": {error}"
        assert time.monotonic() - began < seconds, f"not so after {seconds:g} s: {what or true}{trouble}"
        pause.wait(0.02)


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
