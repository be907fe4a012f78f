"""Ten thousand documents are searched, narrowed down and read like a few, on both databases."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import httpx
import pytest
import sqlalchemy as sa

from app.queue.database import Database
from app.queue.documents import Document
from app.queue.run_plan import RunPlan, StepPlan
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import DocumentFilter, Snapshot
from app.queue.store.documents import Saving, save_documents
from app.queue.store.plan import claim_plans
from app.queue.store.start import start
from app.queue.writer import Writer
from tests.bench.rig import median_of, show
from tests.stepglass import COMMAND, serving

BATCH, WORDS_EACH, VOCABULARY = 500, 400, 20_000
SEARCHES = ("river", "word1", "every", "word199*", "word7 word9", '"word1 word2"', "word19999", "none-like-it", "=>")
PAGES = (
    "/documents",
    "/documents?q=every",
    "/documents?q=word1+word2&tag=t3&source_type=page",
    "/documents?tag=t1&tag=t2",
    "/documents?category=test&manager_id=1",
    "/documents/{middle}",
    "/api/documents?q=every",
)


@pytest.mark.parametrize("documents", [1_000, 10_000])
def test_documents(tmp_path: Path, documents: int) -> None:
    """Targets: a search under 50 ms, its page under 100 ms."""
    asyncio.run(_measure(Database.in_directory(tmp_path), documents, lambda text: _floor(tmp_path, text)))
    _measure_pages(tmp_path, documents)


@pytest.mark.parametrize("documents", [1_000, 10_000])
def test_documents_on_postgres(tmp_path: Path, postgres_database: str, documents: int) -> None:
    """The same targets."""
    database = Database(postgres_database)
    asyncio.run(_measure(database, documents, lambda text: _postgres_floor(postgres_database, text)))
    _measure_pages(tmp_path, documents, "--database", postgres_database.replace("+psycopg", ""))


def _measure_pages(folder: Path, documents: int, *arguments: str) -> None:
    where = " on PostgreSQL" if arguments else ""
    with (
        serving(folder, *arguments, program=COMMAND) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        for path in (each.format(middle=documents // 2) for each in PAGES):
            _time(client, path)
            figure, all_of_them = median_of(9, lambda _, path=path: _time(client, path))  # type: ignore[misc]
            show(f"{documents:,} documents{where}, {path}", figure, "ms", all_of_them, "target 100")


async def _measure(database: Database, documents: int, floor_of: Callable[[str], float]) -> None:
    where = "" if database.is_sqlite else " on PostgreSQL"
    bring_up_to_date(database)
    await _write(database, documents)
    for text in SEARCHES:
        figure, all_of_them = median_of(9, lambda _, text=text: _search(database, text))  # type: ignore[misc]
        floor, _ = median_of(9, lambda _, text=text: floor_of(text))  # type: ignore[misc]
        beside = f"the index alone {floor:.3g} ms, {figure / floor:.2g} times; target 50"
        show(f"{documents:,} documents{where}, search {text!r}", figure, "ms", all_of_them, beside)
    database.close()


async def _write(database: Database, documents: int) -> None:
    write = Writer(database, lambda _: None)
    await write(start, RunPlan("bench", "Bench", (StepPlan("one", "trial"),)))
    (planned,) = await write(claim_plans, 1)
    chance = random.Random(7)
    words = [f"word{number}" for number in range(VOCABULARY)]
    weights = [1 / (number + 1) for number in range(VOCABULARY)]
    began = perf_counter()
    for first in range(0, documents, BATCH):
        numbers = range(first, min(first + BATCH, documents))
        bodies = (" ".join(chance.choices(words, weights, k=WORDS_EACH)) for _ in numbers)
        savings = [Saving(_document(number, body)) for number, body in zip(numbers, bodies, strict=True)]
        await write(save_documents, planned.step.step_id, savings)
    where = "" if database.is_sqlite else " on PostgreSQL"
    show(f"{documents:,} documents written{where}", documents / (perf_counter() - began), "per second")
    await write.close()


def _document(number: int, body: str) -> Document:
    tags = tuple(f"t{each}" for each in range(1, 40) if number % each == 0)
    facts = {"trial": {"category": ("test", "docs", "source")[number % 3]}}
    river = " by the river" if number % 100 == 0 else ""
    kind = ("file", "page", "note")[number % 7 % 3]
    return Document(f"note:{number}", f"Document {number}{river}", f"{body} every a => b", kind, tags, facts)


def _search(database: Database, text: str) -> float:
    """Milliseconds for the first page of what is found, its total and its facets."""
    began = perf_counter()
    with Snapshot.of(database) as snapshot:
        snapshot.document_search(DocumentFilter(text=text), 50)
    return (perf_counter() - began) * 1000


def _floor(folder: Path, text: str) -> float:
    """Milliseconds for the number of what is found, without anything of ours."""
    connection = sqlite3.connect(folder / "stepglass.db")
    query = f'"{text.strip(chr(34))}"'
    began = perf_counter()
    connection.execute("SELECT count(*) FROM document_text WHERE document_text MATCH ?", [query]).fetchone()
    milliseconds = (perf_counter() - began) * 1000
    connection.close()
    return milliseconds


def _postgres_floor(url: str, text: str) -> float:
    """The same, by what PostgreSQL's own search makes of that text."""
    engine = sa.create_engine(url)
    asked = "CAST(:word AS tsquery)" if "=" in text else "plainto_tsquery('simple', :word)"
    query = sa.text(f"SELECT count(*) FROM document_text WHERE words @@ (SELECT {asked})")  # noqa: S608  our own
    with engine.connect() as connection:
        began = perf_counter()
        connection.execute(query, {"word": "'=>'" if "=" in text else text}).scalar_one()
        milliseconds = (perf_counter() - began) * 1000
    engine.dispose()
    return milliseconds


def _time(client: httpx.Client, path: str) -> float:
    began = perf_counter()
    client.get(path, headers={"Accept-Encoding": "identity"}).raise_for_status()
    return (perf_counter() - began) * 1000
