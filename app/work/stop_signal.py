"""SIGTERM in a worker process: its work is to end.

The context of a handler says `cancelled` from then on, and `Cancelled` is raised where the handler is at. One that has
looked at `cancelled` is left to look again; in it `Cancelled` is raised by the second signal only. Nothing is raised
twice, so that `finally` runs undisturbed, and nothing while a frame is being sent, which would be cut in two.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

from app.work.step_type import Cancelled


class StopSignal:
    """Made, and met by the signal, in the main thread: there handlers are at work."""

    def __init__(self) -> None:
        self.told = False
        self.looked_for = False
        """Whether the handler has looked, and so is to see by itself."""
        self._again = False
        self._raised = False
        self._at_work = False
        self._main = threading.get_ident()

    def listen(self) -> None:
        """Also if a handler has listened for itself meanwhile."""
        signal.signal(signal.SIGTERM, self._hear)

    def begin(self) -> None:
        """A handler is at work from now on."""
        self.looked_for = False
        self._at_work = True
        self._raise_if_told()

    def end(self) -> None:
        """And is not any more."""
        self._at_work = False

    def hold(self) -> bool:
        """Nothing is raised in this thread until `let_go` is called with what this returns."""
        held = self._at_work and threading.get_ident() == self._main
        if held:
            self._at_work = False
        return held

    def let_go(self, held: bool) -> None:
        if held:
            self._at_work = True
            self._raise_if_told()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._again = self.told
        self.told = True
        self._raise_if_told()

    def _raise_if_told(self) -> None:
        if self.told and self._at_work and not self._raised and (self._again or not self.looked_for):
            self._raised = True
            raise Cancelled
