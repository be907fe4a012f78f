"""The database: one URL, an engine that writes and an engine that reads, and the schema they expect.

SQLite runs in WAL mode with foreign keys on. `synchronous=NORMAL` survives the end of the process (kill -9) with every
commit kept, and may lose the last commits when the machine loses power; `FULL` survives that too, for a slower commit.

PostgreSQL is written by many processes, on many machines, but by one transaction at a time: each takes the database's
write lock first. Every rule of the store that holds for one writer so holds for all of them together, and revisions
grow in the order of the commits. The operations of a process share transactions, so that there are few of these.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

from app.queue.clock import Clock
from app.queue.kept_runs import KeptRuns
from app.queue.sqlite_files import damage_in
from app.queue.storage_faults import WAYS_OUT, Fault, cause_of, explained, fault_of, to_do_about

Synchronous = Literal["NORMAL", "FULL"]


FILE_NAME = "stepglass.db"
"""Of the SQLite database in a data directory."""
LARGEST_WAL = 64 << 20
"""Bytes to which the write-ahead log is cut back after a long read let it grow."""
_TOLD_AT = "told_at"
_PATH = "path:"
OLDEST_POSTGRES = 15
_WRITE_LOCK = 0x57E9_61A5
"""The advisory lock that a transaction which writes holds to its end."""
_LOST_AFTER = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""After how long without an answer a connection counts as lost, as libpq wants to hear it."""
_LONGEST_SILENCE = 10.0
"""Seconds that a transaction may be silent; the server then ends its session, and so lets go of the write lock."""
_SESSION = (
    "-c idle_in_transaction_session_timeout={silence} -c tcp_user_timeout={silence} -c tcp_keepalives_idle=5 "
    "-c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c timezone=UTC"
)
_FIND_TICKETS = (
    # Procrastinate's triggers name no schema.
    "SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), 'stepglass_engine'),"
    " false)"
)
_READS = " -c default_transaction_read_only=on"
_WRITES = " -c default_transaction_isolation=read\\ committed"
# PostgreSQL keeps the plan of a statement that it has carried out five times, for as long as it has not looked at its
# tables anew, and that is a minute. One made for a table of twenty rows would go through thousands for every batch. So
# who writes has all plans made anew, sooner the more it writes. Each time would take longer than the statements do.
_PLANS_KEPT = 20.0
"""Seconds, times the transactions in them, and the jobs that were added."""
_PLANNED = "planned"
# One round trip: takes the lock, and then the time. What comes before a BEGIN in the same query is part of the
# transaction that it begins.
_LOCK = f"SELECT pg_advisory_xact_lock({_WRITE_LOCK}), date_part('epoch', clock_timestamp())"
_BEGIN_WRITING = f"{_LOCK}; BEGIN"
_BEGIN_ANEW = f"{_LOCK}; DISCARD PLANS; BEGIN"
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


def _sqlite(path: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(path))


def without_secrets(url: str | sa.URL) -> str:
    """The URL of a PostgreSQL database as a person writes it, for others to read."""
    url = sa.make_url(url).difference_update_query(("password", "sslpassword"))
    return url.set(drivername="postgresql").render_as_string(hide_password=True).replace("%2F", "/")


class DatabaseTrouble(Exception):
    """The database cannot be used; the message names it, says why, and what to do."""


class ReadFailed(DatabaseTrouble):
    """Something cannot be read, for a reason that may pass."""

    def __init__(self, told: str, fault: Fault, cause: str) -> None:
        super().__init__(told)
        self.fault = fault
        self.cause = cause

    def again(self) -> ReadFailed:
        """The same for somebody else: an exception that is raised in many places gathers all their tracebacks."""
        return ReadFailed(str(self), self.fault, self.cause)


class Database:
    """The engines of one database. Make it where it is used: engines do not cross processes.

    `lease`: seconds of silence after which others may want to write that whoever writes here is dead.
    """

    def __init__(
        self,
        url: str | sa.URL,
        synchronous: Synchronous = "NORMAL",
        readers: int = 4,
        lease: float = _LONGEST_SILENCE,
    ) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.path = Path(self.url.database) if self.is_sqlite and self.url.database else None
        self._synchronous = synchronous
        self._silence = min(lease, _LONGEST_SILENCE)
        self.writing = self._engine(1, read_only=False)
        self.reading = self._engine(readers, read_only=True)
        self.kept_runs = KeptRuns()
        self.clock = Clock()

    @classmethod
    def in_directory(cls, directory: Path, synchronous: Synchronous = "NORMAL") -> Database:
        """The SQLite database of a data directory."""
        return cls(_sqlite(directory / FILE_NAME), synchronous)

    @classmethod
    def at_path(cls, path: Path) -> Database:
        """Any SQLite database."""
        return cls(_sqlite(path))

    @classmethod
    def named(
        cls, url: str, directory: Path, synchronous: Synchronous = "NORMAL", lease: float = _LONGEST_SILENCE
    ) -> Database:
        """The PostgreSQL database of that URL, or without one the SQLite database of the directory."""
        return cls(url, lease=lease) if url else cls.in_directory(directory, synchronous)

    @classmethod
    def at(cls, address: str, readers: int, lease: float = _LONGEST_SILENCE) -> Database:
        """The database that another process calls by that address."""
        is_path = address.startswith(_PATH)
        url = _sqlite(Path(address.removeprefix(_PATH))) if is_path else address
        return cls(url, readers=readers, lease=lease)

    @property
    def address(self) -> str:
        """What another process finds this database by. A path stays a path: in a URL, `?` and `%` would mean more."""
        return f"{_PATH}{self.path}" if self.path else self.url.render_as_string(hide_password=False)

    @property
    def libpq_url(self) -> str:
        """The URL of a PostgreSQL database as its own library has it, with when to give a connection up."""
        _, named = self.writing.dialect.create_connect_args(self.url)
        said = {name: value for name, value in named.items() if isinstance(value, str | int)}  # the rest is for psycopg
        return f"postgresql://?{urlencode(said | _LOST_AFTER, quote_via=quote)}"  # in which a + is no space

    def __str__(self) -> str:
        return str(self.path) if self.path else without_secrets(self.url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: everything read from this connection belongs to one moment. Raises ReadFailed when the
        storage is to blame."""
        try:
            with self.reading.connect() as connection, _not_used_again(connection), connection.begin():
                yield connection
        except sa.exc.DBAPIError as error:
            fault = fault_of(error)
            if fault is None or fault is Fault.READ_ONLY:
                raise
            cause = cause_of(error)
            to_do = to_do_about(cause) if fault is Fault.AWAY else None
            raise ReadFailed(f"{self} cannot be read: {cause}; {to_do or WAYS_OUT[fault]}", fault, cause) from error

    def trouble(self) -> str | None:
        """Why the database cannot be read; None when it can."""
        try:
            with self.read() as connection:
                connection.execute(sa.text("SELECT value FROM sequence"))
        except ReadFailed as error:
            return str(error)
        except sa.exc.DBAPIError as error:
            return f"{self} cannot be read: {explained(error)}"
        return None

    def damage(self, seconds: float | None = None) -> str | None:
        """What is damaged in the file of a SQLite database; None if nothing is found, within that time. Looks with a
        connection of its own, and forgets what the others had read."""
        if self.path is None:
            return None
        self.reading.dispose()
        return damage_in(self.path, seconds)

    def modes(self) -> tuple[str, str]:
        """How it keeps its journal, and how far a commit is pushed to the disk, in its own words."""
        with self.read() as connection:
            if not self.is_sqlite:
                return "WAL", str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return str(journal).upper(), _SYNCHRONOUS[synchronous]

    def begun_at(self, writing: Connection) -> float:
        """The time that a transaction which writes, and has just begun, is to be stamped with."""
        return self.clock.now() if self.is_sqlite else float(writing.info[_TOLD_AT])

    def close(self) -> None:
        self.writing.dispose()
        self.reading.dispose()

    def _engine(self, size: int, read_only: bool) -> Engine:
        options: dict[str, Any] = {
            "json_serializer": lambda value: msgspec.json.encode(value).decode(),
            "json_deserializer": msgspec.json.decode,
            "poolclass": QueuePool,
            "pool_size": size,
            "max_overflow": 0,
        }
        if not self.is_sqlite:
            return self._postgres(read_only, options)
        engine = sa.create_engine(self.url, connect_args={"check_same_thread": False}, **options)
        self._tune_sqlite(engine, read_only)
        return engine

    def _postgres(self, read_only: bool, options: dict[str, Any]) -> Engine:
        session = _SESSION.format(silence=f"{round(1000 * self._silence)}ms") + (_READS if read_only else _WRITES)
        if told := self.url.normalized_query.get("options"):
            session = " ".join((*told, session))
        engine = sa.create_engine(
            self.url,
            isolation_level="REPEATABLE READ" if read_only else "AUTOCOMMIT",  # a BEGIN of its own, below
            connect_args={**_LOST_AFTER, "application_name": "stepglass", "options": session},
            pool_pre_ping=read_only,
            **options,
        )

        def suits(connection: Any, _record: object) -> None:
            self._refuse_unsuited(connection)

        sa.event.listen(engine, "connect", suits, insert=True)
        if not read_only:

            @sa.event.listens_for(engine, "connect")
            def connect(connection: Any, _record: object) -> None:
                connection.execute(_FIND_TICKETS)
                connection.commit()

            @sa.event.listens_for(engine, "begin")
            def begin(connection: Connection) -> None:
                asked_at = time.monotonic()
                plans_are_old = _plans_are_old(connection, asked_at)
                told_at = connection.exec_driver_sql(_BEGIN_ANEW if plans_are_old else _BEGIN_WRITING).one()[1]
                self.clock.said(told_at, asked_at)
                connection.info[_TOLD_AT] = told_at

        return engine

    def _refuse_unsuited(self, connection: Any) -> None:
        """Raises DatabaseTrouble for a server that is too old, and a database that does not hold all texts."""
        version, encoding = connection.info.server_version, connection.info.parameter_status("server_encoding")
        if version >= 10_000 * OLDEST_POSTGRES and encoding == "UTF8":
            return
        connection.close()
        if encoding != "UTF8":
            raise DatabaseTrouble(
                f"{self} has the encoding {encoding}, in which not every text can be stored. Make one with UTF8: "
                f"CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0"
            )
        raise DatabaseTrouble(
            f"{self} is PostgreSQL {version // 10_000}.{version % 10_000}; Stepglass needs {OLDEST_POSTGRES} or newer. "
            f"Upgrade that server, or name another one."
        )

    def _tune_sqlite(self, engine: Engine, read_only: bool) -> None:
        pragmas = ["busy_timeout=5000", "foreign_keys=ON", f"synchronous={self._synchronous}", "temp_store=MEMORY"]
        writing = ["journal_mode=WAL", "wal_autocheckpoint=4000", f"journal_size_limit={LARGEST_WAL}"]
        pragmas += ["query_only=ON"] if read_only else writing

        @sa.event.listens_for(engine, "connect")
        def connect(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # the driver begins nothing by itself: we do, below
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer takes its lock at once; a lock taken later, after a read, could fail without waiting.
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def _not_used_again(connection: Connection) -> Iterator[None]:
    """After trouble of the storage: one made anew may find things better."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if fault_of(error) not in (None, Fault.BUSY):
            connection.invalidate()
        raise


def _plans_are_old(connection: Connection, now: float) -> bool:
    """Counts one more transaction of this connection; whether the plans it has are to be made anew."""
    since, written = connection.info.get(_PLANNED, (now, 0))
    is_old = bool((now - since) * written > _PLANS_KEPT)
    connection.info[_PLANNED] = (now, 1) if is_old else (since, written + 1)
    return is_old


def tables_grew(connection: Connection, rows: int) -> None:
    """This transaction adds so many jobs: the plans of its connection get old the sooner."""
    since, written = connection.info.get(_PLANNED, (0.0, 0))
    connection.info[_PLANNED] = since, written + rows
