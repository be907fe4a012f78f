"""stepglass check, stepglass definitions check, and what the command says of itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from app import __version__
from tests.stepglass import COMMAND, definitions, serving, stepglass


def test_a_database_that_agrees(tmp_path: Path) -> None:
    where = ("--data", tmp_path / "data")
    assert stepglass("run", "quick", *where, "--definitions", definitions(tmp_path / "definitions")).returncode == 0
    checked = stepglass("check", *where, program=COMMAND)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.strip().endswith("everything agrees")


def test_a_database_is_checked_while_a_server_owns_it(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert stepglass("check", "--data", tmp_path).returncode == 0


def test_a_number_that_does_not_agree_is_told(tmp_path: Path) -> None:
    where = ("--data", tmp_path / "data")
    stepglass("run", "quick", *where, "--definitions", definitions(tmp_path / "definitions"))
    with sqlite3.connect(tmp_path / "data" / "stepglass.db") as database:
        database.execute("UPDATE step_counter SET number = number + 1 WHERE status = 'completed'")
    database.close()
    checked = stepglass("check", *where)
    assert checked.returncode == 1
    assert "the counter says 4 completed, there are 3" in checked.stdout


def test_where_there_is_no_database_nothing_is_made(tmp_path: Path) -> None:
    checked = stepglass("check", "--data", tmp_path / "nowhere")
    assert checked.returncode == 2
    assert "There is no database in" in checked.stderr
    assert not (tmp_path / "nowhere").exists()


def test_valid_definitions(tmp_path: Path) -> None:
    files = sorted(definitions(tmp_path).iterdir())
    checked = stepglass("definitions", "check", *files, program=COMMAND)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.splitlines() == [f"{file}: valid, 1 step" for file in files]


def test_each_problem_is_told_with_file_line_and_key(tmp_path: Path) -> None:
    good, bad, gone = definitions(tmp_path) / "quick.toml", tmp_path / "bad.toml", tmp_path / "gone.toml"
    bad.write_text('id = "bad"\ncolour = "red"\n[step.a]\ntype = "nothing"\ndepends = ["b"]\n')
    checked = stepglass("definitions", "check", good, bad, gone)
    assert checked.returncode == 2
    lines = checked.stdout.splitlines()
    for place in (f"{bad}:2: colour: ", f"{bad}:4: step.a.type: ", f"{bad}:5: step.a.depends"):
        assert any(line.startswith(place) for line in lines), lines
    assert any(line.startswith(f"{gone}: ") for line in lines)
    assert f"{good}: valid, 1 step" in lines


def test_the_version() -> None:
    assert stepglass("--version", program=COMMAND).stdout == f"stepglass, version {__version__}\n"


def test_an_unknown_command_is_bad_usage() -> None:
    ran = stepglass("launch", program=COMMAND)
    assert ran.returncode == 2
    assert "No such command 'launch'" in ran.stderr


def test_help_lists_the_commands() -> None:
    said = stepglass("--help", program=COMMAND).stdout
    for command in ("serve", "run", "definitions", "check"):
        assert f"\n  {command} " in said
