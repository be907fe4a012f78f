"""What a process that works makes of SIGTERM and Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable


class Stopping:
    """The first signal lets what runs end within its grace; the second ends it, and gives it back, at once; the third
    ends this process as it is.

    `told`: is called with whether it is the second.
    """

    def __init__(self, told: Callable[[bool], None]) -> None:
        self._told = told
        self._times = 0

    def signalled(self, number: int) -> None:
        self._times += 1
        if self._times > 2:
            os._exit(128 + number)
        self._told(self._times == 2)
