"""One process at a time owns a data directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.queue.ownership import AlreadyOwned, DirectoryTrouble, owning

OTHER_PROCESS = """
import sys, os, signal
from pathlib import Path
from app.queue.ownership import owning
with owning(Path(sys.argv[1]), "stepglass serve") as ownership:
    ownership.announce("http://127.0.0.1:4711")
    {then}
    print("owned", flush=True)
    sys.stdin.read()
"""


def other_process(directory: Path, then: str = "pass") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS.format(then=then), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "owned\n"
    return process


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with other_process(tmp_path) as first:
        with pytest.raises(AlreadyOwned) as refused, owning(tmp_path, "stepglass serve"):
            pass
        owner = refused.value.owner
        assert (owner.pid, owner.command, owner.url) == (first.pid, "stepglass serve", "http://127.0.0.1:4711")
        for part in (str(tmp_path), str(first.pid), "stepglass serve", owner.started, "http://127.0.0.1:4711"):
            assert part in str(refused.value)


def test_others_can_read_who_owns_it(tmp_path: Path) -> None:
    with owning(tmp_path, "stepglass run nightly"):
        said = json.loads((tmp_path / "owner.json").read_text())
        assert said["pid"] == os.getpid()
        assert said["command"] == "stepglass run nightly"
        assert said["started"]


def test_when_the_owner_ends_the_directory_is_free(tmp_path: Path) -> None:
    with other_process(tmp_path):
        pass
    with owning(tmp_path, "stepglass serve"):
        pass
    with owning(tmp_path, "stepglass serve"):
        pass


def test_a_killed_owner_is_no_obstacle(tmp_path: Path) -> None:
    with other_process(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert json.loads((tmp_path / "owner.json").read_text())["pid"] == first.pid
        with owning(tmp_path, "stepglass serve"):
            pass


def test_a_process_that_a_dead_owner_forked_is_no_obstacle(tmp_path: Path) -> None:
    # The child says when its fork is over, and its parent waits for that.
    fork = (
        "lives, says = os.pipe(); pid = os.fork(); pid or (os.write(says, b'.'), signal.pause()); "
        "os.read(lives, 1); Path(sys.argv[1], 'child').write_text(str(pid))"
    )
    with other_process(tmp_path, then=fork) as first:
        child = int((tmp_path / "child").read_text())
        first.send_signal(signal.SIGKILL)
        first.wait()
        try:
            with owning(tmp_path, "stepglass serve"):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_directory_that_is_missing_is_made(tmp_path: Path) -> None:
    with owning(tmp_path / "deep" / "down", "stepglass serve"):
        assert (tmp_path / "deep" / "down").is_dir()


@pytest.mark.parametrize("below", ["", "data"])
def test_a_file_is_no_directory(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryTrouble, match="is a file") as refused, owning(tmp_path / "file" / below, "x"):
        pass
    assert "--data" in str(refused.value)


def test_a_directory_that_cannot_be_written_is_told() -> None:
    with pytest.raises(DirectoryTrouble, match="cannot be written") as refused, owning(Path("/proc/self/net"), "x"):
        pass
    assert "/proc/self/net" in str(refused.value)
