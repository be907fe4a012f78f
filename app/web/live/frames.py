"""Server-Sent Events as bytes, and the last of them kept for those who come back."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

_LINE_END = re.compile(r"\r\n|\r|\n")
MAX_KEPT_FRAMES = 256
MAX_KEPT_BYTES = 1_000_000


def frame(html: str, event_id: str | None) -> bytes:
    """One unnamed event. Only CR and LF end a line of an event stream; all else, U+2028 included, is text."""
    head = f"id: {event_id}\n" if event_id else ""
    body = "".join(f"data: {line}\n" for line in _LINE_END.split(html))
    return f"{head}{body}\n".encode()


class Ring:
    """The latest numbered frames of a channel, so that a short absence is replayed instead of painted anew."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._frames: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self.sequence = 0

    @property
    def last_id(self) -> str:
        return self._id(self.sequence)

    def add(self, html: str) -> bytes:
        """Gives the message its number, keeps it, and returns it as a frame."""
        self.sequence += 1
        made = frame(html, self.last_id)
        self._frames.append((self.sequence, made))
        self._bytes += len(made)
        while len(self._frames) > MAX_KEPT_FRAMES or (self._bytes > MAX_KEPT_BYTES and len(self._frames) > 1):
            self._bytes -= len(self._frames.popleft()[1])
        return made

    def after(self, event_id: str | None) -> list[bytes] | None:
        """The frames that followed the one of that id; None when that cannot be told: another epoch, or too long
        ago."""
        epoch, _, number = (event_id or "").rpartition("-")
        if epoch != self._epoch or not re.fullmatch("[0-9]{1,18}", number, re.ASCII):
            return None
        seen = int(number)
        oldest = self._frames[0][0] if self._frames else self.sequence + 1
        if not oldest - 1 <= seen <= self.sequence:
            return None
        return list(self._following(seen))

    def _following(self, seen: int) -> Iterator[bytes]:
        return (made for number, made in self._frames if number > seen)

    def _id(self, sequence: int) -> str:
        return f"{self._epoch}-{sequence}"
