"""The host that a repository is fetched from: one in public, or one that the definition names.

What was looked up is what git connects to over HTTP, so that the name cannot lead elsewhere a moment later.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from app.steps.outside.addresses import AllowedHosts, is_public
from app.steps.repository import FetchFailed
from app.work.step_type import PermanentError

_PORTS = {"https": 443, "http": 80, "ssh": 22}
_BY_NAME = re.compile(r"[\w.-]+@([\w.-]+):")


def checked_host(url: str, allow_hosts: Iterable[str]) -> str:
    """Where the host of the URL is, as git's `http.curloptResolve` has it; "" if git may find that out by itself, or if
    there is no host. Raises PermanentError for one that may not be reached, FetchFailed for one that cannot be found
    just now."""
    host, port = _host(url)
    if not host or AllowedHosts(allow_hosts).names(host, port):
        return ""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy")):
            return ""  # a proxy knows names that this machine does not
        if error.errno == socket.EAI_AGAIN:
            raise FetchFailed(f"the name {host!r} cannot be resolved just now ({error.strerror})") from None
        raise PermanentError(f"the host {host!r} is not known ({error.strerror})") from None
    except (UnicodeError, ValueError) as error:
        raise PermanentError(f"{host!r} is not the name of a host ({error})") from None
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    public = [address for address in addresses if is_public(address)]
    if not public:
        shown = "" if addresses[0] == host else f" ({addresses[0]})"
        raise PermanentError(
            f"{host}{shown} is not a public address, and is not reached unless allow_hosts names {host!r}"
        )
    return f"{host}:{port}:{','.join(f'[{each}]' if ':' in each else each for each in public)}"


def _host(url: str) -> tuple[str, int]:
    """Raises PermanentError."""
    if "://" not in url:
        by_name = _BY_NAME.match(url)
        return (by_name[1], _PORTS["ssh"]) if by_name else ("", 0)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PermanentError(f"{url!r} is not an address ({error})") from None
    scheme = parts.scheme.lower()
    return (host, port or _PORTS[scheme]) if scheme in _PORTS else ("", 0)
