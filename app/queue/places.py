"""The numbers in cursors and places, which come back from outside."""

from __future__ import annotations

LARGEST = 2**63 - 1
"""The largest number that the databases can hold."""


def place_number(text: str) -> int:
    """Raises ValueError for what is not a whole number that a column could have."""
    number = int(text)
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{text} is out of range")
    return number


class BadCursor(ValueError):
    """A cursor that no page of this list has given out."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"cursor {cursor!r} is none that a list has given out; start again without one")
