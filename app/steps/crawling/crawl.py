"""A crawl in progress: one client for all its pages, and for each host its rules, its pace and its connections.

Work items come and go, and what they share lives here, in the process, for as long as some of them run; a crawl without
any is kept for a while, so that a site is not met at another pace because its pages happen to come one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from app.steps.crawling.large_pages import LargePages
from app.steps.crawling.urls import origin_of
from app.steps.outside.client import Answer, Limits, Outside, Request, Wanted, shown
from app.steps.outside.trouble import PassingError, patiently
from app.work.step_type import PermanentError

if TYPE_CHECKING:
    from protego import Protego  # type: ignore[import-untyped,unused-ignore]

ROBOTS_LIMITS = Limits(seconds=20, size=512 * 1024, redirects=5)
MAX_CRAWL_DELAY = 60.0
ROBOTS_PATIENCE = 60.0
"""Seconds for which a robots.txt that cannot be had is not asked for again."""
_IDLE_CRAWLS = 8

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manners:
    """How a crawl behaves at each host."""

    user_agent: str
    concurrency: int
    delay: float
    """Seconds between the beginnings of two requests."""
    obey_robots: bool
    allow_hosts: tuple[str, ...] = ()
    retries: int = 2
    max_wait: float = 60.0


@dataclass(eq=False)
class Host:
    """A host as the crawl knows it."""

    origin: str
    manners: Manners
    delay: float
    room: asyncio.Semaphore
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rules: Protego | None = None
    known: bool = False
    trouble: PassingError | None = None
    trouble_until: float = 0.0
    _next: float = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until one more request may be sent."""
        async with self.room:
            loop = asyncio.get_running_loop()
            while (wait := self._next - loop.time()) > 0:  # noqa: ASYNC110 - others move it on meanwhile
                await asyncio.sleep(wait)
            self._next = loop.time() + self.delay
            yield

    def pause(self, seconds: float) -> None:
        """The host asked for patience: nobody asks it before that."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)

    def allows(self, url: str) -> bool:
        """As far as its rules are known."""
        return self.rules is None or self.rules.can_fetch(url, self.manners.user_agent)


class Crawl:
    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.users = 0
        self.seen: set[str] = set()
        """URLs that became work items already; not all of them, only to spare the database the question."""
        self.large_pages = LargePages()
        self._hosts: dict[str, Host] = {}
        self._client: Outside | None = None

    @property
    def client(self) -> Outside:
        if self._client is None:
            self._client = Outside(self.manners.allow_hosts, user_agent=self.manners.user_agent)
        return self._client

    async def rest(self) -> None:
        await self.large_pages.end()
        if self._client:
            client, self._client = self._client, None
            await client.close()

    def host(self, url: str) -> Host:
        origin = origin_of(url)
        if origin not in self._hosts:
            room = asyncio.Semaphore(self.manners.concurrency)
            self._hosts[origin] = Host(origin, self.manners, self.manners.delay, room)
        return self._hosts[origin]

    async def may_ask(self, url: str, warn: Warn) -> bool:
        """Whether the host's robots.txt allows the URL. Raises PassingError while it cannot be had."""
        host = self.host(url)
        await self.meet(host, warn)
        return host.allows(url)

    async def meet(self, host: Host, warn: Warn) -> None:
        """Reads the robots.txt of a host, once."""
        if not self.manners.obey_robots:
            return
        async with host.lock:
            if host.known:
                return
            if host.trouble and asyncio.get_running_loop().time() < host.trouble_until:
                raise PassingError(str(host.trouble))
            try:
                host.rules = await self._robots(host)
            except PassingError as error:
                # What a site in trouble forbids is not known: RFC 9309 takes it as everything.
                host.trouble = PassingError(f"robots.txt cannot be read, so nothing may be asked: {error}")
                host.trouble_until = asyncio.get_running_loop().time() + ROBOTS_PATIENCE
                raise PassingError(str(host.trouble)) from None
            except PermanentError as error:
                warn(f"{host.origin}/robots.txt is taken as allowing everything: {error}")
            host.known = True
            self._slow_down(host, warn)

    async def _robots(self, host: Host) -> Protego | None:
        answer = await self.ask(host, Request(f"{host.origin}/robots.txt"), ROBOTS_LIMITS)
        if 400 <= answer.status < 500:
            return None
        text = answer.check().text()
        from protego import Protego

        return Protego.parse(text.text if text else "")

    def _slow_down(self, host: Host, warn: Warn) -> None:
        asked = host.rules.crawl_delay(self.manners.user_agent) if host.rules else None
        if asked and asked > host.delay:
            host.delay = min(float(asked), MAX_CRAWL_DELAY)
            warn(f"{host.origin} asks for {float(asked):g} s between requests; they are sent {host.delay:g} s apart")

    async def ask(self, host: Host, request: Request, limits: Limits, wanted: Wanted | None = None) -> Answer:
        """One request, when it is its turn; one that says what is `wanted` sees redirects itself. Raises PassingError
        when the server is in trouble."""
        async with host.turn():
            answer = await (self.client.send(request, limits, wanted) if wanted else self.client.fetch(request, limits))
        if answer.status == 429 or answer.status >= 500:
            try:
                answer.check()
            except PassingError as error:
                host.pause(min(error.retry_after or 0.0, self.manners.max_wait))
                raise
        return answer

    async def ask_patiently(self, host: Host, request: Request, limits: Limits, wanted: Wanted, warn: Warn) -> Answer:
        return await patiently(
            lambda: self.ask(host, request, limits, wanted),
            warn,
            retries=self.manners.retries,
            longest_wait=self.manners.max_wait,
        )

    async def sitemap(self, url: str, limits: Limits, warn: Warn) -> Answer:
        if not await self.may_ask(url, warn):
            raise PermanentError(f"the robots.txt of its site does not allow {shown(url)}")
        return (await self.ask(self.host(url), Request(url), limits)).check()


_crawls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Crawl]] = WeakKeyDictionary()


@asynccontextmanager
async def crawl_of(step_id: int, manners: Manners) -> AsyncIterator[Crawl]:
    """The crawl of a step, for as long as a work item needs it."""
    crawls = _crawls.setdefault(asyncio.get_running_loop(), {})
    crawl = crawls.pop(step_id, None) or Crawl(manners)
    crawls[step_id] = crawl  # the latest used stands last
    crawl.users += 1
    try:
        yield crawl
    finally:
        crawl.users -= 1
        if not crawl.users:
            await crawl.rest()
            idle = [step for step, each in crawls.items() if not each.users]
            for step in idle[:-_IDLE_CRAWLS]:
                del crawls[step]
