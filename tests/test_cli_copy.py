"""stepglass copy: whoever looks at the copy sees what stood in the original, under the same links; and back."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import sqlalchemy as sa
from click.testing import CliRunner
from litestar.testing import TestClient

from app.cli import cli
from app.main import create_app
from app.queue.actor import Actor, Place
from app.queue.database import Database
from app.queue.documents import Document
from app.queue.pauses import Scope
from app.queue.run_plan import StepPlan
from app.queue.store.claim import release
from app.queue.store.documents import Saving, save_documents
from app.queue.store.logging import Line, log
from app.queue.store.pause import pause_as
from app.settings import Settings
from tests.databases import put_new_file
from tests.queue.conftest import Queue

FIRST = ("/queue", "/jobs", "/jobs/1/log", "/documents", "/documents?q=river", "/definitions")
LINK = re.compile(r'href="(/(?:jobs|documents)/[0-9]+)"')


async def fill(data: Path) -> None:
    """A step that is over, with a failure, lines and documents; one that waits; and the queue is paused."""
    put_new_file(data)
    queue = Queue(Database.in_directory(data))
    steps = (StepPlan("one", "trial"), StepPlan("two", "trial", depends=("one",)))
    for definition in ("over", "waits"):
        await queue.start(*steps, definition=definition, tags=("ä",))
    over, waits = await queue.plan_all("a", "b", "c")
    first, second, third = await queue.claim(over)
    await queue.write(log, [Line(over, first.id, 1.5, "warn", f"line {number} \x1b[31m<b>") for number in range(60)])
    savings = [
        Saving(Document(f"note:{n}", f"Note {n}", f"A rïver & {n}", "text", tags=("t",)), first.id) for n in range(3)
    ]
    await queue.write(save_documents, over, savings)
    await queue.complete(first, second, result={"b": [1, 2.5, None]})
    await queue.fail(third, permanent=True)
    (item,) = await queue.claim(waits, 1)
    await queue.write(release, waits, [(item.id, item.attempt)])
    await queue.write(pause_as, Scope(), Actor(Place.COMMAND_LINE))
    await queue.write.close()
    queue.database.close()


def shown(data: Path, database: str = "") -> dict[str, str]:
    """Every page of the queue, and of each job and document that there is a link to, by its address."""
    pages: dict[str, str] = {}
    with TestClient(create_app(Settings(data=data, database=database, slots=0)), base_url="http://127.0.0.1") as client:
        paths = list(FIRST)
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, path
            pages[path] = answer.text
            paths += dict.fromkeys(link for link in LINK.findall(answer.text) if link not in paths)
    return pages


def test_the_pages_of_a_copy_are_those_of_the_original_there_and_back(tmp_path: Path, postgres_database: str) -> None:
    (data := tmp_path / "data").mkdir()
    asyncio.run(fill(data))
    address = sa.make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    for command in (
        ("--data", data, "--to", address),
        ("--database", address, "--to", tmp_path / "back"),
    ):
        ran = CliRunner().invoke(cli, ["copy", *map(str, command)], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        assert "document: 3 rows" in ran.output and "everything has arrived, and everything agrees" in ran.output
    pages = shown(data)
    assert {"/jobs/1", "/documents/1"} < pages.keys() and "Note 2" in pages["/documents?q=river"]
    for copied in (shown(tmp_path / "web", postgres_database), shown(tmp_path / "back")):
        assert copied.keys() == pages.keys()
        for path, page in pages.items():
            assert copied[path] == page, path
