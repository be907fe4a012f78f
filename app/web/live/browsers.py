"""Browsers: how many streams of one browser are open.

Over HTTP/1.1 a browser has six connections to a server, for all its tabs together. Six tabs that are all visible, each
with its stream, would leave none for the next page, nor for a click in any of them. So the last connection is kept
free: one stream too many ends the one that has been open longest. Its page opens it again half a second later, resumes
where it was, and ends the next one: the tabs take turns, and none falls behind by more than about a second.

A cookie tells browsers apart. It says nothing of who they are; programs that send none have no limit.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Mapping

from litestar.datastructures import Cookie

from app.web.live.subscriber import Subscriber

STREAMS = 5
"""Of one browser at a time."""

_NAME = "browser"
_YEAR = 365 * 86_400


class Browsers:
    """The open streams of each browser, the oldest first."""

    def __init__(self) -> None:
        self._streams: defaultdict[str, dict[Subscriber, None]] = defaultdict(dict)

    def opened(self, browser: str, subscriber: Subscriber) -> None:
        streams = self._streams[browser]
        streams[subscriber] = None
        if len(streams) > STREAMS:
            next(iter(streams)).end()

    def left(self, browser: str, subscriber: Subscriber) -> None:
        self._streams[browser].pop(subscriber, None)
        if not self._streams[browser]:
            del self._streams[browser]


def browser_of(cookies: Mapping[str, str]) -> str | None:
    name = cookies.get(_NAME, "")
    return name if re.fullmatch("[A-Za-z0-9_-]{8,32}", name, re.ASCII) else None


def name_tag() -> Cookie:
    """Tells a browser from all others from now on."""
    return Cookie(_NAME, value=secrets.token_urlsafe(6), max_age=_YEAR, httponly=True, samesite="lax")
