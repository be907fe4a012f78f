"""Who holds work: a process, by a name of its own for each of its starts."""

from __future__ import annotations

import os
import re
import secrets
import socket
from functools import cache

_NAME = re.compile(r"(.*?):([0-9]+)(?::[0-9a-z]+)?", re.DOTALL)


def new_name() -> str:
    """`host:pid:token` of this process. Numbers of processes come again, in containers at each start; tokens do not."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@cache
def here() -> str:
    """A name for this process, for claims that name nobody."""
    return new_name()


def place_of(name: str) -> tuple[str, str]:
    """The machine and the number of the process. Earlier versions wrote no token."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def told(name: str) -> str:
    """web-1, process 4711"""
    host, process = place_of(name)
    return f"{host}, process {process}" if process else host
