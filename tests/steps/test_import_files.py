"""Files become documents, and what is wrong with one of them never harms the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.steps import import_files
from app.steps.import_files import ImportFiles, ImportFilesSettings
from app.work.step_type import StoredDocument

from .conftest import MakeStage, RecordingContext

HOSTILE = [
    'it\'s "quoted".py',
    "two\nlines.py",
    "<script>alert(1)</script>.py".replace("/", "\u2215"),
    "right\u202etfel.py",
]


async def imported(
    stage: MakeStage, folder: Path, documents: dict[str, StoredDocument], **settings: Any
) -> RecordingContext:
    on_stage = stage(ImportFiles, documents, folder=str(folder), **settings)
    await on_stage.run()
    return on_stage.context


def titles(documents: dict[str, StoredDocument]) -> list[str]:
    return [document.title for document in documents.values()]


async def test_each_file_becomes_a_document_with_tags_and_facts(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/A.PY").write_text("größe = 1\n")
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents, tags=["codebase"])
    document = documents[f"file:{tmp_path}/src/A.PY"]
    assert (document.title, document.body, document.source_type) == ("src/A.PY", "größe = 1\n", "file")
    assert document.tags == ("codebase",)
    assert document.metadata["import_files"] == {
        "folder": str(tmp_path),
        "path": "src/A.PY",
        "extension": ".py",
        "size": 12,
        "binary": False,
        "encoding": "utf-8",
        "tags": ["codebase"],
    }


async def test_the_unchanged_are_skipped_and_the_changed_keep_what_others_found_out(
    tmp_path: Path, stage: MakeStage
) -> None:
    (tmp_path / "same").write_text("1")
    (tmp_path / "other").write_text("1")
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents)
    changed = documents[f"file:{tmp_path}/other"]
    changed.metadata["rule_classify_files"] = {"category": "data"}
    (tmp_path / "other").write_text("2")
    context = await imported(stage, tmp_path, documents)
    assert context.saves == [changed.address]
    assert documents[changed.address].body == "2"
    assert documents[changed.address].metadata["rule_classify_files"] == {"category": "data"}
    assert context.messages("info")[-1] == "1 imported, 1 unchanged"


async def test_new_tags_replace_the_former_ones_of_this_step_alone(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "a").write_text("1")
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents, tags=["old"])
    await imported(stage, tmp_path, documents, tags=["new"])
    assert documents[f"file:{tmp_path}/a"].tags == ("new",)


async def test_documents_of_files_that_are_gone_or_ignored_by_now_are_removed(tmp_path: Path, stage: MakeStage) -> None:
    for name in ("stays.py", "goes.py", "secret.env", "notes.txt"):
        (tmp_path / name).write_text(name)
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents)
    (tmp_path / "goes.py").unlink()
    (tmp_path / ".gitignore").write_text("*.env\n.gitignore\n")
    context = await imported(stage, tmp_path, documents, extensions=["py"])
    assert titles(documents) == ["notes.txt", "stays.py"], "another import's other extensions are none of this one's"
    assert "2 documents removed, their files are gone" in context.messages("info")


async def test_documents_in_a_directory_that_cannot_be_listed_are_kept(
    tmp_path: Path, stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked/a").write_text("1")
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents)
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    context = await imported(stage, tmp_path, documents)
    assert titles(documents) == ["locked/a"]
    assert context.messages("warn") == [
        f"{tmp_path}/locked: directory skipped, it cannot be listed (Permission denied)"
    ]


async def test_unreadable_and_vanished_files_are_warnings_that_name_them(
    tmp_path: Path, stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "gone", "locked\n", "replaced", "z"):
        (tmp_path / name).write_text(name)
    on_stage = stage(ImportFiles, {}, folder=str(tmp_path))
    (item,) = on_stage.plan()
    for name in ("gone", "replaced"):
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "replaced")
    real = import_files.read_file

    def read_file(path: str, limit: int) -> bytes:
        if "locked" in path:
            raise PermissionError(13, "Permission denied", path)
        return real(path, limit)

    monkeypatch.setattr(import_files, "read_file", read_file)
    assert on_stage.step_type.run(on_stage.context, item) == {"imported": 2, "unreadable": 3}
    assert titles(on_stage.context.stored) == ["a", "z"]
    assert on_stage.context.messages("warn") == [
        "gone: skipped, it cannot be read (No such file or directory)",
        "'locked\\n': skipped, it cannot be read (Permission denied)",
        "replaced: skipped, it cannot be read (is not a regular file)",
    ]


async def test_mixed_encodings_and_null_bytes(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "utf16").write_bytes("größe".encode("utf-16"))
    (tmp_path / "latin").write_bytes("größe, straße".encode("latin-1"))
    (tmp_path / "null").write_bytes(b"a\0b")
    (tmp_path / "empty").touch()
    documents: dict[str, StoredDocument] = {}
    context = await imported(stage, tmp_path, documents)
    found = {d.title: (d.body, d.metadata["import_files"]["binary"]) for d in documents.values()}
    assert found == {
        "utf16": ("größe", False),
        "latin": ("größe, straße", False),
        "null": ("", True),
        "empty": ("", False),
    }
    assert context.messages("warn") == ["latin: not UTF-8, read as cp1252"]


async def test_a_file_over_the_limit_is_left_out_with_a_line(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "fits").write_bytes(b"x" * 1000)
    (tmp_path / "large").write_bytes(b"x" * 1001)
    documents: dict[str, StoredDocument] = {}
    context = await imported(stage, tmp_path, documents, max_file_size=1000)
    assert titles(documents) == ["fits"]
    assert "large: skipped, it is larger than 1,000 bytes" in context.messages("info")


async def test_hostile_names_are_imported_and_break_no_line(tmp_path: Path, stage: MakeStage) -> None:
    for name in HOSTILE:
        (tmp_path / name).write_bytes(b"x = '\xe9'")
    documents: dict[str, StoredDocument] = {}
    context = await imported(stage, tmp_path, documents)
    assert sorted(titles(documents)) == sorted(HOSTILE)
    assert len(context.messages("warn")) == len(HOSTILE)
    assert all(message.isprintable() for _, message in context.lines)


async def test_only_the_wanted_extensions_and_paths(tmp_path: Path, stage: MakeStage) -> None:
    for name in ("a.py", "b.PY", "c.txt", "skip_me.py"):
        (tmp_path / name).touch()
    documents: dict[str, StoredDocument] = {}
    await imported(stage, tmp_path, documents, extensions=[".py"], exclude_paths=["skip*"])
    assert titles(documents) == ["a.py", "b.PY"]


def test_batches_are_named_after_what_is_in_them(tmp_path: Path, stage: MakeStage) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").touch()
    items = stage(ImportFiles, folder=str(tmp_path), batch_size=2).plan()
    assert [item.name for item in items] == ["0.txt to 1.txt (2 files)", "2.txt to 3.txt (2 files)", "4.txt"]


def test_an_empty_folder_has_no_work_items(tmp_path: Path, stage: MakeStage) -> None:
    assert stage(ImportFiles, folder=str(tmp_path)).plan() == []


def test_a_bad_pattern_is_refused_at_load() -> None:
    with pytest.raises(ValidationError, match=r"'\[z-a\]' is not a path pattern"):
        ImportFilesSettings(folder="/", exclude_paths=["[z-a]"])
