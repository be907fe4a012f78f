"""Documents are found by what they say and what is said of them, alike on both databases; facets count what they lead
to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.queue import audit
from app.queue.changes import DocumentsChanged
from app.queue.database import Database
from app.queue.document_text import Marker
from app.queue.documents import Document
from app.queue.run_plan import StepPlan
from app.queue.schema import bring_up_to_date, migrate
from app.queue.snapshot import DocumentFilter, Snapshot, UnknownDocument
from app.queue.store.delete import delete_run
from app.queue.store.documents import Saving, delete_documents, save_documents
from tests.hostile import CORPUS
from tests.queue.conftest import Queue


def note(title: str, body: str = "", *tags: str, source_type: str = "note", category: str = "") -> Document:
    facts = {"trial": {"category": category}} if category else {}
    return Document(f"note:{title}", title, body, source_type, tags, facts)


async def saved(queue: Queue, *documents: Document) -> int:
    """Saved by a step of a run; returns the step's id."""
    await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all("a")
    await queue.write(save_documents, step_id, [Saving(each) for each in documents])
    return step_id


def titles(queue: Queue, text: str | None = None, **rest: Any) -> list[str]:
    page = queue.read(lambda snapshot: snapshot.documents(DocumentFilter(text=text, **rest), 100))
    assert page.total == len(page.documents)
    return [each.title for each in page.documents]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("river", ["Danube", "Rhine"]),
        ("RIVER danube", ["Danube"]),
        ("riv*", ["Danube", "Rhine"]),
        ("riv", []),
        ("*iver", []),
        ("*", []),
        ("a", ["Rhine", "Danube"]),
        ('"black sea"', ["Danube"]),
        ('"sea black"', []),
        ('"black se"', []),
        ("black-se*", ["Danube"]),
        ('"black sea', ["Danube"]),
        ("black-sea", ["Danube"]),
        ("rhine", ["Rhine"]),
        ("src/main.py", ["Code"]),
        ("main_function", ["Code"]),
        ("=>", ["Code"]),
        ("100%", ["Code"]),
        ("%", ["Code"]),
        ("nothing like it", []),
        ('"', []),
    ],
)
async def test_words_of_title_and_body_are_found(queue: Queue, text: str, found: list[str]) -> None:
    await saved(
        queue,
        note("Danube", "A river that ends in the Black Sea."),
        note("Rhine", "A River that ends in the\nNorth Sea: a long one"),
        note("Code", "src/main.py: def main_function(): 100% => done"),
    )
    assert sorted(titles(queue, text)) == sorted(found)


async def test_what_is_changed_or_removed_is_found_as_it_is_now(queue: Queue) -> None:
    step_id = await saved(queue, note("one", "apple"), note("two", "pear"))
    await queue.write(save_documents, step_id, [Saving(note("one", "cherry", "red"))])
    assert (titles(queue, "apple"), titles(queue, "cherry")) == ([], ["one"])
    await queue.write(delete_documents, ["note:one"])
    assert (titles(queue, "cherry"), titles(queue, "pear")) == ([], ["two"])
    if queue.database.is_sqlite:
        with queue.database.writing.begin() as connection:  # raises if the index holds anything else
            connection.exec_driver_sql("INSERT INTO document_text (document_text, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize("length", [3, 1_000])
async def test_whatever_is_searched_for_is_no_command(queue: Queue, length: int) -> None:
    """And every hostile string finds itself."""
    await saved(queue, *(note(f"n{number}", each.stored) for number, each in enumerate(CORPUS)))
    for number, hostile in enumerate(CORPUS):
        found = titles(queue, hostile.stored[:length])
        assert len(hostile.stored) > length or f"n{number}" in found, hostile.name


async def test_a_filter_asks_for_all_of_it(queue: Queue) -> None:
    await saved(
        queue,
        note("one", "text", "red", "blue", category="test"),
        note("two", "text", "red", source_type="page", category="docs"),
        note("three", "other", "red", "blue"),
    )
    assert titles(queue, tags=("red",)) == ["three", "two", "one"]
    assert titles(queue, tags=("red", "blue")) == ["three", "one"]
    assert titles(queue, "text", tags=("blue",)) == ["one"]
    assert titles(queue, source_type="page") == ["two"]
    assert titles(queue, category="test", manager_id=1) == ["one"]
    assert titles(queue, category="test", manager_id=99) == []
    made = queue.read(lambda snapshot: snapshot.document(1)).created_at
    assert titles(queue, since=made, until=made + 1) == ["three", "two", "one"]
    assert titles(queue, since=made + 1) == titles(queue, until=made) == []


async def test_facets_count_what_they_lead_to(queue: Queue) -> None:
    kinds = ("file", "page", "note")
    documents = [
        note(
            f"number {number}",
            "even" if number % 2 == 0 else "odd",
            *(f"t{each}" for each in range(1, 6) if number % each == 0),
            source_type=kinds[number % 3],
            category=("", "test", "docs")[number % 3],
        )
        for number in range(60)
    ]
    await saved(queue, *documents)
    for matching in (
        DocumentFilter(),
        DocumentFilter(text="even"),
        DocumentFilter(manager_id=1, tags=("t3",)),
        DocumentFilter(step_id=2),
        DocumentFilter(text="odd", source_type="page"),
        DocumentFilter(text="nothing like it"),
    ):
        page, found = queue.read(lambda snapshot: snapshot.document_search(matching, 1))  # noqa: B023
        narrower = [
            *((each.number, replace(matching, source_type=each.name)) for each in found.source_types),
            *((each.number, replace(matching, category=each.name)) for each in found.categories),
            *((each.number, replace(matching, tags=(*matching.tags, each.name))) for each in found.tags),
        ]
        for number, filtered in narrower:
            assert queue.read(lambda snapshot: snapshot.documents(filtered, 1)).total == number  # noqa: B023
        assert sum(each.number for each in found.source_types) == page.total
        assert found.tag_total == len(found.tags)


async def test_a_document_outlives_the_names_of_those_who_made_it(queue: Queue) -> None:
    step_id = await saved(queue, note("one"))
    (item,) = await queue.claim(step_id)
    await queue.write(save_documents, step_id, [Saving(note("one", "changed"), item.id)])
    found = queue.read(lambda snapshot: snapshot.document(1))
    assert found.made_by and (found.made_by.step_name, found.made_by.worker_id) == ("one", None)
    assert found.changed_by and found.changed_by.worker_name == "a"
    await queue.complete(item)
    await queue.write(delete_run, 1, 1)
    found = queue.read(lambda snapshot: snapshot.document(1))
    assert (found.made_by, found.changed_by) == (None, None)
    listed = queue.read(lambda snapshot: snapshot.documents(DocumentFilter(), 10)).documents[0]
    assert (listed.step_name, listed.manager_id) == (None, None)
    assert titles(queue, manager_id=1) == []
    await queue.write(delete_documents, ["note:one"])
    assert DocumentsChanged(frozenset({1})) in queue.commits[-1].changes
    with pytest.raises(UnknownDocument):
        queue.read(lambda snapshot: snapshot.document(1))


def test_stored_documents_are_found_after_a_migration(old_database: Database) -> None:
    migrate(old_database, "0004")
    with old_database.writing.begin() as connection:
        for number in range(1_201):
            values = {"title": f"t{number}", "details": '{"x": {"category": "test"}}' if number == 700 else "{}"}
            connection.execute(sa.text(OLD_DOCUMENT), values)
    bring_up_to_date(old_database)
    with Snapshot.of(old_database) as snapshot:
        assert snapshot.documents(DocumentFilter(text="t1200"), 5).total == 1
        assert [each.title for each in snapshot.documents(DocumentFilter(category="test"), 5).documents] == ["t700"]
    assert [drift for drift in audit.check(old_database) if drift.startswith("document")] == []


OLD_DOCUMENT = """
INSERT INTO document (address, title, body, source_type, tags, details, content_hash, created_at, updated_at)
VALUES (:title, :title, 'text', 'x', '[]', :details, '', 0, 0)
"""


@pytest.fixture
def old_database(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if backend == "sqlite":
        made = Database.in_directory(tmp_path)
    else:
        made = Database(request.getfixturevalue("postgres_database"))
    request.addfinalizer(made.close)
    return made


@pytest.mark.parametrize(
    ("text", "wanted", "marked"),
    [
        ("the quick brown fox", "quic* fox", ["quick", "fox"]),
        ("a_b c", "b", ["b"]),
        ("Über den Café", "uber cafe", ["Über", "Café"]),
        ("black   -   sea", '"black sea"', ["black   -   sea"]),
        ("x => y", "=>", ["=>"]),
        ("nothing", "other", []),
    ],
)
def test_words_are_marked_where_they_stand(text: str, wanted: str, marked: list[str]) -> None:
    parts = Marker(wanted).marked(text)
    assert "".join(part for part, _ in parts) == text
    assert [part for part, is_marked in parts if is_marked] == marked


def test_an_excerpt_shows_the_first_word_found_and_is_short() -> None:
    text = "word " * 1_000 + "needle" + " word" * 1_000
    excerpt = Marker("needle").excerpt(text)
    assert ("needle", True) in excerpt
    assert (excerpt[0], excerpt[-1]) == (("… ", False), (" …", False))
    assert sum(len(part) for part, _ in excerpt) < 300
    assert Marker("absent").excerpt(text) == ()
