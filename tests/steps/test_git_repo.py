"""Repositories become documents, and nothing that is in them is ever run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from app.queue.status import Status
from app.steps.git_repo import GithubRepo, GithubRepoSettings, GitRepo, GitRepoSettings
from app.steps.repository import FetchFailed, Repository
from app.steps.repository_host import checked_host
from app.work.step_type import PermanentError, StoredDocument
from tests.work.test_programs import Pipe

from .conftest import MakeStage, RecordingContext
from .git_repositories import commit, git, hub
from .whole_runs import Runs, sound

OPENS = "s3cret"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched repositories are kept with the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def imported(
    stage: MakeStage, url: str | Path, stored: dict[str, StoredDocument] | None = None, **settings: Any
) -> tuple[dict[str, Any], RecordingContext]:
    on_stage = stage(GitRepo, stored, url=str(url), **settings)
    return sound(await on_stage.run()), on_stage.context


async def failure(stage: MakeStage, url: str | Path, **settings: Any) -> str:
    with pytest.raises(PermanentError) as raised:
        await imported(stage, url, **settings)
    return str(raised.value)


async def test_the_files_of_a_repository_become_documents_that_can_be_classified(runs: Runs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    commit(source, {"src/a.py": "größe = 1\n", "tests/test_a.py": "", "logo.png": b"\x89PNG\0"})
    ended = await runs.run(
        """
        [parameters.url]
        [step.fetch]
        type = "git_repo"
        url = "{url}"
        tags = ["code"]
        [step.classify]
        type = "rule_classify_files"
        filter_tags = ["code"]
        rules = [{name = "tests", category = "test", paths = ["tests/"]}]
        """,
        url=str(source),
    )
    assert ended.completed and ended.run.document_count == 3
    address = f"git:{source}"
    by_address = {document.address: document for document in ended.documents}
    assert list(by_address) == [f"{address}/{name}" for name in ("logo.png", "src/a.py", "tests/test_a.py")]
    document = by_address[f"{address}/src/a.py"]
    assert (document.title, document.body, document.tags, document.source_type) == (
        "src/a.py", "größe = 1\n", ("code",), "file",
    )  # fmt: skip
    assert document.metadata["git_repo"]["repository"] == str(source)
    assert by_address[f"{address}/tests/test_a.py"].metadata["rule_classify_files"]["category"] == "test"
    assert any(line.startswith("commit ") and line.endswith("of 2026-01-02: Notes") for line in ended.said("info"))


async def test_only_what_has_changed_is_imported_again_and_what_is_gone_is_removed(
    stage: MakeStage, tmp_path: Path
) -> None:
    stored: dict[str, StoredDocument] = {}
    commit(tmp_path / "source", {"a": "1", "b": "1", "c": "1"})
    await imported(stage, tmp_path / "source", stored)
    newest = commit(tmp_path / "source", {"a": "2", "c": None})
    results, context = await imported(stage, tmp_path / "source", stored)
    fetched, batch = results.values()
    assert (fetched, batch) == ({"commit": newest, "files": 2}, {"imported": 1, "unchanged": 1})
    assert {document.title: document.body for document in stored.values()} == {"a": "2", "b": "1"}
    assert "1 documents removed, their files are gone" in context.messages("info")


async def test_a_repository_inside_another_keeps_its_documents(stage: MakeStage, tmp_path: Path) -> None:
    stored: dict[str, StoredDocument] = {}
    commit(tmp_path / "source/inner", {"a": "inner"})
    await imported(stage, tmp_path / "source/inner", stored)
    git(tmp_path / "source", "init", "--quiet", "--initial-branch=main")
    (tmp_path / "source/.gitignore").write_text("inner\n")
    commit(tmp_path / "source", {"b": "outer"})
    await imported(stage, tmp_path / "source", stored, exclude_paths=[".gitignore"])
    assert sorted(document.body for document in stored.values()) == ["inner", "outer"]


async def test_a_branch_and_a_tag_are_imported_beside_the_main_branch(stage: MakeStage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    commit(source, {"a": "first"})
    git(source, "tag", "-a", "v1", "-m", "Version 1")
    git(source, "switch", "--quiet", "-c", "feature/x")
    commit(source, {"a": "feature"})
    git(source, "switch", "--quiet", "main")
    commit(source, {"a": "main"})
    stored: dict[str, StoredDocument] = {}
    for branch in ("", "v1", "feature/x"):
        await imported(stage, f"file://{source}", stored, branch=branch)
    found = {document.address.removeprefix(f"git:file://{source}"): document.body for document in stored.values()}
    assert found == {"/a": "main", "@v1/a": "first", "@feature/x/a": "feature"}
    assert "has no such branch or tag" in await failure(stage, source, branch="none")


async def test_no_more_history_than_asked_for(stage: MakeStage, tmp_path: Path) -> None:
    for number in range(4):
        newest = commit(tmp_path / "source", {"a": str(number)})
    for depth in (1, 3):
        await imported(stage, tmp_path / "source", depth=depth)
        fetched = Repository.of(str(tmp_path / "source")).folder
        assert git(fetched, "rev-list", "--count", newest) == str(depth)


async def test_only_wanted_files(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "source", {"a.py": "1", "b.PY": "2", "vendor/c.py": "3", "d.txt": "4", "large.py": "x" * 101})
    wanted = {"extensions": ["py"], "exclude_paths": ["vendor/"], "max_file_size": 100, "batch_size": 1}
    results, context = await imported(stage, tmp_path / "source", **wanted)
    assert [document.title for document in context.stored.values()] == ["a.py", "b.PY"]
    assert "large.py: skipped, it is larger than 100 bytes" in context.messages("info")
    assert list(results)[1:] == ["a.py", "b.PY"]


async def test_links_and_other_repositories_are_left_out_and_odd_names_break_nothing(
    stage: MakeStage, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    commit(source, {"two\nlines": "1", "-rf": "2", "a b": "3"})
    (source / "passwd").symlink_to("/etc/passwd")
    (source / os.fsdecode(b"\xff")).write_text("not UTF-8")
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    commit(source, {})
    _, context = await imported(stage, source)
    assert sorted(document.title for document in context.stored.values()) == ["-rf", "a b", "two\nlines"]
    assert len(context.messages("warn")) == 1 and "its name is not UTF-8" in context.messages("warn")[0]
    assert all(message.isprintable() for _, message in context.lines)


async def test_nothing_in_a_repository_is_run(stage: MakeStage, tmp_path: Path) -> None:
    source, ran = tmp_path / "source", tmp_path / "ran"
    commit(source, {".gitattributes": "* filter=evil\n", "a": "1"})
    git(source, "config", "uploadpack.packObjectsHook", f"touch {ran};")
    await imported(stage, source)
    fetched = Repository.of(str(source)).folder
    (fetched / "hooks").mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-checkout", "fsmonitor"):
        (fetched / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (fetched / "hooks" / hook).chmod(0o755)
    commit(source, {"a": "2"})
    await imported(stage, source)
    assert not ran.exists()


async def test_what_a_killed_fetch_left_is_swept_away(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "source", {"a": "1"})
    await imported(stage, tmp_path / "source")
    fetched = Repository.of(str(tmp_path / "source")).folder
    (fetched / "shallow.lock").touch()
    (fetched / "objects/pack/tmp_pack_x").touch()
    commit(tmp_path / "source", {"a": "2"})
    _, context = await imported(stage, tmp_path / "source")
    assert [document.body for document in context.stored.values()] == ["2"]
    assert not list(fetched.glob("objects/pack/tmp_*"))


async def test_a_fetch_ends_with_the_process_that_it_is_made_in(tmp_path: Path) -> None:
    pipe, program = Pipe(tmp_path / "pipe"), tmp_path / "git"
    program.write_text(f"#!/bin/sh\nexec >{tmp_path}/pipe\necho\nexec sleep 1000\n")
    program.chmod(0o700)
    code = "import sys; from pathlib import Path; from app.steps.repository import Repository as R; "
    code += "R(Path(sys.argv[1]))._fetch('url', [], 1, '', '')"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    line = [sys.executable, "-c", code, str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*line, env=environment, start_new_session=True)
    await pipe.started()
    os.killpg(process.pid, signal.SIGKILL)
    await pipe.gone()
    await process.wait()


def spoil(objects: Path, name: str) -> None:
    """Overwrites part of what git keeps under that name."""
    found = list(objects.glob(name))
    assert found
    for path in found:
        path.chmod(0o600)
        content = path.read_bytes()
        path.write_bytes(content[:12] + bytes(50) + content[62:])


async def test_a_repository_whose_files_are_damaged_ends_with_a_reason(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "source", {"a": "1", "b/c": "2"})
    spoil(tmp_path / "source/.git/objects", "??/*")
    with pytest.raises(FetchFailed, match="could not be fetched"):
        await imported(stage, tmp_path / "source")


async def test_a_damaged_copy_is_made_anew(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "source", {"a": "1", "b/c": "2"})
    _, first = await imported(stage, tmp_path / "source")
    spoil(Repository.of(str(tmp_path / "source")).folder / "objects", "pack/*.pack")
    results, again = await imported(stage, tmp_path / "source", dict(first.stored))
    assert results["a to b/c (2 files)"] == {"unchanged": 2} and len(again.stored) == 2


async def test_a_copy_that_is_damaged_meanwhile_takes_no_document_away(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "source", {"a": "1", "b/c": "2"})
    await imported(stage, tmp_path / "source")
    kept = Repository.of(str(tmp_path / "source"))
    tip = kept.fetch(str(tmp_path / "source"), "", 1, 1 << 20, "")
    spoil(kept.folder / "objects", "pack/*.pack")
    with pytest.raises(PermanentError, match="is damaged; remove the copy, and run it again"):
        list(kept.files(tip))


async def test_a_repository_that_is_too_large_is_refused(stage: MakeStage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    commit(source, {"noise": os.urandom(100_000), "a": "1"})
    assert "is larger than max_size allows" in await failure(stage, source, max_size=50_000)
    assert "it has more than 1 files; max_files can be set higher" in await failure(stage, source, max_files=1)


async def test_what_cannot_be_fetched_is_told(stage: MakeStage, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    (tmp_path / "folder").mkdir()
    assert "has no commits yet" in await failure(stage, tmp_path / "empty")
    assert "is not a git repository" in await failure(stage, tmp_path / "folder")
    assert "is not a git repository" in await failure(stage, tmp_path / "nowhere")
    with pytest.raises(FetchFailed, match="could not be fetched"):
        # Nobody listens: another time, somebody may.
        await imported(stage, "http://127.0.0.1:1/a.git", allow_hosts=["127.0.0.1"])


async def test_without_git_it_says_so(stage: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed on this machine" in await failure(stage, tmp_path)


async def test_a_repository_is_fetched_from_github_with_a_token(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", OPENS)
    commit(tmp_path / "hub/octo/notes", {"a.md": "# A", "docs/b.md": "# B"})
    with hub(tmp_path / "hub", token=OPENS) as server:
        ended = await runs.run(
            f"""
            [step.fetch]
            type = "github_repo"
            server = "{server}"
            allow_hosts = ["127.0.0.1"]
            owner = "octo"
            repo = "notes"
            branch = "main"
            token_variable = "HUB_TOKEN"
            """
        )
    assert ended.completed
    page = f"{server}/octo/notes/blob/main"
    assert [document.address for document in ended.documents] == [f"{page}/a.md", f"{page}/docs/b.md"]
    assert OPENS not in repr(ended)


async def test_a_repository_that_may_not_be_read_ends_with_a_reason(runs: Runs, tmp_path: Path) -> None:
    commit(tmp_path / "hub/octo/secret", {"a": "1"})
    with hub(tmp_path / "hub", token=OPENS) as server:
        text = f'[step.fetch]\ntype = "github_repo"\nserver = "{server}"\nowner = "octo"\nrepo = "secret"\n'
        text += 'allow_hosts = ["127.0.0.1"]\n'
        ended = await runs.run(text)
    assert ended.run.status == Status.FAILED
    assert ended.error and "may not be read: check the address, and whether token_variable" in ended.error


async def test_a_repository_that_is_not_there_and_a_token_that_is_not_set_are_told(
    stage: MakeStage, tmp_path: Path
) -> None:
    with hub(tmp_path) as server:
        with pytest.raises(PermanentError, match=r"octo/none\.git was not found"):
            settings: dict[str, Any] = {"server": server, "owner": "octo", "allow_hosts": ["127.0.0.1"]}
            sound(await stage(GithubRepo, repo="none", **settings).run())
        with pytest.raises(PermanentError, match="NO_SUCH_TOKEN is not set"):
            settings |= {"token_variable": "NO_SUCH_TOKEN"}
            sound(await stage(GithubRepo, repo="none", **settings).run())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not the address of a repository"),
        ("--upload-pack=touch x", "not the address of a repository"),
        ("ext::sh -c touch% x", "would run a program of its own choice"),
        ("git://example.org/a.git", "'git' is no way to fetch a repository; those are https, ssh, http, file"),
        ("ftp://example.org/a.git", "'ftp' is no way"),
        ("https://person:secret@example.org/a.git", "which everybody would see; use token_variable"),
        ("https://token@example.org/a.git", "which everybody would see"),
    ],
)
def test_addresses_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GitRepoSettings(url=url)  # type: ignore[call-arg]


@pytest.mark.parametrize("url", ["/srv/a", "../a", "git@example.org:a/b.git", "ssh://git@example.org/a", "file:///a"])
def test_addresses_that_are_accepted(url: str) -> None:
    assert GitRepoSettings.model_validate({"url": url}).url == url


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"branch": "--force"}, "not the name of a branch"),
        ({"branch": "a:b"}, "not the name of a branch"),
        ({"branch": "a..b"}, "not the name of a branch"),
        ({"exclude_paths": ["[z-a]"]}, "not a path pattern"),
        ({"depth": 0}, "greater than or equal to 1"),
        ({"token_variable": "ghp_1/2"}, "not the token itself"),
        ({"url": "http://example.org/a", "token_variable": "T"}, "only sent over https"),
    ],
)
def test_wrong_settings_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GitRepoSettings.model_validate({"url": "https://example.org/a", **settings})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"owner": "a/b"}, "not a name on GitHub"),
        ({"repo": ".."}, "not a name on GitHub"),
        ({"server": "github.com"}, "written like https://github.com"),
        ({"server": "http://example.org", "token_variable": "T"}, "only sent over https"),
    ],
)
def test_wrong_settings_for_github_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GithubRepoSettings.model_validate({"owner": "octo", "repo": "notes", **settings})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/octo/notes.git",
        "http://localhost:{port}/octo/notes.git",
        "http://2130706433:{port}/octo/notes.git",
        "http://[::ffff:127.0.0.1]:{port}/octo/notes.git",
        "ssh://git@127.0.0.1/octo/notes.git",
        "git@localhost:octo/notes.git",
        "https://169.254.169.254/latest",
    ],
)
async def test_a_host_that_is_not_public_is_not_reached_unless_the_definition_names_it(
    stage: MakeStage, tmp_path: Path, url: str
) -> None:
    with hub(tmp_path) as server:
        address = url.format(port=server.rpartition(":")[2])
        assert "is not a public address, and is not reached unless allow_hosts names" in await failure(stage, address)


async def test_a_redirect_is_not_followed(stage: MakeStage, tmp_path: Path) -> None:
    commit(tmp_path / "octo/notes", {"a": "1"})
    with hub(tmp_path) as server, hub(tmp_path, moved_to=server) as old:
        told = await failure(stage, f"{old}/octo/notes.git", allow_hosts=["127.0.0.1"])
    assert "has moved; give the address where it is now" in told


def test_what_was_looked_up_is_what_git_connects_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"one.example": ["93.184.215.14", "10.0.0.1"], "six.example": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"]}
    looked_up = lambda host, port, **_: [(0, 0, 0, "", (address, port)) for address in answers[host]]  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    assert checked_host("https://one.example/a.git", ()) == "one.example:443:93.184.215.14"
    assert checked_host("http://six.example:81/a", ()) == "six.example:81:[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"
    assert checked_host("https://one.example/a.git", ["one.example"]) == checked_host("/srv/a", ()) == ""
