"""Step types of one's own, as a user has them: named on the command line, and run."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from app.work.step_type import Cancelled
from tests.stepglass import serving, stepglass

PAGE = (Path(__file__).parent.parent / "docs" / "step_types.md").read_text()
GREET, WORD_COUNT, FETCH, BUILD = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
GREETING = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)

COUNTING = """
id = "counting"
[parameters.folder]
type = "folder"
[step.count]
type = "word_count"
folder = "{folder}"
"""


def test_the_ten_lines_of_the_documentation_are_a_working_step_type(tmp_path: Path) -> None:
    assert GREETING and len([line for line in GREET.splitlines() if line]) == 10
    (tmp_path / "greet.py").write_text(GREET)
    (tmp_path / "greeting.toml").write_text(GREETING[1])
    data = ["--data", tmp_path / "data", "--steps", tmp_path / "greet.py"]
    ran = stepglass("run", tmp_path / "greeting.toml", *data)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "greet completed: the only work item succeeded" in ran.stdout


def test_the_longer_example_works_too_and_is_found_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(WORD_COUNT)
    (tmp_path / "counting.toml").write_text(COUNTING)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one two, one")
    (tmp_path / "texts" / "b.txt").write_text("x" * 100_001)
    where = ["--data", tmp_path / "data", "--set", f"folder={tmp_path / 'texts'}", "--json"]
    ran = stepglass("run", tmp_path / "counting.toml", *where, STEPGLASS_STEPS=str(tmp_path / "words.py"))
    told = json.loads(ran.stdout)
    counts = told["steps"][0]["counts"]
    assert (counts["completed"], counts["failed"]) == (1, 1), ran.stdout
    assert "it is longer than 100,000 bytes" in ran.stdout


def test_a_broken_file_is_told_by_the_check_and_the_server_works_without_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys\n\nraise RuntimeError('out of order')\n")
    (tmp_path / "greet.py").write_text(GREET)
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    assert GREETING
    (definitions / "greeting.toml").write_text(GREETING[1])
    both = f"{broken}:{tmp_path / 'greet.py'}"
    checked = stepglass("definitions", "check", definitions / "greeting.toml", "--steps", both)
    assert checked.returncode == 2
    assert checked.stdout.splitlines() == [
        f"{broken}:3: RuntimeError: out of order",
        f"{definitions / 'greeting.toml'}: valid, 1 step",
    ]
    with serving(tmp_path / "data", "--definitions", definitions, "--steps", both) as server:
        found = httpx.get(f"{server.url}/api/definitions/greeting", trust_env=False).json()
    assert found["definition"]["valid"]
    logged = capfd.readouterr().err
    assert "step types could not be loaded" in logged and "broken.py:3" in logged


def test_a_path_without_steps_is_refused(tmp_path: Path) -> None:
    ran = stepglass("definitions", "check", "x.toml", "--steps", tmp_path)
    assert ran.returncode == 2 and "must be Python files or packages" in " ".join(ran.stderr.split())


def test_the_example_that_fails_says_when_it_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "fetch.py").write_text(FETCH)
    (tmp_path / "fetching.toml").write_text(
        'id = "fetching"\n[step.fetch]\ntype = "fetch"\n[step.fetch.retry]\nattempts = 1\n'
    )
    steps = ["--data", tmp_path / "data", "--steps", tmp_path / "fetch.py"]
    ran = stepglass("run", tmp_path / "fetching.toml", *steps)
    assert ran.returncode == 1 and "it is busy" in ran.stdout


def test_the_example_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "build.py").write_text(BUILD)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folders: list[Path] = []
    said: list[tuple[str, str]] = []

    def interrupted(line: list[str], check: bool) -> None:
        folders.extend((tmp_path / "temporary").iterdir())
        raise Cancelled

    monkeypatch.setattr(subprocess, "run", interrupted)
    build = runpy.run_path(str(tmp_path / "build.py"))["Build"]()
    with pytest.raises(Cancelled):
        build.run(SimpleNamespace(log=lambda *line: said.append(line)), None)
    assert (len(folders), list((tmp_path / "temporary").iterdir())) == (1, [])
    assert said == [("stopped while building", "warn")]
