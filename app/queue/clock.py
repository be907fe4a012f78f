"""The clock of a queue. What is stored by one process is due for all of them, so that they need one clock: that of the
database server, however wrong the clocks of the machines are on which they run."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch: by the clock of this machine, until a database server has said what time it is."""

    def __init__(self) -> None:
        self._lead: float | None = None
        """Of the server's clock before the steady clock of this machine."""

    def now(self) -> float:
        return time.time() if self._lead is None else time.monotonic() + self._lead

    def there(self, at: float) -> float:
        """That time by the clock of this machine, by this clock."""
        return at if self._lead is None else at - time.time() + self.now()

    def said(self, now: float, asked_at: float) -> None:
        """The server has said just now that it is `now`, and was asked at that time of the steady clock.

        When exactly it looked at its clock is not known. What was believed before is kept where that can be, so that
        time does not jump to and fro.
        """
        least, most = now - time.monotonic(), now - asked_at
        self._lead = least if self._lead is None else min(max(self._lead, least), most)
