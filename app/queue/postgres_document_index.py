"""The index of the words and signs of all documents, for PostgreSQL. Who writes documents writes it, in the same
transaction.

It finds what that of SQLite finds, so the words are taken apart in the same way, by `document_words`, and PostgreSQL
is given what comes of it. It needs no extension, and no locale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.engine import Connection

from app.queue.document_words import signs_of, words_of

TABLE = (
    "CREATE TABLE document_text ("
    " document_id bigint PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,"
    " words tsvector,"
    " plain text NOT NULL)",
    # A process of an earlier version does not know the index: what it changes is forgotten, and so learnt anew.
    "CREATE OR REPLACE FUNCTION document_text_forget() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN DELETE FROM document_text WHERE document_id = new.id; RETURN NULL; END $$",
    "CREATE TRIGGER document_text_changed AFTER UPDATE OF title, body ON document FOR EACH ROW"
    " WHEN (old.title <> new.title OR old.body <> new.body) EXECUTE FUNCTION document_text_forget()",
    # Read twice as fast; but a server can be built without it.
    "DO $$ BEGIN ALTER TABLE document_text ALTER plain SET COMPRESSION lz4;"
    " EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN NULL; END $$",
)
INDEXES = (
    "CREATE INDEX document_text_words ON document_text USING gin (words)",
    "CREATE INDEX document_text_long ON document_text (document_id) WHERE words IS NULL",
)

LONGEST_WORD = 500
"""Characters of a word that the index knows. PostgreSQL allows 2,046 bytes."""
MOST_BYTES = 1_000_000
"""Of all different words and signs of a document. PostgreSQL allows 1,048,575; what has more is read in each search."""
BATCH = 200

_index = sa.table(
    "document_text", sa.column("document_id"), sa.column("words", TSVECTOR()), sa.column("plain", sa.String())
)
_document = sa.table("document", sa.column("id"), sa.column("title"), sa.column("body"))
_learn = sa.text(
    "INSERT INTO document_text (document_id, words, plain) VALUES (:of_document, CAST(:words AS tsvector), :plain)"
    " ON CONFLICT (document_id) DO UPDATE SET words = excluded.words, plain = excluded.plain"
)
_missing = sa.select(_document.c.id, _document.c.title, _document.c.body).where(
    ~sa.exists().where(_index.c.document_id == _document.c.id)
)
_some_missing = _missing.where(_document.c.id > sa.bindparam("after")).order_by(_document.c.id).limit(BATCH)


def learn(connection: Connection, documents: Iterable[tuple[int, str, str]]) -> None:
    """What the documents of these ids say now: in their titles and bodies."""
    rows = [_row(*each) for each in documents]
    if rows:
        connection.execute(_learn, rows)


def misses_some(connection: Connection) -> bool:
    """Whether the index does not know some of the documents."""
    return connection.execute(_missing.limit(1)).first() is not None


def learn_missing(connection: Connection) -> None:
    """All documents that the index does not know yet."""
    last = 0
    while rows := connection.execute(_some_missing, {"after": last}).all():
        learn(connection, (tuple(row) for row in rows))
        last = rows[-1].id


def gaps(connection: Connection) -> Iterator[int]:
    """The ids of the documents of which the index knows anything else than what they say. Reads all of them."""
    known = sa.func.tsvector_to_array(_index.c.words).label("known")
    query = sa.select(_document.c.id, _document.c.title, _document.c.body, _index.c.plain, known)
    query = query.outerjoin_from(_document, _index, _index.c.document_id == _document.c.id).order_by(_document.c.id)
    for row in connection.execute(query.execution_options(yield_per=BATCH)):
        keys, plain = _taken_apart(row.title, row.body)
        if plain != row.plain or (row.known is not None and keys != set(row.known)):
            yield row.id


def _row(document_id: int, title: str, body: str) -> dict[str, Any]:
    keys, plain = _taken_apart(title, body)
    fits = len("".join(keys).encode()) <= MOST_BYTES
    return {"of_document": document_id, "words": " ".join(map(_quoted, keys)) if fits else None, "plain": plain}


def _taken_apart(title: str, body: str) -> tuple[set[str], str]:
    """What the index knows of a document: its words and signs; its words in their order, a space before and after each,
    and a line break between those of the title and those of the body, across which none stand side by side."""
    in_title, in_body = words_of(title), words_of(body)
    keys = {word[:LONGEST_WORD] for word in (*in_title, *in_body)} | signs_of(title) | signs_of(body)
    return keys, f" {' '.join((*in_title, _BREAK, *in_body))} "


_BREAK = "\n"


def ids_with_words(wanted: Iterable[tuple[str, bool]]) -> Any:
    """The ids of the documents that have all of these texts, each word by word in the title or in the body; the last
    word of one may go on if it says so."""
    taken_apart = [(words, goes_on) for text, goes_on in wanted if (words := words_of(text))]
    if not taken_apart:
        return sa.select(_index.c.document_id).where(sa.false())
    in_index = [key for each in taken_apart for key in _keys(*each)]
    to_read = [_stands_in(_index.c.plain, _side_by_side(*each)) for each in taken_apart]
    to_compare = [
        condition
        for (words, _), condition in zip(taken_apart, to_read, strict=True)
        if len(words) > 1 or len(words[0]) > LONGEST_WORD
    ]
    return sa.union_all(
        sa.select(_index.c.document_id).where(_has(" & ".join(in_index)), *to_compare),
        sa.select(_index.c.document_id).where(_index.c.words.is_(None), *to_read),
    )


def ids_with_signs(text: str) -> Any:
    """The ids of the documents whose title or body holds that text, in which there is no letter or digit."""
    keys = signs_of(text)
    if len(text) > 1:
        keys = {key for key in keys if len(key) > 1}
    as_it_stands = _stands_in(_document.c.title, text) | _stands_in(_document.c.body, text)
    read = sa.select(_document.c.id).join_from(_index, _document, _document.c.id == _index.c.document_id)
    is_known = _has(" & ".join(map(_quoted, keys))) if keys else _index.c.words.is_not(None)
    is_exact = len(text) <= 2
    found = sa.select(_index.c.document_id).where(is_known) if is_exact else read.where(is_known, as_it_stands)
    return sa.union_all(found, read.where(_index.c.words.is_(None), as_it_stands))


def _keys(words: Sequence[str], goes_on: bool) -> list[str]:
    keys = [_quoted(word[:LONGEST_WORD]) for word in words]
    return [*keys[:-1], keys[-1] + ":*"] if goes_on else keys


def _has(query: str) -> ColumnElement[bool]:
    # PostgreSQL does not look into a query that is selected. If it knew that most documents match it would take them
    # apart one by one, as it does not know either what that costs.
    asked = sa.select(sa.cast(query, TSQUERY())).scalar_subquery()
    found: ColumnElement[bool] = _index.c.words.bool_op("@@")(asked)
    return found


def _side_by_side(words: Sequence[str], goes_on: bool) -> str:
    return f" {' '.join(words)}{'' if goes_on else ' '}"


def _stands_in(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = sa.func.strpos(column, text) > 0
    return found


def _quoted(key: str) -> str:
    """As PostgreSQL reads a word, whatever is in it."""
    return "'" + key.replace("\\", "\\\\").replace("'", "''") + "'"
