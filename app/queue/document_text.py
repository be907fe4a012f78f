"""Looking for text in documents, in the index of their words that each of the databases has.

Everything that the two databases do differently is here and in `postgres_document_index`. All words have to be there,
whatever their case; one with a star at its end also finds longer ones. What stands in double quotes has to be there
word by word. A text without any letter or digit is looked for as it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.engine import Connection

from app.queue import postgres_document_index as index
from app.queue.document_records import MarkedText
from app.queue.tables import document
from app.queue.text_search import contains

MANY = 1_000
MOST_WORDS = 100
"""Words that are looked for; more in one search are passed over."""

_PIECE = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words that stand side by side, with whatever but letters and digits between. `is_beginning`: the last of them may
    go on."""

    text: str
    """As it was typed, without quotes."""
    words: tuple[str, ...]
    is_beginning: bool


def wanted_in(text: str) -> tuple[Wanted, ...]:
    """What a person who types that looks for; empty if there is no word in it."""
    return tuple(_wanted(unicodedata.normalize("NFC", text)))[:MOST_WORDS]


def _wanted(text: str) -> Iterator[Wanted]:
    for phrase, word in _PIECE.findall(text):
        words = tuple(_WORD.findall(phrase or word))
        if words:
            yield Wanted(phrase or word, words, word.endswith("*"))


def ids_in_postgres(text: str) -> Any:
    """The ids of the documents whose title or body holds what is looked for, as one column."""
    wanted = [(each.text, each.is_beginning) for each in wanted_in(text)]
    query = index.ids_with_words(wanted) if wanted else index.ids_with_signs(text)
    return query.subquery().c[0]


def holds(connection: Connection, text: str) -> Any:
    """For SQLite: the condition that a document's title or body holds what is looked for."""
    wanted = wanted_in(text)
    if not wanted:
        return contains(connection, document.c.title, text) | contains(connection, document.c.body, text)
    matches = sa.literal_column("document_text").bool_op("MATCH")(_query(wanted))
    found, number = found_once(connection, _index.c.rowid, [matches])
    return looked_up(document.c.id, number).in_(found)


def is_read_for(text: str) -> bool:
    """Whether every document has to be read to find the text: the index of SQLite knows words only."""
    return not wanted_in(text)


def found_once(connection: Connection, ids: Any, conditions: Sequence[ColumnElement[bool]]) -> tuple[Any, int]:
    """A query of these ids that does not look for them again, although the total, a page and the facets all ask for
    them; and their number."""
    is_sqlite = connection.dialect.name == "sqlite"
    # They stay the text as which a database can say and read them.
    all_ids = sa.func.json_group_array(ids) if is_sqlite else sa.cast(sa.func.array_agg(ids), sa.String())
    number, found = connection.execute(sa.select(sa.func.count(), all_ids).where(*conditions)).one()
    if is_sqlite:
        return sa.select(sa.func.json_each(found).table_valued("value").c.value.label("id")), number
    listed = sa.cast(sa.literal(found or "{}"), sa.ARRAY(sa.BigInteger()))
    return sa.select(sa.func.unnest(listed).label("id")), number


def looked_up(column: Any, number: int) -> Any:
    """The column, if so few of its values are asked for that an index is worth it; more are better sifted out of an
    index that is read from end to end."""
    return column if number <= MANY else column + 0


_index = sa.table("document_text", sa.column("rowid"))


def _query(wanted: tuple[Wanted, ...]) -> str:
    """In the language of the index, where nothing in quotes means anything. It knows best what is a word: about the
    rarest characters it does not agree with others."""
    return " ".join(f'"{each.text}"{"*" if each.is_beginning else ""}' for each in wanted)


BEFORE, EXCERPT = 60, 260
"""Characters of an excerpt that stand before the first word found, and in all."""


class Marker:
    """Marks the words that were looked for where they stand."""

    def __init__(self, text: str) -> None:
        wanted = wanted_in(text)
        pattern = "|".join(map(_pattern, wanted)) if wanted else re.escape(text)
        self._found = re.compile(_plain(pattern), re.IGNORECASE)
        first_words = [each.words[0] for each in wanted] or [text]
        self._first_words = [_plain(each).lower() for each in first_words]
        """Found much faster than by the expression."""

    def marked(self, text: str) -> MarkedText:
        return tuple(self._parts(text))

    def excerpt(self, text: str) -> MarkedText:
        """What stands around the first of them; nothing if none of them is there."""
        plain = _plain(text)
        lowered = plain.lower()
        candidates = [at for each in self._first_words if (at := lowered.find(each)) >= 0]
        first = self._found.search(plain, max(min(candidates) - 1, 0)) if candidates else None
        if first is None:
            return ()
        start = max(first.start() - BEFORE, 0)
        start = text.find(" ", start, first.start()) + 1 or start if start else 0
        shown = " ".join(text[start : start + EXCERPT].split())
        return (
            *[("… ", False)] * (start > 0),
            *self.marked(shown),
            *[(" …", False)] * (start + EXCERPT < len(text)),
        )

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        last = 0
        for found in self._found.finditer(_plain(text)):
            if found.start() > last:
                yield text[last : found.start()], False
            if found.end() > found.start():
                yield text[found.start() : found.end()], True
            last = found.end()
        if last < len(text):
            yield text[last:], False


def _pattern(wanted: Wanted) -> str:
    end = r"[^\W_]*" if wanted.is_beginning else r"(?![^\W_])"
    return r"(?<![^\W_])" + r"[\W_]+".join(wanted.words) + end


def _plain(text: str) -> str:
    """Letters without their accents, each in its place."""
    if text.isascii():
        return text
    accented = (each for each in set(text) if not each.isascii())
    return text.translate({ord(each): unicodedata.normalize("NFD", each)[0] for each in accented})
