"""A throwaway PostgreSQL cluster for the tests, made of whatever PostgreSQL the system has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

MISSING = "PostgreSQL not found: its tests did not run. Install it (Debian: postgresql) or set TEST_DATABASE_URL"


class PostgresMissing(Exception):
    """There is no PostgreSQL to start."""


@contextmanager
def throwaway_cluster(durable: bool = False) -> Iterator[str]:
    """The URL of its `postgres` database. It listens on a socket in its own directory only, and is gone afterwards.

    `durable`: what is committed is on the disk, as benchmarks want it; tests need no disk. Raises PostgresMissing.
    """
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="stepglass-pg-"))  # short: a socket's path has at most 103 characters
    data, log = home / "data", home / "log"
    try:
        if os.geteuid() == 0:
            shutil.chown(home, "postgres")
        _run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        settings = f"-k {home} -c listen_addresses= -c max_connections=200"
        if not durable:
            settings += " -c fsync=off -c full_page_writes=off"
        _run(programs / "pg_ctl", "-D", data, "-l", log, "-o", settings, "-w", "start", failure_log=log)
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={home}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database on that server, dropped afterwards."""
    name = f"stepglass_{uuid4().hex}"
    server = sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def _programs() -> Path:
    """The directory of initdb and pg_ctl: as pg_config says, on the PATH, or where Debian keeps each version."""
    candidates: list[Path] = []
    with suppress(OSError, subprocess.CalledProcessError):
        said = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
        candidates.append(Path(said.stdout.strip()))
    if found := shutil.which("initdb"):
        candidates.append(Path(found).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    for directory in candidates:
        if (directory / "initdb").exists() and (directory / "pg_ctl").exists():
            return directory
    raise PostgresMissing(MISSING)


def _run(program: Path, *arguments: str | Path, failure_log: Path | None = None) -> None:
    """PostgreSQL refuses to run as root; then it runs as the user that came with it."""
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_postgres, program, *arguments], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        more = failure_log.read_text() if failure_log and failure_log.exists() else ""
        raise RuntimeError(f"{program.name} failed: {done.stdout}{more}")
