"""The page of the server itself: what it says, that it says no secrets, and that it asks the database nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from litestar.testing import TestClient

from app import __version__
from app.main import create_app
from app.queue.changes import LogGrew, ScheduleChanged, StepChanged
from app.queue.database import Database
from app.queue.engine import settle_engine
from app.queue.status import Status
from app.queue.storage import Trouble
from app.queue.storage_faults import Fault
from app.settings import Settings, source_of, variable
from app.web import system_facts
from app.web.access import Access
from app.web.live.hub import Live
from app.web.system_facts import DatabaseFacts, SlotFacts, SystemFacts, nothing_known, setting_facts
from app.web.system_view import SystemView, size
from app.web.templating import environment
from tests.stepglass import definitions
from tests.web.stage import Stage, open_access
from tests.web.test_hub import Reader

OWN_STEPS = """
from app.work.step_type import Settings, StepType, WorkItem

class Nap(StepType[Settings]):
    name = "nap"
    summary = "Does <b>nothing</b>."
    settings_type = Settings
    def plan(self, context):
        yield WorkItem("only")
    async def run(self, context, item):
        pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[TestClient[Any]]:
    own = definitions(folder / "definitions")
    text = (own / "quick.toml").read_text()
    (own / "hourly.toml").write_text(text.replace("quick", "hourly") + '[schedule]\ncron = "0 3 1 1 *"\n')
    (folder / "own_nap.py").write_text(OWN_STEPS)
    (folder / "own_broken.py").write_text("\nraise RuntimeError('out of <order>')\n")
    steps = (folder / "own_nap.py", folder / "own_broken.py")
    settings = Settings(data=folder / "data", definitions=(own,), steps=steps, slots=3)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        client.get("/definitions")  # by now the schedules are followed
        yield client
    sys.path.remove(str(folder))
    del sys.modules["own_nap"]


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_page_says_what_the_server_is(site: TestClient[Any], folder: Path) -> None:
    page = site.get("/system").text
    text = text_of(page)
    assert f"Version Stepglass {__version__}" in text
    assert f"Place SQLite {folder / 'data' / 'stepglass.db'}" in text
    assert "journal WAL, synchronous NORMAL" in text
    assert re.search(r"Size [\d.]+ KiB, and [\d.,]+ (KiB|bytes|MiB) in its write-ahead log", text)
    assert "Writer 0 operations waiting; last commit" in text
    assert "0 of 3 taken" in text
    assert "1 followed; next is hourly at 1 Jan" in text
    assert '<a href="/system">System</a>' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert 'hx-sse:connect="/system/stream?since=' in page


def test_step_types_are_listed_with_where_they_are_from_and_what_could_not_be_loaded(
    site: TestClient[Any], folder: Path
) -> None:
    page = site.get("/system").text
    assert f"nap Does &lt;b&gt;nothing&lt;/b&gt;. {folder / 'own_nap.py'}" in text_of(page)
    assert re.search(r"code_map .* bundled", text_of(page))
    assert f"could not be loaded: {folder / 'own_broken.py'}:2 RuntimeError: out of &lt;order&gt;" in text_of(page)


def test_it_says_what_runs_in_the_slots(site: TestClient[Any]) -> None:
    run = site.post("/api/jobs", json={"definition": "endless"}).json()["job_id"]
    running: list[Any] = []
    while not running:
        running = site.get("/api/system").json()["system"]["slots"]["running"]
    page = site.get("/system").text
    site.post(f"/api/jobs/{run}/cancellation")
    assert [(each["run_id"], each["step_name"]) for each in running] == [(run, "work")]
    assert f'href="/jobs/{running[0]["job_id"]}"' in page
    assert "1 of 3 taken" in text_of(page)


def test_programs_read_the_same(site: TestClient[Any], folder: Path) -> None:
    answer = site.get("/api/system").json()
    system = answer["system"]
    assert answer["uptime"] >= 0
    assert system["version"] == __version__
    assert system["data_directory"] == str(folder / "data")
    assert system["database"]["size"] > 0
    assert system["schedules"]["next_definition"] == "hourly"
    assert [trouble["place"] for trouble in system["step_type_troubles"]] == [f"{folder / 'own_broken.py'}:2"]
    assert {each["name"] for each in system["settings"]} == {each.name for each in dataclasses.fields(Settings)}


def test_a_database_that_cannot_be_written_is_told(site: TestClient[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble(Fault.FULL, "disk full & <more>", 0.0)
    monkeypatch.setattr(site.app.state.access.writer.storage, "trouble", trouble)
    assert "disk full &amp; &lt;more&gt;; make room" in site.get("/system").text
    assert site.get("/api/system").json()["system"]["writer"]["trouble"] == str(trouble)


def test_the_facts_ask_the_database_nothing(site: TestClient[Any]) -> None:
    access = site.app.state.access
    asked: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    for engine in (access.database.reading, access.database.writing):
        sa.event.listen(engine, "before_cursor_execute", hear)
    site.get("/api/system")
    assert asked == []


def test_the_page_is_painted_anew_when_something_changes_and_not_for_every_line() -> None:
    view = SystemView(nothing_known)
    assert view.concerns(StepChanged(1, 2, "s", Status.RUNNING))
    assert view.concerns(ScheduleChanged("d"))
    assert not view.concerns(LogGrew(1, 2, "s", Status.RUNNING))
    assert view == SystemView(lambda: nothing_known())


async def test_an_open_page_is_painted_anew_after_a_change_and_asks_nothing_without_one(
    stage: Stage, live: Live
) -> None:
    slots = 1

    def facts() -> SystemFacts:
        return msgspec.structs.replace(nothing_known(), slots=SlotFacts(total=slots), streams=live.streams)

    reader = Reader(live.subscribe(SystemView(facts), None, None))
    assert "0 of 1 taken" in await reader.next()
    reads = stage.access.reads
    await asyncio.sleep(0)
    assert stage.access.reads == reads
    slots = 2
    await stage.start(["one"])
    message = await reader.next()
    assert "0 of 2 taken" in message
    assert "Step types" not in message


async def test_who_hands_out_the_work_is_shown_on_postgresql(tmp_path: Path, postgres_queue: str) -> None:
    facts = msgspec.structs.replace(nothing_known(), database=DatabaseFacts("PostgreSQL"))

    async def shown(access: Access) -> str:
        easel = Live(access, environment(), heartbeat=3600).easel
        return text_of(await access.read(lambda snapshot: SystemView(lambda: facts).paint(easel, snapshot).view.html))

    async with open_access(tmp_path, postgres_queue) as access:
        assert "embedded each process claims what it hears of" in await shown(access)
        settle_engine(access.database, "procrastinate")
        assert "0 waiting, 0 for later, 0 drawn" in await shown(access)
        with access.database.writing.begin() as connection:
            connection.exec_driver_sql(TICKETS)
        page = await shown(access)
        assert "2 waiting, 1 for later, 1 drawn" in page
        assert "none had to be given back" in page
        with access.database.writing.begin() as connection:
            connection.exec_driver_sql("INSERT INTO last_rescue (at, tickets) VALUES ('2026-03-01 12:00', 3)")
        assert "3 that a dead process had drawn were given back" in await shown(access)


TICKETS = """
INSERT INTO stepglass_engine.procrastinate_jobs (queue_name, task_name, status, scheduled_at) VALUES
    ('a', 'a', 'todo', NULL), ('a', 'a', 'todo', now() - interval '1 s'), ('a', 'a', 'todo', now() + interval '1 day'),
    ('a', 'a', 'doing', NULL)
"""


def test_settings_say_where_they_come_from(tmp_path: Path) -> None:
    environment = {"STEPGLASS_SLOTS": "5", "STEPGLASS_PORT": "9000", "STEPGLASS_GRACE": "nonsense"}
    settings = Settings(slots=5, port=9001, data=tmp_path)
    sources = {name: source_of(settings, name, environment) for name in ("slots", "port", "data", "host", "grace")}
    assert sources == {
        "slots": variable("slots"),
        "port": "the command line",
        "data": "the command line",
        "host": "default",
        "grace": "the command line",
    }


def test_secrets_are_not_said() -> None:
    assert system_facts._shown("model_key", "sk-12345") == "(hidden)"
    assert system_facts._shown("endpoint", "https://me:secret@host/v1") == "https://(hidden)@host/v1"
    url = "postgresql+psycopg://ann:secret@db/queue?sslmode=require&password=secret"
    assert system_facts._shown("database", url) == "postgresql://(hidden)@db/queue?sslmode=require"
    assert str(Database(url)) == "postgresql://ann:***@db/queue?sslmode=require"
    settings = Settings(embedding_sites=("https://a", "https://b"))
    shown = {each.name: each.value for each in setting_facts(settings, {})}
    assert shown["embedding_sites"] == "https://a,https://b"
    assert shown["steps"] == ""


def test_sizes_are_told_in_units_that_people_read() -> None:
    assert [size(number) for number in (None, 0, 1023, 1024, 5 * 1024**3)] == [
        "unknown",
        "0 bytes",
        "1,023 bytes",
        "1.0 KiB",
        "5.0 GiB",
    ]
