"""Text on a terminal, where whatever is not plain text would act."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text whose control characters cannot act on a terminal."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
