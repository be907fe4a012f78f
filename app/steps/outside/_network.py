"""The transport below the HTTP client. It connects to addresses that it has checked itself, so that neither a name that
resolves to something else the second time, nor a redirect, nor an odd spelling of an address leads elsewhere."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from app.steps.outside.addresses import AllowedHosts, is_public
from app.steps.outside.trouble import PassingError
from app.work.step_type import PermanentError


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Reaches public addresses and allowed hosts only, and no proxy."""

    def __init__(self, allowed: AllowedHosts, connections: int) -> None:
        super().__init__(verify=_certificates(), trust_env=False)
        assert isinstance(self._pool, httpcore.AsyncConnectionPool)  # or else what follows would check nothing
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_certificates(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=CheckedBackend(allowed),
        )


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections, each to an address that was checked."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed = allowed
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises PermanentError for a host that may not be reached, and what httpcore raises for one that cannot."""
        failure: Exception | None = None
        for address in self._reachable(host, port, await resolved(host, port)):
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise PermanentError("sockets of this machine are not reached")

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)

    def _reachable(self, host: str, port: int, addresses: list[str]) -> list[str]:
        if self._allowed.names(host, port):
            return addresses
        public = [address for address in addresses if is_public(address)]
        if addresses and not public:
            found = "" if addresses[0] == host else f" ({addresses[0]})"
            raise PermanentError(
                f"{host}{found} is not a public address, and is not reached unless allow_hosts names {host!r}"
            )
        return public


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, each once. Raises PermanentError for a name that does not exist."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise PassingError(f"the name {host!r} cannot be resolved just now ({error.strerror})") from None
        raise PermanentError(f"the host {host!r} is not known ({error.strerror})") from None
    except (UnicodeError, ValueError) as error:
        raise PermanentError(f"{host!r} is not the name of a host ({error})") from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reading them takes longer than many a request
