"""Programs are run: what they say is in the log, and when they are to end they end, with all they have started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.queue.status import Status
from app.steps import guard
from app.steps.command import LONGEST_LINE, Command, CommandSettings, ProgramFailed
from app.steps.guard import guarded
from app.work import patience
from app.work.step_type import PermanentError

from .conftest import MakeStage, RecordingContext
from .whole_runs import PATIENCE, Runs

PYTHON = sys.executable


async def ran(stage: MakeStage, *code: str, **settings: Any) -> tuple[dict[str, Any], RecordingContext]:
    """A Python program, its lines in one text each; what came of it."""
    return await command(stage, program=PYTHON, arguments=["-c", "\n".join(code)], **settings)


async def command(stage: MakeStage, **settings: Any) -> tuple[dict[str, Any], RecordingContext]:
    on_stage = stage(Command, **settings)
    (item,) = [item async for item in on_stage.step_type.plan(on_stage.context)]  # type: ignore[union-attr]
    result = await on_stage.step_type.run(on_stage.context, item)  # type: ignore[misc]
    return result, on_stage.context


async def test_the_output_of_a_program_is_in_the_log_and_its_exit_status_is_the_result(runs: Runs) -> None:
    ended = await runs.run(
        """
        [parameters.word]
        [step.say]
        type = "command"
        program = "printf"
        arguments = ["%s\\\\n", "{word}", "$HOME; `id` | *"]
        """,
        word="one\ntwo",
    )
    assert ended.completed
    assert ended.said("info")[1:-1] == ["one", "two", "$HOME; `id` | *"], "no shell has seen the arguments"
    assert ended.said("info")[-1].startswith("exit status 0 after ")
    (result,) = ended.results.values()
    assert (result["exit_status"], result["lines"]) == (0, 3)


async def test_a_shell_is_used_when_asked_for_and_takes_arguments_as_they_are(stage: MakeStage) -> None:
    text = 'echo "$1" | tr a-z A-Z; echo no >&2; exit 3'
    settings = {"program": text, "shell": True, "arguments": ["a; b"], "success": [3]}
    _, context = await command(stage, **settings)
    assert context.messages("info")[1:-1] == ["A; B"]
    assert context.messages("warn") == ["no"]


async def test_a_failed_program_is_told_with_its_last_words(runs: Runs) -> None:
    ended = await runs.run(
        """
        [step.fail]
        type = "command"
        shell = true
        program = "echo fine; echo out of paper >&2; exit 7"
        """
    )
    assert ended.run.status == Status.FAILED
    assert ended.error == "ProgramFailed: exit status 7: out of paper"


async def test_a_program_that_a_signal_ended_is_told_by_its_name(stage: MakeStage) -> None:
    with pytest.raises(ProgramFailed, match="ended by SIGSEGV"):
        await ran(stage, "import os; os.kill(os.getpid(), 11)")


async def test_only_named_variables_are_passed_on(stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("WANTED", "yes")
    shown = "import os; print(os.getenv('TOKEN'), os.getenv('WANTED'), os.getenv('MORE'), bool(os.getenv('PATH')))"
    _, context = await ran(stage, shown, environment=["WANTED"], variables={"MORE": "more"})
    assert context.messages("info")[1] == "None yes more True"


async def test_it_works_in_its_folder_or_in_a_new_one_that_is_removed(stage: MakeStage, tmp_path: Path) -> None:
    _, context = await ran(stage, "import os; print(os.getcwd())", folder=str(tmp_path))
    assert context.messages("info")[1] == str(tmp_path)
    _, context = await ran(stage, "import os; open('left', 'w'); print(os.getcwd())")
    new = context.messages("info")[1]
    assert "stepglass-" in new and not os.path.exists(new)  # noqa: ASYNC240, PTH110


async def test_nothing_can_be_typed_into_a_program(stage: MakeStage) -> None:
    _, context = await ran(stage, "import sys; print(repr(sys.stdin.read()))")
    assert context.messages("info")[1] == "''"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"program": "no-such-program"}, "'no-such-program' is not on the PATH of this server"),
        ({"program": "/no/such/program"}, "No such file or directory"),
        ({"program": "/etc/passwd"}, "Permission denied"),
        ({"program": "true", "folder": "/no/such/folder"}, "the folder '/no/such/folder' does not exist"),
        ({"program": "true", "arguments": ["x" * (1 << 18)]}, "Argument list too long"),
        ({"program": "no-such-program", "shell": True}, "not found"),
    ],
)
async def test_what_cannot_be_started_is_not_tried_again(stage: MakeStage, settings: Any, says: str) -> None:
    with pytest.raises(PermanentError, match=says):
        await command(stage, **settings)


async def test_output_that_is_no_text_breaks_no_line(stage: MakeStage) -> None:
    written = [b"caf\xc3\xa9 \xff\\n", b"50%\\r100%\\r\\n", b"\\n", b"no newline \xc3"]
    code = f"import os; [os.write(1, b) for b in {[w.decode('latin-1') for w in written]!r}]".replace(
        "write(1, b)", "write(1, b.encode('latin-1').decode('unicode_escape').encode('latin-1'))"
    )
    _, context = await ran(stage, code)
    assert context.messages("info")[1:-1] == ["café \\xff", "50%", "100%", "", "no newline \\xc3"]


async def test_a_line_that_does_not_end_goes_on_in_others(stage: MakeStage) -> None:
    result, context = await ran(stage, f"print('x' * {LONGEST_LINE * 3 + 1}, end='')")
    assert list(map(len, context.messages("info")[1:-1])) == [LONGEST_LINE] * 3 + [1]
    assert result["lines"] == 4


async def test_endless_output_ends_the_program(stage: MakeStage) -> None:
    with pytest.raises(PermanentError, match="wrote more than 5,000 lines and was ended there"):
        await command(stage, program="yes", max_lines=5000)
    with pytest.raises(PermanentError, match="wrote more than 100,000 bytes"):
        await command(stage, program="cat", arguments=["/dev/zero"], max_output=100_000)


FORKS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()           # out of the program's group and session
    if os.fork() == 0:    # and no child of it any more
        os.write(1, b"pid %d\\n" % os.getpid())
        time.sleep(1000)
    os._exit(0)
os.write(1, b"pid %d\\n" % os.getpid())
"""
STAYS = "time.sleep(1000)"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def pids(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("pid ")]


linux = pytest.mark.skipif(sys.platform != "linux", reason="processes outside the group are found on Linux only")


def forking(*more: str) -> str:
    code = FORKS + "\n".join(more)
    return f"""[step.fork]\ntype = "command"\nprogram = {PYTHON!r}\narguments = ["-c", '''{code}''']\n"""


@linux
async def test_a_program_that_forks_and_ignores_signals_ends_when_it_is_cancelled(runs: Runs) -> None:
    manager_id = await runs.start(forking(STAYS))
    await runs.until(lambda snapshot: sum(line.message.startswith("pid ") for line in log(snapshot, manager_id)) == 2)
    await runs.cancel(manager_id)
    ended = await runs.end(manager_id)
    assert ended.run.status == Status.CANCELLED
    running = pids(ended.said("info"))
    assert len(running) == 2
    gone(running)


async def test_a_program_is_told_to_end_and_its_last_words_are_kept(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "GRACE", PATIENCE)
    monkeypatch.setattr(patience, "STOP_GRACE", PATIENCE)
    program = "trap 'echo tidied up; exit' TERM; echo ready; while :; do sleep 0.05; done"
    manager_id = await runs.start(f"""[step.trap]\ntype = "command"\nshell = true\nprogram = {program!r}\n""")
    await runs.until(lambda snapshot: any(line.message == "ready" for line in log(snapshot, manager_id)))
    await runs.cancel(manager_id)
    await runs.until(lambda snapshot: any(line.message == "tidied up" for line in log(snapshot, manager_id)))
    assert (await runs.end(manager_id)).run.status == Status.CANCELLED


@linux
async def test_it_ends_at_its_timeout(runs: Runs) -> None:
    ended = await runs.run(forking(STAYS) + 'timeout = "1s"')
    assert ended.error == "took longer than its timeout of 1 s"
    gone(pids(ended.said("info")))


@linux
async def test_what_a_program_leaves_running_ends_with_it(stage: MakeStage) -> None:
    _, context = await ran(stage, FORKS)
    left = pids(context.messages("info"))
    assert len(left) == 2 and not any(map(is_running, left))
    assert context.messages("warn") == ["left running, and ended now: 1 process"]


@linux
def test_a_program_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    line = guarded("", PYTHON, "-c", FORKS + STAYS)
    owner = f"import subprocess; p = subprocess.Popen({line!r}, stdin=subprocess.PIPE); p.wait()"
    process = subprocess.Popen([PYTHON, "-c", owner], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout as said:
        running = pids([said.readline(), said.readline()])
        process.kill()
        process.wait()
        said.read()  # to the end: nobody is left who could write
    assert len(running) == 2 and not any(map(is_running, running))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "program"),
        ({"program": ""}, "at least 1 character"),
        ({"program": "a\0b"}, "null character"),
        ({"program": "a", "arguments": "b c"}, "valid list"),
        ({"program": "a", "environment": ["A=b"]}, "'A=b' is no name of a variable"),
        ({"program": "a", "variables": {"1": "b"}}, "'1' is no name of a variable"),
        ({"program": "a", "success": [256]}, "256 is no exit status"),
    ],
)
def test_wrong_settings_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CommandSettings.model_validate(settings)


def gone(running: list[int]) -> None:
    """A step's end is told before the guard has ended everything, a second at the most."""
    deadline = time.monotonic() + 30
    while any(map(is_running, running)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, running))


def log(snapshot: Any, manager_id: int) -> list[Any]:
    return [line for step in snapshot.run(manager_id).steps for line in snapshot.log_lines(step.id, 1, 100)]
