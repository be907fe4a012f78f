"""A PostgreSQL on another host: a network namespace, joined to this one by a pair of virtual cables that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from tests.postgres import Cluster, cluster

NO_HOSTS = (
    "no network namespaces: the tests that cut a network did not run. Run them as root (with CAP_NET_ADMIN), with `ip`"
)
NETWORK = "198.18.77"
"""Of the addresses that are nobody's, for trials between two hosts."""
PORT = 5432


class NoHosts(Exception):
    """This machine makes no network namespaces for us."""


@dataclass(frozen=True)
class Host:
    """`address`: of the cluster, by way of the cable. The cluster's own URL goes by a file, and is not cut."""

    name: str
    cable: str
    cluster: Cluster
    address: str

    def url_of(self, url: str) -> str:
        """The URL of that database of the cluster, by way of the cable."""
        return f"postgresql+psycopg://postgres@{self.address}:{PORT}/{sa.make_url(url).database}"

    def cut(self) -> None:
        """Nothing goes through any more, and nobody is told: no packet, no RST."""
        _ip("-n", self.name, "link", "set", self.cable, "down")

    def join(self) -> None:
        _ip("-n", self.name, "link", "set", self.cable, "up")


@contextmanager
def database_host() -> Iterator[Host]:
    """Raises NoHosts or PostgresMissing."""
    number = os.getpid() % 60  # of a network of four addresses
    name, here, there = f"stepglass-{os.getpid()}", f"sg-here-{number}", f"sg-there-{number}"
    ours, theirs = (f"{NETWORK}.{4 * number + each}" for each in (1, 2))
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise NoHosts(NO_HOSTS)
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        raise NoHosts(f"{NO_HOSTS}: {error.stderr.strip()}") from error
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _ip("addr", "add", f"{ours}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "addr", "add", f"{theirs}/30", "dev", there)
        for each in ("lo", there):
            _ip("-n", name, "link", "set", each, "up")
        with cluster("listen_addresses=*", f"port={PORT}", inside=("ip", "netns", "exec", name)) as made:
            yield Host(name, there, made, theirs)
    finally:
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
