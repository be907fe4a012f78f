"""The structure, the languages and the lines of code of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.steps.code_map import CodeMap
from app.steps.languages import language_of
from app.work.step_type import StoredDocument

from .conftest import MakeStage


@pytest.fixture
def code_base(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for directory in ("src/deep/er", "docs", "ignored"):
        (folder / directory).mkdir(parents=True)
    (folder / "src/a.py").write_text("import os\n\n\nprint(os)")
    (folder / "src/deep/b.py").write_text("x = 1\r\n\r\ny = 2\r\n")
    (folder / "src/deep/er/run").write_text("#!/usr/bin/env bash\necho\n")
    (folder / "docs/index.md").write_text("# Title\n\ntext\n")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\0")
    (folder / "utf16.txt").write_bytes("one\n\ntwo\n".encode("utf-16"))
    (folder / "ignored/x.py").write_text("x\n")
    (folder / ".gitignore").write_text("ignored/\n")
    return folder


async def test_one_work_item_per_top_level_directory_and_one_for_the_whole(code_base: Path, stage: MakeStage) -> None:
    results = await stage(CodeMap, folder=str(code_base)).run()
    assert list(results) == ["docs/", "src/", "whole folder"]
    assert {key: results["src/"][key] for key in ("files", "code", "blank")} == {"files": 3, "code": 6, "blank": 3}
    whole = results["whole folder"]
    assert (whole["files"], whole["code"], whole["blank"]) == (7, 11, 5)
    assert {name: lines["files"] for name, lines in whole["languages"].items()} == {
        "Python": 2,
        "Markdown": 1,
        "Shell": 1,
        "Text": 1,
        "Ignore list": 1,
        "Binary": 1,
    }
    assert sum(lines["bytes"] for lines in whole["languages"].values()) == whole["bytes"]


async def test_the_code_base_and_its_directories_become_documents(code_base: Path, stage: MakeStage) -> None:
    documents: dict[str, StoredDocument] = {}
    await stage(CodeMap, documents, folder=str(code_base), max_depth=2, tags=["codebase"]).run()
    assert {(document.title, document.source_type) for document in documents.values()} == {
        ("shop", "code_base"),
        ("docs", "directory"),
        ("src", "directory"),
        ("src/deep", "directory"),
    }
    whole = documents[f"file:{code_base}"]
    assert whole.tags == ("codebase",)
    assert "Python: 2 files, 4 lines of code, 3 blank lines" in whole.body
    assert "src/: 3 files, 6 lines of code" in whole.body
    assert whole.metadata["code_map"]["files"] == 7


async def test_documents_of_directories_that_are_gone_are_removed(code_base: Path, stage: MakeStage) -> None:
    documents: dict[str, StoredDocument] = {}
    await stage(CodeMap, documents, folder=str(code_base)).run()
    (code_base / "docs/index.md").unlink()
    await stage(CodeMap, documents, folder=str(code_base)).run()
    assert f"file:{code_base}/docs" not in documents and f"file:{code_base}/src" in documents


async def test_a_cancelled_count_saves_and_removes_nothing(code_base: Path, stage: MakeStage) -> None:
    documents: dict[str, StoredDocument] = {}
    await stage(CodeMap, documents, folder=str(code_base)).run()
    known = set(documents)
    on_stage = stage(CodeMap, documents, folder=str(code_base))
    on_stage.context.cancelled = True
    await on_stage.run()
    assert set(documents) == known and on_stage.context.saves == []


async def test_a_file_that_cannot_be_read_counts_without_lines(
    code_base: Path, stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, limit: int) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("app.steps.code_map.read_file", refuse)
    whole = (await stage(CodeMap, folder=str(code_base)).run())["whole folder"]
    assert (whole["files"], whole["code"]) == (7, 0)


async def test_an_empty_folder_is_a_code_base_without_files(tmp_path: Path, stage: MakeStage) -> None:
    on_stage = stage(CodeMap, folder=str(tmp_path))
    assert (await on_stage.run())["whole folder"]["files"] == 0
    assert on_stage.context.messages("info") == ["whole folder: no files"]


async def test_hostile_directory_names_break_no_line(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "two\nlines").mkdir()
    (tmp_path / "two\nlines/a.py").touch()
    on_stage = stage(CodeMap, folder=str(tmp_path))
    assert list(await on_stage.run()) == ["'two\\nlines'/", "whole folder"]
    assert all(message.isprintable() for _, message in on_stage.context.lines)


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("src/a.PY", b"", "Python"),
        ("Makefile", b"", "Makefile"),
        ("CMakeLists.txt", b"", "CMake"),
        ("a.tsx", b"", "TypeScript"),
        ("run", b"#!/usr/bin/python3.12 -u\n", "Python"),
        ("run", b"#!/usr/bin/env -S A=1 node --x\n", "JavaScript"),
        ("run", b"#! /bin/sh", "Shell"),
        ("run", b"#!/opt/unheard-of", "Other"),
        ("run", b"", "Other"),
        ("a.\u202ecba", b"", "Other"),
    ],
)
def test_the_language_is_told_by_name_and_first_line(path: str, content: bytes, language: str) -> None:
    assert language_of(path, content) == language
