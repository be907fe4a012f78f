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


def holds(connection: Connection, text: str) -> ColumnElement[bool]:
    """The condition that a document's title or body holds what is looked for."""
    wanted = wanted_in(text)
    if connection.dialect.name != "sqlite":
        texts = [(each.text, each.is_beginning) for each in wanted]
        return _among(connection, index.ids_with_words(texts) if texts else index.ids_with_signs(text))
    if not wanted:
        return contains(connection, document.c.title, text) | contains(connection, document.c.body, text)
    matches = sa.literal_column("document_text").bool_op("MATCH")(_query(wanted))
    return found_once(connection, _index.c.rowid, [matches])[0]


def is_read_for(connection: Connection, text: str) -> bool:
    """Whether every document has to be read to find the text: the index of SQLite knows words only."""
    return connection.dialect.name == "sqlite" and not wanted_in(text)


def found_once(
    connection: Connection, ids: Any, conditions: Sequence[ColumnElement[bool]]
) -> tuple[ColumnElement[bool], int]:
    """A condition that holds for the documents of these ids alone, and their number. They are not looked for again,
    although the total, a page and the facets all ask for them. For SQLite."""
    number, found = connection.execute(
        sa.select(sa.func.count(), sa.func.json_group_array(ids)).where(*conditions)
    ).one()
    values = sa.select(sa.func.json_each(found).table_valued("value").c.value)
    is_among: ColumnElement[bool] = looked_up(document.c.id, number).in_(values)
    return is_among, number


def _among(connection: Connection, ids: Any) -> ColumnElement[bool]:
    """The same for PostgreSQL: a condition that holds for these ids, which are not looked for again. They stay the text
    as which PostgreSQL can say and read them."""
    found = ids.subquery()
    column = found.c[0]
    all_ids = sa.func.coalesce(sa.cast(sa.func.array_agg(column), sa.String()), "{}")
    number, said = connection.execute(sa.select(sa.func.count(), all_ids)).one()
    values = sa.select(sa.func.unnest(sa.cast(sa.literal(said), sa.ARRAY(sa.BigInteger()))))
    is_among: ColumnElement[bool] = looked_up(document.c.id, number).in_(values)
    return is_among


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
