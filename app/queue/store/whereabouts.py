"""Who claims: this process, on this machine."""

from __future__ import annotations

import os
import socket
from functools import cache


@cache
def here() -> str:
    """`host:pid` of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
