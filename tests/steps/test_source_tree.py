"""A folder is seen as git sees it, whatever is in it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from app.steps import source_tree
from app.steps.source_tree import SourceTree, globs, printable, read_file
from app.work.step_type import PermanentError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def seen(folder: Path, *exclude: str, under: str = "", warnings: list[str] | None = None) -> list[str]:
    said = warnings if warnings is not None else []
    return [file.relative for file in SourceTree(str(folder), exclude, said.append).files(under)]


def test_files_come_in_the_order_of_their_directories(tmp_path: Path) -> None:
    fill(tmp_path, "b/z", "b/a/x", "a/y", "top", "Upper")
    assert seen(tmp_path) == ["Upper", "top", "a/y", "b/z", "b/a/x"]


def test_nested_gitignore_files_decide_as_in_git(tmp_path: Path) -> None:
    fill(tmp_path, "a.log", "keep.log", "src/a.log", "src/b.py", "src/deep/a.log", "build/x.py", "src/build/y.py")
    fill(tmp_path, "docs/build/z.md", "only/here.txt", "src/only/here.txt", "white/a.py", "white/b.txt")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\nbuild/\n/only\n# comment\n\n")
    (tmp_path / "src/.gitignore").write_text("!a.log\n")
    (tmp_path / "docs/.gitignore").write_text("!build/\n")
    (tmp_path / "white/.gitignore").write_text("*\n!*.py\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listed = ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard"]
    by_git = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(seen(tmp_path)) == sorted(by_git)
    assert "src/deep/a.log" in by_git and "docs/build/z.md" in by_git and "build/x.py" not in by_git


def test_the_rules_of_the_repository_around_the_folder_hold(tmp_path: Path) -> None:
    fill(tmp_path, "app/a.py", "app/__pycache__/a.pyc", "app/local.py", ".git/HEAD")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    (tmp_path / ".git/info").mkdir()
    (tmp_path / ".git/info/exclude").write_text("local.py\n")
    assert seen(tmp_path / "app") == ["a.py"]
    assert seen(tmp_path, under="app") == ["app/a.py"]


def test_a_folder_that_git_ignores_but_a_person_names_is_seen(tmp_path: Path) -> None:
    fill(tmp_path, "build/a.py", ".git/HEAD")
    (tmp_path / ".gitignore").write_text("build/\n")
    assert seen(tmp_path / "build") == ["a.py"]


def test_git_itself_is_left_out_as_a_directory_and_as_a_file(tmp_path: Path) -> None:
    fill(tmp_path, ".git/config", "module/.git", "module/a.py", ".github/x.yml")
    assert seen(tmp_path) == [".github/x.yml", "module/a.py"]


def test_excluded_paths_are_left_out_beside_the_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "a/b.py", "a/c.txt", "node_modules/x/y.js")
    assert seen(tmp_path, "node_modules/", "*.txt") == ["a/b.py"]


def test_links_are_not_followed_so_a_loop_ends_and_nothing_outside_is_seen(tmp_path: Path) -> None:
    fill(tmp_path, "outside/secret.txt", "folder/a.txt")
    folder = tmp_path / "folder"
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "out.txt").symlink_to(tmp_path / "outside/secret.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / ".gitignore").symlink_to(tmp_path / "outside/secret.txt")
    warnings: list[str] = []
    assert seen(folder, warnings=warnings) == ["a.txt"]
    assert [message for message in warnings if "cannot be read" not in message] == []


def test_a_folder_given_as_a_link_is_the_folder_it_points_to(tmp_path: Path) -> None:
    fill(tmp_path, "real/a.txt")
    (tmp_path / "link").symlink_to("real")
    (file,) = SourceTree(str(tmp_path / "link")).files()
    assert file.path == str(tmp_path / "real/a.txt")


def test_pipes_and_sockets_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        fill(tmp_path, "file")
        assert seen(tmp_path) == ["file"]


def test_a_directory_that_cannot_be_listed_is_named_and_the_rest_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "a/x", "locked\n/y", "z/z")
    real = os.scandir

    def scandir(path: str) -> object:
        if "locked" in path:
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(source_tree.os, "scandir", scandir)
    warnings: list[str] = []
    tree = SourceTree(str(tmp_path), warn=warnings.append)
    assert [file.relative for file in tree.files()] == ["a/x", "z/z"]
    locked = str(tmp_path / "locked\n")
    assert warnings == [f"{locked!r}: directory skipped, it cannot be listed (Permission denied)"]
    assert tree.out_of_sight(f"{locked}/y") and not tree.out_of_sight(str(tmp_path / "z/z"))


def test_a_line_of_rules_that_is_no_pattern_is_named_and_the_others_hold(tmp_path: Path) -> None:
    fill(tmp_path, "a.log", "b")
    (tmp_path / ".gitignore").write_text("[z-a]\n\\\n*.log\n.gitignore\n")
    warnings: list[str] = []
    assert seen(tmp_path, warnings=warnings) == ["b"]
    assert len(warnings) == 2 and "'[z-a]' is not a pattern" in warnings[0]


def test_a_name_that_is_not_utf_8_is_named_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).touch()
    warnings: list[str] = []
    assert seen(tmp_path, warnings=warnings) == ["a"]
    assert "caf\\udce9" in warnings[0] and warnings[0].isprintable()


def test_a_missing_folder_is_a_permanent_error(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="does not exist or is not a folder; check the path"):
        SourceTree(str(tmp_path / "gone"))


def test_reading_takes_no_more_than_one_byte_over_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert len(read_file(str(tmp_path / "a"), 10)) == 11
    assert len(read_file(str(tmp_path / "a"), 100)) == 100


def test_what_is_no_file_any_more_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    for name in ("pipe", "link", "gone", "."):
        with pytest.raises(OSError):
            read_file(str(tmp_path / name), 10)


def test_a_bad_pattern_is_named() -> None:
    with pytest.raises(ValueError, match=r"'\[z-a\]' is not a path pattern"):
        globs(("*.py", "[z-a]"))


def test_names_are_shown_as_they_are_unless_they_would_disturb_the_line() -> None:
    names = ["plain.py", "größe 'x' <b>.py", "a\nb", "right\u202eleft", "'a\\nb'"]
    assert [printable(name) for name in names] == [*names[:2], "'a\\nb'", "'right\\u202eleft'", "\"'a\\\\nb'\""]
