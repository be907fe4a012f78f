"""stepglass run: here, or in the server that owns the data directory; the exit status tells the outcome."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stepglass import COMMAND, Process, Server, begun, definitions, serving, stepglass


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    """A data directory, and definitions of our own."""
    return ["--data", str(tmp_path / "data"), "--definitions", str(definitions(tmp_path / "definitions"))]


def jobs(server: Server, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/api/jobs", params=query, trust_env=False).json()["jobs"]
    return found


def test_a_run_that_completes_is_told_in_plain_lines(where: list[str]) -> None:
    ran = stepglass("run", "quick", *where)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[-2:] == [
        "work completed: all 3 succeeded",
        "quick completed: the only step completed",
    ]


def test_a_run_that_fails_says_why(where: list[str]) -> None:
    ran = stepglass("run", "failing", *where)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "work failed: all 3 work items failed" in ran.stdout
    assert "failed in work: RuntimeError: made to fail" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "failing failed: step work failed"


def test_json_is_one_object_and_nothing_else(where: list[str]) -> None:
    ran = stepglass("run", "failing", "--json", *where)
    assert (ran.returncode, ran.stderr) == (1, "")
    run = json.loads(ran.stdout)
    assert (run["definition"], run["status"], run["reason"]) == ("failing", "failed", "step work failed")
    assert run["counts"]["failed"] == 3
    assert [(step["name"], step["status"]) for step in run["steps"]] == [("work", "failed")]
    assert sum(group["count"] for group in run["failures"]) == 3


def test_a_definition_file_is_run_by_its_path(where: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text((tmp_path / "definitions" / "quick.toml").read_text().replace("quick", "mine"))
    ran = stepglass("run", file, *where)
    assert ran.stdout.splitlines()[-1] == "mine completed: the only step completed"
    assert ran.returncode == 0


def test_what_is_wrong_with_a_definition_file_is_told_by_line(where: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('id = "mine"\n[step.a]\ntype = "nothing"\n')
    ran = stepglass("run", file, *where)
    assert ran.returncode == 2
    assert f"{file}:3: step.a.type: " in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "no definition is called 'nothing'"),
        (["codebase_classify"], "folder: is missing"),
        (["quick", "--set", "speed=1"], "speed: is not a parameter"),
        (["codebase_classify", "--set", "folder=/does/not/exist"], "'/does/not/exist' does not exist"),
        (["quick", "--set", "speed"], "'speed' is not of the form name=value"),
        (["quick", "--slots", "none"], "--slots none: must be a whole number"),
        ([], "Missing argument 'DEFINITION'"),
    ],
)
def test_bad_usage_is_told_and_nothing_started(where: list[str], arguments: list[str], says: str) -> None:
    ran = stepglass("run", *where, *arguments)
    assert ran.returncode == 2
    assert says in " ".join(ran.stderr.split())
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


def follow(definition: str, *arguments: str, program: list[str] | None = None) -> Process:
    return begun("run", definition, *arguments, program=program)


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_run(where: list[str], interruption: signal.Signals) -> None:
    with follow("endless", *where, program=COMMAND) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("work running")
        running.send_signal(interruption)
        said = running.stdout.read()
        assert running.wait(timeout=30) == 3
    assert said.splitlines()[-1] == "endless cancelled: cancelled from the command line"
    assert stepglass("check", *where[:2]).returncode == 0


def test_a_run_is_handed_to_the_server_that_owns_the_data(where: list[str], tmp_path: Path) -> None:
    with serving(tmp_path / "data", *where[2:]) as server:
        ran = stepglass("run", "quick", "--json", *where[:2])
        assert (ran.returncode, ran.stderr) == (0, "")
        assert [job["id"] for job in jobs(server, kind="manager")] == [json.loads(ran.stdout)["id"]]
        assert stepglass("run", "failing", *where[:2]).returncode == 1
        assert len(jobs(server, kind="manager")) == 2


def test_paths_mean_the_same_there_as_here(where: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "here" / "code"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("print(1)\n")
    mine = tmp_path / "here" / "mine.toml"
    mine.write_text((tmp_path / "definitions" / "quick.toml").read_text().replace("quick", "mine"))
    with serving(tmp_path / "data", *where[2:]):
        named = ("codebase_classify", "--set", "folder=code", "--json")
        ran = stepglass("run", *named, *where[:2], cwd=folder.parent)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["parameters"]["folder"] == str(folder)
        ran = stepglass("run", "mine.toml", *where[:2], cwd=folder.parent)
        assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "mine completed: the only step completed")


def test_what_the_server_refuses_is_told(where: list[str], tmp_path: Path) -> None:
    with serving(tmp_path / "data", *where[2:]) as server:
        unknown = stepglass("run", "nothing", *where[:2])
        assert (unknown.returncode, unknown.stdout) == (2, "")
        assert "nothing" in unknown.stderr
        wrong = stepglass("run", "quick", "--set", "speed=1", *where[:2])
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "speed: is not a parameter" in wrong.stderr
        assert jobs(server) == []


def test_ctrl_c_cancels_the_run_in_the_server(where: list[str], tmp_path: Path) -> None:
    with serving(tmp_path / "data", *where[2:]) as server:
        with follow("endless", *where[:2]) as running:
            assert running.stdout
            assert running.stdout.readline().startswith("work running")
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=30) == 3
        assert [job["status"] for job in jobs(server, kind="manager")] == ["cancelled"]


def test_a_run_in_the_way_is_told_with_its_command(where: list[str]) -> None:
    with follow("endless", *where) as running:
        assert running.stdout
        running.stdout.readline()
        second = stepglass("run", "quick", *where)
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)
    assert second.returncode == 2
    assert f"stepglass run endless (process {running.pid} since" in " ".join(second.stderr.split())


def test_a_run_goes_on_being_followed_when_the_server_is_started_anew(where: list[str], tmp_path: Path) -> None:
    with serving(tmp_path / "data", *where[2:]) as first:
        port = first.url.rpartition(":")[2]
        with follow("endless", *where[:2]) as running:
            assert running.stdout
            running.stdout.readline()
            assert first.stop() == 0
            with serving(tmp_path / "data", *where[2:], "--port", port) as second:
                (job,) = jobs(second, kind="manager")
                assert job["status"] == "running"
                httpx.post(f"{second.url}/api/jobs/{job['id']}/cancellation", trust_env=False).raise_for_status()
                assert running.wait(timeout=30) == 3
