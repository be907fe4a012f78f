"""What an index keeps of a text: its words as SQLite's full-text search takes them apart, and the signs between them.

SQLite is asked itself, once for each character, so that a search finds the same documents on both databases: it says
what belongs to a word, and what becomes of capitals and accents.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import pairwise

from app.queue.document_index import TOKENIZE

_SIGNS = re.compile(r"[\W_]+")
_letters: dict[int, str] = {}
"""What the index makes of a character: a space between words, nothing of an accent, else a letter."""


def words_of(text: str) -> list[str]:
    """In the order of the text."""
    if unknown := set(map(ord, set(text))) - _letters.keys():
        _letters.update(_asked(sorted(unknown)))
    return text.translate(_letters).split()


def signs_of(text: str) -> set[str]:
    """What stands in it beside letters and digits: each sign, and each two that stand side by side."""
    return {part for signs in set(_SIGNS.findall(text)) for part in _parts(signs)}


def _parts(signs: str) -> Iterator[str]:
    yield from signs
    yield from map("".join, pairwise(signs))


def _asked(characters: Iterable[int]) -> dict[int, str]:
    """Each character is put into a word: it may end it, leave no trace of itself, or become a letter."""
    with closing(sqlite3.connect(":memory:")) as alone:
        alone.execute(f"CREATE VIRTUAL TABLE text USING fts5 (body, content='', tokenize='{TOKENIZE}')")
        alone.execute("CREATE VIRTUAL TABLE word USING fts5vocab (text, instance)")
        rows = ((character, f"x{chr(character)}x") for character in characters)
        alone.executemany("INSERT INTO text (rowid, body) VALUES (?, ?)", rows)
        found = alone.execute("SELECT doc, count(*), min(term) FROM word GROUP BY doc")
        return {character: " " if words > 1 else word[1:-1] for character, words, word in found}
