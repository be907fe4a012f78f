"""A reader without a browser: a page that was opened once and has followed its stream ever since."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from xml.etree.ElementTree import tostring

import httpx
from litestar import Litestar

from app.web.live.channel import Channel
from app.web.screens import View
from tests.web.browser_model import Dom, parsed

DELETED = "What this page showed has been deleted."


class Watcher:
    """Follows one view. `is_over`: what it showed has been deleted."""

    def __init__(self, app: Litestar, client: httpx.AsyncClient, view: View) -> None:
        self._app, self._client, self._view = app, client, view
        self._last_id: str | None = None
        self.is_over = False

    async def open(self) -> None:
        """Loads the page, and opens its stream."""
        page = (await self._client.get(self._view.url)).text
        self.dom = Dom(page)
        self._since = int(re.search(r'<body data-revision="(\d+)"', page)[1])  # type: ignore[index]
        self._subscribe()

    def reconnect(self, app: Litestar, client: httpx.AsyncClient) -> None:
        """The server has restarted: the page stays, and says to the new one what it has seen."""
        self._app, self._client = app, client
        self._subscribe()

    def _subscribe(self) -> None:
        live = self._app.state.live
        self._subscriber = live.subscribe(self._view, self._last_id, self._since)
        self._channel: Channel = live._channels[self._view.url]
        self._frames: AsyncIterator[bytes] = self._subscriber.frames()

    async def catch_up(self) -> None:
        """Takes whatever the stream has to say of what is committed by now."""
        while self._channel._painting is not None:
            await asyncio.wait([self._channel._painting])
        assert not self._subscriber.is_cut
        while self._subscriber._waiting:
            for message in (await anext(self._frames)).decode().split("\n\n"):
                self.dom.receive(message)
                if found := re.search(r"^id: (.+)$", message, re.MULTILINE):
                    self._last_id = found[1]

    async def is_like_a_fresh_page(self) -> None:
        """What is deleted is not found anew; then the page that was open says so."""
        answer = await self._client.get(self._view.url)
        mine = self.dom.find("view")
        assert mine is not None
        if answer.status_code == 404:
            assert DELETED in "".join(mine.itertext())
            assert "may have been deleted" in answer.text
            self.is_over = True
            return
        fresh = parsed(answer.text)
        for name in ("view", "title", "icon"):
            mine, theirs = self.dom.find(name), fresh.find(f".//*[@id='{name}']")
            assert mine is not None
            assert theirs is not None
            assert normal(mine) == normal(theirs), self._view.url


def normal(element: Any) -> str:
    """The markup, without what belongs to the reader (`open`), without space between elements, and without the
    revision: a commit that does not concern a view does not reach it."""
    text = tostring(element, encoding="unicode")
    text = re.sub(r' open=""| data-revision="\d+"', "", text)
    return re.sub(r"\s+", " ", text).replace("> <", "><").strip()
