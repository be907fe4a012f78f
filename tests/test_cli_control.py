"""Cancel, retry, rerun, pause, resume and delete on the command line, with a server that owns the data and without."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.queue import audit
from app.queue.database import Database
from tests.stepglass import COMMAND, serving, stepglass
from tests.web.histories import write_history

FINISHED, CANCELLED = 1, 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_history(tmp_path)
    return tmp_path


def told(data: Path, *arguments: str) -> Result:
    """The command in this process, where nobody owns the data."""
    return CliRunner().invoke(cli, [*arguments, "--data", str(data)], catch_exceptions=False)


def test_a_preview_says_what_would_be_done_and_does_nothing(data: Path) -> None:
    retried = told(data, "retry", str(FINISHED), "--preview")
    assert (retried.exit_code, retried.output.splitlines()) == (
        0,
        ["3 of 8 work items will run again; 5 results are kept; step 1 will be evaluated again.", "Nothing was done."],
    )
    assert json.loads(told(data, "retry", str(CANCELLED), "--cancelled", "--preview", "--json").output)["steps"]
    deleted = told(data, "delete", str(FINISHED), "--preview")
    assert deleted.exit_code == 0
    assert deleted.output.startswith("8 work items and ")
    assert deleted.output.endswith(" will be deleted with the run.\nNothing was done.\n")
    with Database.in_directory(data).read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM action").scalar_one() == 0


def test_everything_is_done_directly_where_no_server_owns_the_data(data: Path) -> None:
    retried = told(data, "retry", str(FINISHED))
    assert retried.exit_code == 0, retried.output
    assert retried.output.splitlines() == [
        "3 work items of job 1 run again; 1 step that had ended will be evaluated again",
        "Nothing works here now: it goes on when a server owns the data directory.",
    ]
    assert "run 1 is paused; what runs finishes" in told(data, "pause", str(FINISHED)).output
    assert "run 1 was paused already" in told(data, "pause", str(FINISHED)).output
    assert "run 1 goes on" in told(data, "resume", str(FINISHED)).output
    assert "run 1 has priority -5" in told(data, "priority", str(FINISHED), "-5").output
    refused = told(data, "delete", str(FINISHED))
    assert (refused.exit_code, "cancel it first" in refused.output) == (2, True)
    assert "job 1 is cancelled" in told(data, "cancel", str(FINISHED)).output
    again = told(data, "cancel", str(FINISHED))
    assert (again.exit_code, again.output) == (0, "job 1 was cancelled already\n")
    made = json.loads(told(data, "rerun", str(FINISHED), "--from", "classify", "--json").output)
    assert (made["rerun_of"], made["taken"]) == (FINISHED, ["import"])
    assert "job 1 is deleted, with 8 work items" in told(data, "delete", str(FINISHED)).output
    database = Database.in_directory(data)
    assert audit.check(database) == []
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT who, verb FROM action WHERE manager_id IS NULL").all()
        left = connection.exec_driver_sql("SELECT count(*) FROM worker_job WHERE manager_id = 1").scalar_one()
    assert (rows, left) == ([(getpass.getuser(), "delete")], 0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["cancel", "999"], "there is no job 999"),
        (["cancel", str(FINISHED)], "has ended already: completed"),
        (["retry", str(CANCELLED)], "nothing of job 12 has failed"),
        (["rerun", str(FINISHED), "--from", "nine"], "there is no step nine in trial"),
        (["pause", "--definition", "nobody"], "there is no definition"),
        (["priority", str(CANCELLED), "3"], "is over"),
        (["priority", str(FINISHED), "1001"], "-1000<=x<=1000"),
        (["pause"], "Name one"),
        (["resume", "1", "--queue"], "Name one"),
        (["delete", "0"], "0"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(data: Path, arguments: list[str], why: str) -> None:
    refused = told(data, *arguments)
    assert refused.exit_code == 2
    assert why in " ".join(refused.output.split())
    assert "Traceback" not in refused.output


def test_a_directory_without_a_database_is_left_as_it_is(tmp_path: Path) -> None:
    refused = told(tmp_path / "nowhere", "cancel", "1")
    assert refused.exit_code == 2
    assert "There is no database in" in refused.output
    assert not (tmp_path / "nowhere").exists()


def test_the_server_that_owns_the_data_is_asked(data: Path) -> None:
    with serving(data, "--slots", "0") as server:
        paused = stepglass("pause", "--queue", "--data", data, program=COMMAND)
        assert (paused.returncode, paused.stdout, paused.stderr) == (0, "the queue is paused; what runs finishes\n", "")
        (pause,) = httpx.get(f"{server.url}/api/pauses", trust_env=False).json()["pauses"]
        assert (pause["what"], pause["who"]) == ("the queue", getpass.getuser())
    assert "the queue goes on" in told(data, "resume", "--queue").output  # it had stayed paused


def test_failures_are_acknowledged_and_opened_again(data: Path) -> None:
    done = told(data, "acknowledge", str(FINISHED), "--note", "known")
    assert (done.exit_code, done.output) == (0, "3 failures of job 1 are acknowledged\n")
    assert "no failure of job 1 is open" in told(data, "acknowledge", str(FINISHED)).output
    assert "3 failures of job 1 are open again" in told(data, "acknowledge", str(FINISHED), "--reopen").output
    assert audit.check(Database.in_directory(data)) == []


def test_a_list_is_previewed_then_acted_on(data: Path) -> None:
    preview = told(data, "bulk", "acknowledge", "--kind", "worker", "--run", str(FINISHED))
    assert preview.exit_code == 0, preview.output
    first, *others, last = preview.output.splitlines()
    assert first == "3 of 8 work items of run 1: acknowledge"
    assert others == ["5 are left alone: nothing of it has failed"]
    token = last.rpartition(" ")[2]
    confirmed = told(data, "bulk", "acknowledge", "--token", token).output
    assert "will acknowledge 8 work items of run 1, as far as possible" in confirmed
    assert told(data, "bulk", "acknowledge", "--token", token).output == confirmed
    later = told(data, "bulk", "acknowledge", "--kind", "worker", "--run", str(FINISHED), "--to", "2001-01-01")
    assert later.output.startswith("0 of 0 work items of run 1")
    refused = told(data, "bulk", "delete", "--kind", "worker", "--yes")
    assert (refused.exit_code, "there is nothing to delete among them" in refused.output) == (2, True)
    assert told(data, "bulk", "delete").exit_code == 2
