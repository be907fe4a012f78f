"""The one HTTP client of the step types: what it reaches is checked, and what it reads is limited."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from app.steps.outside.addresses import AllowedHosts
from app.steps.outside.charset import text_of
from app.steps.outside.trouble import PassingError, retry_after
from app.steps.outside.unpacking import TooLarge, Unpacker
from app.steps.source_tree import printable
from app.steps.text_decoding import Text
from app.work.step_type import PermanentError

if TYPE_CHECKING:
    import httpx

USER_AGENT = "Stepglass"
MAX_URL = 4000
REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NOT_HANDLED = {429, 503}
_KEPT_ACROSS_HOSTS = ("accept", "accept-language", "user-agent")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take, its redirects included."""

    seconds: float = 30.0
    size: int = 10 << 20
    """In bytes, as received and after unpacking."""
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    url: str
    """Where it came from in the end."""
    status: int
    headers: httpx.Headers
    content: bytes
    """Unpacked; empty when the body was not wanted."""

    @property
    def media_type(self) -> str:
        """Such as "text/html"; "" when the server does not say."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def is_redirect(self) -> bool:
        return self.status in REDIRECTS and "location" in self.headers

    @property
    def told_status(self) -> str:
        """Such as "404 Not Found"."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    def text(self) -> Text | None:
        """None for a binary one."""
        return text_of(self.content, _charset(self.headers.get("content-type", "")), "html" in self.media_type)

    def json(self) -> Any:
        """Raises PermanentError for anything but JSON."""
        text = self.text()
        try:
            # JSON has no NaN, and our tables neither
            return json.loads(text.text if text else "", parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise PermanentError(f"{shown(self.url)} did not answer with JSON ({error})") from None

    def check(self, expected: Iterable[int] = (), *, detail: str = "") -> Self:
        """The answer, if its status is one of those expected (none given: 200 to 299). Raises PassingError for those of
        a server that is in trouble or wants patience, PermanentError for others. `detail`: what the server says."""
        expected = tuple(expected)
        if self.status in expected or (not expected and 200 <= self.status < 300):
            return self
        told = f"{shown(self.url)} answered {self.told_status}" + (f": {printable(detail)}" if detail else "")
        if self.status in _PASSING:
            pause = retry_after(self.headers.get("retry-after"))
            raise PassingError(told, pause, handled=self.status not in _NOT_HANDLED)
        raise PermanentError(told)


Wanted = Callable[[Answer], bool]
"""Whether the body is to be read, judged by everything else."""


class Outside:
    """An HTTP client, `async with`. It knows neither cookies nor proxies nor .netrc."""

    def __init__(
        self, allow_hosts: Iterable[str] = (), *, user_agent: str = USER_AGENT, connections: int = 100
    ) -> None:
        from app.steps.outside._network import CheckedTransport  # with its libraries, which no start waits for

        # No more than a transport: what httpx.AsyncClient adds to one is what is not wanted here.
        self._transport = CheckedTransport(AllowedHosts(allow_hosts), connections)
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.aclose()

    async def fetch(self, request: Request, limits: Limits, wanted: Wanted = lambda answer: True) -> Answer:
        """The answer at the end of the redirects. Raises PassingError or PermanentError."""
        try:
            async with asyncio.timeout(limits.seconds):
                for _ in range(limits.redirects + 1):
                    answer = await self._send(request, limits, wanted)
                    if not answer.is_redirect:
                        return answer
                    request = _redirected(request, answer)
        except TimeoutError:
            raise PassingError(f"{shown(request.url)} took longer than {limits.seconds:g} s") from None
        raise PermanentError(f"more than {limits.redirects} redirects, the last one to {shown(request.url)}")

    async def send(self, request: Request, limits: Limits, wanted: Wanted = lambda answer: True) -> Answer:
        """The answer, also if it is a redirect. Raises PassingError or PermanentError."""
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._send(request, limits, wanted)
        except TimeoutError:
            raise PassingError(f"{shown(request.url)} took longer than {limits.seconds:g} s") from None

    async def _send(self, request: Request, limits: Limits, wanted: Wanted) -> Answer:
        import httpx

        url = checked_url(request.url)
        told = shown(request.url)
        sent = httpx.Request(
            request.method,
            url,
            headers=self._headers | _titled(request.headers),
            content=request.content or None,
            extensions={"timeout": httpx.Timeout(limits.seconds).as_dict()},
        )
        try:
            response = await self._transport.handle_async_request(sent)
            try:
                answer = Answer(str(url), response.status_code, response.headers, b"")
                if answer.is_redirect or request.method == "HEAD" or not wanted(answer):
                    return answer
                return await _read(response, answer, limits)
            finally:
                await response.aclose()
        except TooLarge:
            raise PermanentError(f"{told} answered with more than {limits.size:,} bytes") from None
        except zlib.error as error:
            raise PermanentError(f"{told} answered with a body that cannot be unpacked ({error})") from None
        except httpx.TimeoutException:
            raise PassingError(f"{told} took longer than {limits.seconds:g} s") from None
        except (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise PermanentError(f"{told} cannot be asked ({printable(str(error))})") from None
        except httpx.TransportError as error:
            raise _trouble(told, error) from None


async def _read(response: httpx.Response, answer: Answer, limits: Limits) -> Answer:
    import httpx

    unpacker = Unpacker(response.headers.get("content-encoding", ""), limits.size)
    if response.headers.get("content-length", "").isdecimal():
        unpacker.expect(int(response.headers["content-length"]))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for data in response.stream:
        unpacker.take(data)
    return Answer(answer.url, answer.status, answer.headers, unpacker.content())


def _titled(headers: Mapping[str, str]) -> dict[str, str]:
    """With names as ours are written, so that one given takes the place of ours."""
    return {name.title(): value for name, value in headers.items()}


def _trouble(told: str, error: httpx.TransportError) -> Exception:
    said = printable(str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return PermanentError(f"{told} cannot prove who it is ({said})")
    return PassingError(f"{told} cannot be reached ({said})")


def checked_url(text: str) -> httpx.URL:
    """Raises PermanentError for what is no http or https URL, and for one with a password in it."""
    import httpx

    try:
        if len(text) > MAX_URL:
            raise httpx.InvalidURL(f"it has more than {MAX_URL:,} characters")
        url = httpx.URL(text)
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.InvalidURL("it does not begin with http:// or https:// and a host")
        if url.port is not None and not 0 < url.port < 65536:
            raise httpx.InvalidURL(f"there is no port {url.port}")
        if url.userinfo:
            raise httpx.InvalidURL("it has a user or password in it; send them as a header")
    except (httpx.InvalidURL, ValueError) as error:
        raise PermanentError(f"{printable(text[:200])} is not a URL to ask: {error}") from None
    return url


def shown(url: str) -> str:
    """A URL for people: without its query, which may hold a key, and no longer than a line."""
    plain = url.partition("#")[0].partition("?")[0]
    return printable(plain if len(plain) <= 200 else f"{plain[:197]}...")


def _redirected(request: Request, answer: Answer) -> Request:
    """The request that a redirect asks for. Headers may hold secrets, and go to the same origin only."""
    import httpx

    target = location(answer)
    source, url = httpx.URL(answer.url), httpx.URL(target)
    same_origin = (source.scheme, source.host, source.port) == (url.scheme, url.host, url.port)
    keeps_method = answer.status in (307, 308) or request.method in ("GET", "HEAD")
    if request.content and keeps_method and not same_origin:
        raise PermanentError(f"{shown(answer.url)} redirects what is sent to another host, {shown(target)}")
    headers = {
        name: value
        for name, value in request.headers.items()
        if (same_origin or name.lower() in _KEPT_ACROSS_HOSTS) and (keeps_method or name.lower() != "content-type")
    }
    return Request(target, request.method if keeps_method else "GET", headers, request.content if keeps_method else b"")


def location(answer: Answer) -> str:
    """Where a redirect leads. Raises PermanentError for anything but an http or https URL."""
    import httpx

    try:
        target = httpx.URL(answer.url).join(answer.headers["location"])
    except (httpx.InvalidURL, ValueError):
        raise PermanentError(f"{shown(answer.url)} redirects to something that is not a URL") from None
    return str(checked_url(str(target)))


def _charset(content_type: str) -> str | None:
    message = Message()
    message["content-type"] = content_type
    try:
        return message.get_content_charset()
    except (LookupError, ValueError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
