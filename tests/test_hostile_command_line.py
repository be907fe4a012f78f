"""What comes in on the command line and through the API is refused or taken, never a fault; terminals show it plain."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from rich.console import Console

from app.cli.picture import picture
from app.cli.progress import PlainProgress
from app.cli.terminal_text import plain
from app.main import create_app
from app.queue.database import Database
from app.queue.schema import bring_up_to_date
from app.queue.snapshot import LogFilter, Snapshot
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Writer
from app.settings import Settings
from app.web.api import read_tree
from app.web.json_shapes import Line, Tree
from tests.hostile import CORPUS, play, start_run
from tests.stepglass import definitions, serving, stepglass

TAKES_ANYTHING = """
id = "takes_anything"
concurrency = 1000
[parameters.text]
default = ""
[parameters.whole]
type = "integer"
default = 1
[parameters.number]
type = "number"
default = 1
[parameters.folder]
type = "folder"
default = "/"
[step.a]
type = "test_job_generator"
worker_count = 0
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    directory = tmp_path_factory.mktemp("hostile_api")
    (directory / "definitions").mkdir()
    (directory / "definitions" / "takes_anything.toml").write_text(TAKES_ANYTHING)
    settings = Settings(data=directory / "data", definitions=(directory / "definitions",))
    with TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def test_every_string_is_taken_or_refused_wherever_a_run_is_started(client: TestClient[Any]) -> None:
    for each in CORPUS:
        for body in (
            {"definition": "takes_anything", "parameters": {"text": each.stored}},
            {
                "definition": "takes_anything",
                "parameters": {"folder": each.text, "whole": each.text, "number": each.text},
            },
            {"definition": "takes_anything", "parameters": {each.text: [each.text], "text": {each.text: 1}}},
            {"definition": each.text, "parameters": {}},
            {"definition": f"/{each.text}.toml"},
        ):
            answer = client.post("/api/jobs", content=json.dumps(body), headers={"content-type": "application/json"})
            assert answer.status_code in (202, 400, 404, 422), (each.name, body, answer.text)
            assert answer.status_code != 202 or client.get(answer.json()["url"]).status_code == 200, each.name


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"definition": "takes_anything", "parameters": {"text": "\xff"}}', "not UTF-8"),
        (b'{"definition": ' + b"[" * 100_000, "too much nested"),
        (b'{"definition": "takes_anything", "parameters": {"text": ' + b"[" * 900 + b"]" * 900 + b"}}", "text"),
        (b'{"definition": "takes_anything", "parameters": {"whole": ' + b"9" * 30 + b"}}", "must be an integer"),
        (b'{"definition": "takes_anything", "parameters": {"number": ' + b"9" * 400 + b"}}", "must be a number"),
        (b'{"definition": "takes_anything", "parameters": {"folder": "' + b"a" * 5000 + b'"}}', "cannot be followed"),
        (b'{"definition": "/a\\u0000.toml"}', "null character"),
    ],
)
def test_a_body_that_no_decoder_expects_is_refused(client: TestClient[Any], body: bytes, says: str) -> None:
    answer = client.post("/api/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert says in answer.json()["detail"]


def test_a_folder_behind_a_link_with_a_name_that_is_no_text_is_refused(client: TestClient[Any], tmp_path: Path) -> None:
    odd = tmp_path / b"od\xff".decode("utf-8", "surrogateescape")
    odd.mkdir()
    (tmp_path / "link").symlink_to(odd)
    body = {"definition": "takes_anything", "parameters": {"folder": str(tmp_path / "link")}}
    answer = client.post("/api/jobs", json=body)
    assert (answer.status_code, "valid characters" in answer.text) == (422, True)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Tree, list[Line]]]:
    """A followed run for each string, with the newest lines of its log."""

    async def played() -> list[tuple[Tree, list[Line]]]:
        database = Database.in_directory(tmp_path_factory.mktemp("hostile_terminal"))
        bring_up_to_date(database)
        write = Writer(database, StepMonitor().hear)
        runs = []
        for each in CORPUS:
            runs.append(await start_run(write, each.stored))
            await play(write, each.stored, runs[-1])
        with Snapshot.of(database) as snapshot:
            found = [
                (read_tree(snapshot, run), [*map(Line.of, snapshot.log(LogFilter(manager_id=run), 8).lines)])
                for run in runs
            ]
        await write.close()
        database.close()
        return found

    return asyncio.run(played())


def test_a_terminal_gets_nothing_that_acts(
    trees: list[tuple[Tree, list[Line]]], capsys: pytest.CaptureFixture[str]
) -> None:
    for tree, tail in trees:
        shown = io.StringIO()
        Console(file=shown, force_terminal=False, width=200).print(picture(tree, tail))
        progress = PlainProgress()
        progress.show(tree, tail)
        progress.end(tree)
        for text in (shown.getvalue(), capsys.readouterr().out):
            assert all(line.isprintable() for line in text.split("\n")), tree.job.name
        assert plain(tree.job.name)[:60] in shown.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a\x1b[2Jb"],
        ["../jobs"],
        ["a?b#c"],
        ["~nobody/x.toml"],
        [b"a\xff".decode("utf-8", "surrogateescape")],
        ["quick", "--set", "a\x1b[2Jb=\x1b]52;c;x\x07"],
        ["codebase_classify", "--set", "folder=~nobody/\x1b[2J"],
        ["codebase_classify", "--set", b"folder=\xff".decode("utf-8", "surrogateescape")],
    ],
)
@pytest.mark.parametrize("is_there", [False, True], ids=["here", "in the server"])
def test_odd_arguments_are_refused_in_plain_words(
    request: pytest.FixtureRequest, tmp_path: Path, arguments: list[str], is_there: bool
) -> None:
    if is_there:
        where: tuple[str | Path, ...] = ("--data", request.getfixturevalue("served_data"))
    else:
        where = ("--data", tmp_path / "data", "--definitions", definitions(tmp_path / "definitions"))
    ran = stepglass("run", *arguments, *where)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert all(line.isprintable() for line in (ran.stderr + ran.stdout).split("\n"))


@pytest.fixture(scope="module")
def served_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory that a server owns."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder / "data", "--definitions", definitions(folder / "definitions")):
        yield folder / "data"
