"""The shelf: painted pieces that are kept because what they show is settled by their key.

A run's row follows from its record alone, since log lines never change once they are counted. What did not change since
it was last painted is taken from the shelf, and so is the same piece, which `diff` sees at a glance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

from app.web.pieces import Piece

ROOM = 1024
"""Pieces. A queue page of 20 runs with 4 steps has about 250 of them here."""


class Shelf:
    """Keeps the pieces used last. One shelf belongs to one database; several reader threads share it."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._pieces: OrderedDict[Hashable, Piece] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Piece | None:
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None:
                self._pieces.move_to_end(key)
            return piece

    def put(self, key: Hashable, piece: Piece) -> Piece:
        with self._lock:
            self._pieces[key] = piece
            self._pieces.move_to_end(key)
            while len(self._pieces) > self._room:
                self._pieces.popitem(last=False)
        return piece

    def once(self, key: Hashable, paint: Callable[[], Piece]) -> Piece:
        """The piece of that key, painted if it is not here."""
        return self.get(key) or self.put(key, paint())
