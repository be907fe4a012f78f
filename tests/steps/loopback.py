"""A web server on loopback that answers what a test tells it to, down to the bytes on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@dataclass(frozen=True)
class Reply:
    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **self.headers}
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        return (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode() + body


Wire = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes an answer by itself, as badly as it likes."""
Answering = Reply | Wire | list["Reply"] | Callable[[Asked], Reply]
"""A list is answered one after the other, the last one for ever."""


def to(location: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": location})


def page(*links: str, title: str = "A page", head: str = "", text: str = "") -> Reply:
    anchors = "".join(f'<p><a href="{link}">{link}</a></p>' for link in links)
    return Reply(f"<!doctype html><html><head><title>{title}</title>{head}</head><body>{text}{anchors}</body></html>")


@dataclass
class Site:
    """`routes`: by path, or by path and query; "*" for all others."""

    port: int = 0
    routes: dict[str, Answering] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _answering: int = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [asked.target for asked in self.asked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while asked := await _read(reader):
                self.asked.append(asked)
                self._answering += 1
                self.most_at_once = max(self.most_at_once, self._answering)
                try:
                    await self._answer(asked, writer)
                finally:
                    self._answering -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        missing = Reply("nothing here", 404)
        route = self.routes.get(asked.target) or self.routes.get(asked.path) or self.routes.get("*") or missing
        if isinstance(route, list):
            route = route.pop(0) if len(route) > 1 else route[0]
        if isinstance(route, Reply):
            writer.write(route.wire())
        elif asyncio.iscoroutinefunction(route):
            await route(writer)
        else:
            answer = route(asked)
            assert isinstance(answer, Reply)
            await asyncio.sleep(0)
            writer.write(answer.wire())
        await writer.drain()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body)


@asynccontextmanager
async def serving(routes: dict[str, Answering] | None = None) -> AsyncIterator[Site]:
    site = Site(routes=routes or {})
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(site._serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        site.hang_up()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await server.wait_closed()
