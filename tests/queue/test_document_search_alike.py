"""What is searched for in documents is found alike on both databases, whatever it is."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.queue import audit, postgres_document_index
from app.queue.copying import copy
from app.queue.database import Database
from app.queue.document_records import DocumentFacets
from app.queue.document_words import words_of
from app.queue.documents import Document
from app.queue.run_plan import StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import DocumentFilter, Snapshot
from app.queue.store.documents import Saving, delete_documents, save_documents
from tests.hostile import CORPUS
from tests.queue.conftest import Queue

TEXTS = (
    "A river that ends in the Black Sea.",
    "the black-sea river, and the BLACK   SEA's \u201ccoast\u201d",
    "\u00dcber den Caf\u00e9s: na\u00efve r\u00e9sum\u00e9, Stra\u00dfe STRASSE \u1e9e",
    "uber den cafes: nai\u0308ve re\u0301sume\u0301",
    "\u0130stanbul istanbul \u0131 i I",
    "\u4e1c\u4eac\u90fd \u6771\u4eac\u90fd\u306b\u884c\u304f\u3002\u30c6\u30b9\u30c8",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u03b5\u03bb\u03bb\u03b1\u03c2",
    "\u0415\u043b\u043a\u0430 \u0451\u043b\u043a\u0430",
    "src/main.py: def main_function(x): return x => 100% <b>&amp; ... -- != 1e9 3.14 v1.2.3",
    "ends with a word\u0301 and\ttabs\nand lines\r\nand \u00a0 spaces",
    "'quoted' \"twice\" back\\slash & | ! ( ) : * <-> 'a':*",
    "emoji \U0001f468\u200d\U0001f469 \U0001f389\U0001f389\U0001f389 e\u0301\u0301 \u24d0\u24b6 \u00bd \u2167 a1b2",
    "a b c a b d a a b",
    "",
    "=> ==> => =",
    "x" * 3_000 + " " + "y" * 500 + " " + "y" * 501,
)
SEARCHES = (
    *("river", "RIVER", "riv*", "riv", "*iver", '"black sea"', '"sea black"', "black-se*", '"black se"', "sea*", "*"),
    *("uber", "\u00dcBER caf\u00e9s", "cafe\u0301s", "resume", "na\u00efve", "strasse", "stra\u00dfe", "STRA\u1e9eE"),
    *("istanbul", "\u0130STANBUL", "i", "\u0131", "\u6771\u4eac\u90fd", "\u6771*", "\u90fd", "\u30c6\u30b9\u30c8"),
    *("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u03b5\u03bb\u03bb\u03b1\u03b4\u03b1", "\u0435\u043b\u043a\u0430"),
    *("main.py", "main_function", "1e9", "3.14", "1.2", "v1", '"v1 2"', "100%", "b&amp", "word", "w\u00f3rd"),
    *("=>", "=", "==", "==>", " => ", "%", "!=", "--", "...", "<", "'", '"', '""', "\\", ":*", "'a':*", "<->", "& |"),
    *("\U0001f389", "\U0001f389\U0001f389", "\U0001f389\U0001f389\U0001f389\U0001f389", "\u200d", "\u0301", "\u00a0"),
    *("\u24d0", "\u24b6", "\u00bd", "\u2167", "a1b2", "a1*", '"a b"', '"a a b"', '"a b d"', "a a a", '"b c a b"'),
    *("x" * 900, "x" * 900 + "*", "y" * 500, "y" * 501, "y" * 500 + "*", "y" * 502, "\n", "\r\n", "\t", " ", "  "),
    *(
        "- word",
        "\u0301 word",
        '"\u0301" word',
        '_ "word"',
        "AND OR NOT",
        "NEAR(a b)",
        "title: river",
        "{title} : river",
    ),
    *(
        "lines and",
        '"lines and"',
        '"sea river"',
        '"title a"',
        '"title 0 a"',
        '"0 a river"',
        "-river",
        "^river",
        "river +",
    ),
)


class Both:
    """The same documents on both databases."""

    def __init__(self, *queues: Queue) -> None:
        self.queues = queues
        self.step_id = 0

    async def start(self) -> None:
        for queue in self.queues:
            await queue.start(StepPlan("one", "trial"))
            (self.step_id,) = await queue.plan_all("a")

    async def save(self, texts: Sequence[str], first: int = 0) -> None:
        documents = [
            Document(f"note:{number}", f"title {number}", text, ("file", "note")[number % 2], (f"t{number % 3}",))
            for number, text in enumerate(texts, first)
        ]
        for queue in self.queues:
            await queue.write(save_documents, self.step_id, [Saving(each) for each in documents])

    async def delete(self, *numbers: int) -> None:
        for queue in self.queues:
            await queue.write(delete_documents, [f"note:{number}" for number in numbers])

    def found(self, text: str) -> list[int]:
        """The ids in the order of the list, which is the same on both, as is everything else that it shows."""
        sqlite, postgres = (shown(queue.database, text) for queue in self.queues)
        assert sqlite == postgres, f"{text!r}"
        return [each[0] for each in sqlite[0]]


def shown(database: Database, text: str) -> tuple[list[Any], int, DocumentFacets]:
    """Every page of what is found, its number, and its facets."""
    documents: list[Any] = []
    cursor: str | None = None
    with Snapshot.of(database) as snapshot:
        while cursor or not documents:
            page, facets = snapshot.document_search(DocumentFilter(text=text), 40, cursor)
            documents += [(each.id, each.title, each.marked_title, each.excerpt) for each in page.documents]
            if not (cursor := page.next):
                break
    assert len(documents) == page.total
    return documents, page.total, facets


@pytest.fixture
async def both(tmp_path: Path, postgres_queue: str) -> AsyncIterator[Both]:
    databases = Database.in_directory(tmp_path), Database(postgres_queue)
    for database in databases:
        bring_up_to_date(database)
    both = Both(*map(Queue, databases))
    await both.start()
    yield both
    for queue in both.queues:
        await queue.write.close()
        assert audit.check(queue.database) == []
        queue.database.close()


async def test_both_databases_find_the_same(both: Both) -> None:
    await both.save(TEXTS)
    found = {text: both.found(text) for text in SEARCHES}
    assert found['"black sea"'] == [2, 1]
    assert found["uber"] == [4, 3]
    assert found['"sea river"'] == [2]
    assert found["=>"] == [16, 10]
    assert found['"0 a river"'] == []  # one half is in the title, the other in the body
    assert (found["y" * 501], found["y" * 500], found["y" * 500 + "*"]) == ([17], [17], [17])
    assert found["\u6771*"] == [6]
    await both.save(["a river no more", "the coast"], 1)
    await both.delete(0)
    for text in (each for each in SEARCHES if "river" in each):
        both.found(text)
    assert (both.found("river"), both.found('"black sea"')) == ([2], [])


async def test_hostile_texts_find_the_same_on_both(both: Both) -> None:
    await both.save([each.stored for each in CORPUS])
    for number, each in enumerate(CORPUS):
        also = (each.stored[:5], f'"{each.stored[:200]}"', f"{each.stored[:9]}*")[number % 3]
        both.found(also)
        if number % 3 == 0:
            both.found(each.stored[:1_000])


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEARCHES", "1"))))
async def test_whatever_is_typed_finds_the_same_on_both(both: Both, seed: int) -> None:
    """SEARCHES: how many sets of documents and searches."""
    chance = random.Random(seed)
    await both.save([some_text(chance, 60) for _ in range(60)])
    await both.save([some_text(chance, 60) for _ in range(10)], 20)
    assert sum(len(both.found(some_text(chance, 4) or "a")) for _ in range(30)) > 0


PIECES = (
    "a",
    "a",
    "b",
    "b",
    "c",
    "A",
    "\u00e9",
    "e\u0301",
    "\u00df",
    "\u4eac",
    "1",
    "_",
    "-",
    "=",
    ">",
    '"',
    "*",
    "\n",
)


def some_text(chance: random.Random, most: int) -> str:
    """Of few different words, so that many are found."""
    return " ".join("".join(chance.choices(PIECES, k=chance.randint(1, 4))) for _ in range(chance.randint(0, most)))


async def test_a_document_with_too_many_words_for_the_index_is_found(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_document_index, "MOST_BYTES", 100)
    await both.save(TEXTS)
    assert both.found('"black sea"') == [2, 1]
    for text in SEARCHES[::4]:
        both.found(text)


async def test_more_words_than_postgresql_can_index_are_stored_and_found(both: Both) -> None:
    await both.save([" ".join(f"word{number:x}" for number in range(120_000)), "word1ffff"])
    assert both.found("word1d000") == [1]
    assert both.found("word1*") == [2, 1]
    assert both.found('"word5 word6"') == [1]


async def test_a_copy_can_be_searched_there_and_back(
    both: Both, tmp_path: Path, another_postgres_database: str
) -> None:
    await both.save(TEXTS)
    source = both.queues[0].database
    (tmp_path / "back").mkdir()
    there, back = Database(another_postgres_database), Database.in_directory(tmp_path / "back")
    for one, other in ((source, there), (there, back)):
        assert list(copy(one, other))
        assert audit.check(other) == []
        for text in SEARCHES[::5]:
            assert shown(other, text) == shown(source, text)
    copied = Queue(there)
    await copied.write(save_documents, both.step_id, [Saving(Document("note:0", "title 0", "changed", "file"))])
    await copied.write.close()
    assert [each[0] for each in shown(there, "changed")[0]] == [1]
    there.close()
    back.close()


async def test_a_gap_in_the_index_is_told(both: Both) -> None:
    await both.save(["one", "two", "three"])
    database = both.queues[1].database
    with database.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM document_text WHERE document_id = 1")
        connection.exec_driver_sql("UPDATE document_text SET words = 'four' WHERE document_id = 2")
        connection.exec_driver_sql("UPDATE document_text SET plain = ' other ' WHERE document_id = 3")
    told = [f"document {number}: a search for its text does not find it" for number in (1, 2, 3)]
    assert audit.check(database) == told
    with database.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM document_text")
    bring_up_to_date(database)
    assert audit.check(database) == []


async def test_what_a_process_of_an_earlier_version_saves_is_indexed_at_the_next_start(both: Both) -> None:
    await both.save(["one", "two"])
    database = both.queues[1].database
    with database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE document SET body = 'three' WHERE id = 1")
        connection.exec_driver_sql(
            "INSERT INTO document (address, title, body, source_type, tags, details, content_hash, created_at,"
            " updated_at) VALUES ('x', 'x', 'three', 'x', '[]', '{}', '', 0, 0)"
        )
    assert shown(database, "one")[0] == shown(database, "three")[0] == []
    bring_up_to_date(database)
    assert [each[0] for each in shown(database, "three")[0]] == [3, 1]


def test_a_letter_is_what_the_index_of_sqlite_makes_of_it() -> None:
    text = "\u00dcber-Caf\u00e9 e\u0301 \u1e9e x_y \u4eac\u90fd"
    assert words_of(text) == ["uber", "cafe", "e", "\u00df", "x", "y", "\u4eac\u90fd"]
    assert words_of("") == words_of("\u0301 -") == []
