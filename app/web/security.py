"""Closed by default: who may ask, from where, and what a browser may do with the answer.

The server listens on loopback only, but every page in the user's browser can reach loopback. So a request must name a
host that we know (otherwise a foreign name could be pointed at us: DNS rebinding), and one that changes something must
come from a page of ours. Programs such as curl send neither Sec-Fetch-Site nor Origin and are let in.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.web.errors import Refused, answer

MAX_BODY = 1 << 20
"""Bytes of a request's body."""

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

_HARMLESS = {"GET", "HEAD", "OPTIONS"}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


FRAGMENTS = "/fragments/"
EMBEDDED_REQUEST_HEADERS = b"hx-request, hx-request-type, hx-current-url, hx-source, hx-target, hx-trigger, hx-boosted"
"""What htmx says of itself with each request."""


class Guard:
    """Stands before everything that the app answers, so that routes, streams and errors alike are covered."""

    def __init__(self, app: ASGIApp, allowed_hosts: tuple[str, ...], embedding_sites: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = (*LOOPBACK_NAMES, *allowed_hosts)
        self._embedding_sites = embedding_sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        # HEAD is answered as GET is, without the content; a stream has nothing but content.
        only_head = scope["method"] == "HEAD" and not scope["path"].endswith(("/stream", "/api/events"))
        if only_head:
            scope["method"] = "GET"
        embedding = self._embedding_headers(scope)

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *embedding]
                message["headers"] = [*headers, *_missing(headers)]
            elif only_head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        try:
            self._check(scope)
        except Refused as refused:
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            response = answer(request, refused).to_asgi_response(app=None, request=request)
            await response(scope, receive, guarded_send)
            return
        if embedding and scope["method"] == "OPTIONS":
            await guarded_send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": []})
            await guarded_send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self._app(scope, receive, guarded_send)

    def _embedding_headers(self, scope: HTTPScope) -> list[tuple[bytes, bytes]]:
        """What lets a page of another site that may embed fragments read one; nothing for everybody else."""
        origin = _single(scope, b"origin")
        if origin not in self._embedding_sites or not scope["path"].startswith(FRAGMENTS):
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-methods", b"GET"),
            (b"access-control-allow-headers", EMBEDDED_REQUEST_HEADERS),
            (b"access-control-max-age", b"600"),
            (b"vary", b"Origin"),
            (b"cross-origin-resource-policy", b"cross-origin"),
        ]

    def _check(self, scope: HTTPScope) -> None:
        host = _single(scope, b"host")
        if host is None or _name(host) not in self._hosts:
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this server does not answer to the name {_shown(host)}; it answers to {', '.join(self._hosts)}. "
                f"Add a name with STEPGLASS_ALLOWED_HOSTS",
            )
        if scope["method"] not in _HARMLESS:
            _refuse_other_sites(scope, host)


def guard(app: Litestar, allowed_hosts: tuple[str, ...], embedding_sites: tuple[str, ...] = ()) -> None:
    """Puts the guard before the whole app."""
    app.asgi_handler = Guard(app.asgi_handler, allowed_hosts, embedding_sites)


def _refuse_other_sites(scope: HTTPScope, host: str) -> None:
    site, origin = _single(scope, b"sec-fetch-site"), _single(scope, b"origin")
    other = None
    if site not in (None, "same-origin", "none"):
        other = f"Sec-Fetch-Site: {_shown(site)}"
    # Only host and port are compared: behind a proxy that ends TLS, the scheme is not the one that we see.
    elif origin is not None and origin.partition("://")[2] != host:
        other = f"Origin: {_shown(origin)}"
    if other:
        raise Refused(HTTPStatus.FORBIDDEN, f"a page of another site ({other}) may not change anything here")


def _single(scope: HTTPScope, name: bytes) -> str | None:
    """The header's value; None without it; a value that matches nothing if it was sent more than once."""
    values = [value for key, value in scope["headers"] if key == name]
    return ", ".join(value.decode("latin-1") for value in values).lower() if values else None


def _name(host: str) -> str:
    """Without the port, and without the full stop at the end that a name may have."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).removesuffix(".")


def _missing(headers: Any) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    return [header for header in _RAW_HEADERS if header[0] not in present]


def _shown(value: str | None) -> str:
    return "(none)" if value is None else ascii(value[:100])
