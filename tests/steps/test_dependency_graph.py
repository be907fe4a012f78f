"""The dependency graph of a code base: right whatever happened to single files and work items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.steps.dependency_graph import BATCH, DependencyGraph
from app.steps.import_files import ImportFiles
from app.steps.imports import _parsing
from app.work.step_type import StoredDocument

from .conftest import MakeStage
from .whole_runs import Runs

Documents = dict[str, StoredDocument]
Graphed = Callable[..., Any]


@pytest.fixture
def code_base(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for path, text in {
        "pyproject.toml": "[project]\nname = 'shop'",
        "shop/__init__.py": "",
        "shop/cart/__init__.py": "from shop.prices import total",
        "shop/prices/__init__.py": "import shop.cart\nimport yaml, os",
        "web/app.js": "import './lib/x.js'",
        "web/lib/x.js": "import 'react'",
        "README.md": "import nothing",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture
async def documents(code_base: Path, stage: MakeStage) -> Documents:
    documents: Documents = {}
    await stage(ImportFiles, documents, folder=str(code_base)).run()
    return documents


def graph_in(documents: Documents, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = documents[f"dependency_graph:{folder}"].metadata["dependency_graph"]
    return facts


async def test_one_document_tells_which_folders_import_which(
    code_base: Path, documents: Documents, stage: MakeStage
) -> None:
    on_stage = stage(DependencyGraph, documents, folder=f"{code_base}/../shop/", tags=["codebase"])
    results = await on_stage.run()
    assert results["the graph"] == {"files": 5, "nodes": 5, "edges": 3, "external": 3, "cycles": 1}
    graph = graph_in(documents, code_base)
    assert graph["edges"] == [
        {"from": "shop/cart", "to": "shop/prices", "imports": 1},
        {"from": "shop/prices", "to": "shop/cart", "imports": 1},
        {"from": "web", "to": "web/lib", "imports": 1},
    ]
    assert graph["cycles"] == [["shop/cart", "shop/prices"]]
    assert [each["name"] for each in graph["external"]] == ["react", "yaml", "os"]
    document = documents[f"dependency_graph:{code_base}"]
    assert (document.title, document.source_type, document.tags) == (
        "Dependencies of shop",
        "dependency_graph",
        ("codebase",),
    )
    assert "- shop/cart → shop/prices → shop/cart" in document.body
    assert "| web | web/lib | 1 |" in document.body


async def test_files_that_have_not_changed_are_not_parsed_again(
    code_base: Path, documents: Documents, stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage(DependencyGraph, documents, folder=str(code_base)).run()
    before = graph_in(documents, code_base)
    (code_base / "web/lib/x.js").write_text("import '../app.js'")
    await stage(ImportFiles, documents, folder=str(code_base)).run()
    parsed: list[str] = []
    parse = _parsing.imports_of
    monkeypatch.setattr(_parsing, "imports_of", lambda path, text: (parsed.append(path), parse(path, text))[1])
    on_stage = stage(DependencyGraph, documents, folder=str(code_base))
    assert list(await on_stage.run()) == ["web/lib/x.js", "the graph"]
    assert parsed == ["web/lib/x.js"]
    assert len(graph_in(documents, code_base)["cycles"]) == len(before["cycles"]) + 1


async def test_the_graph_is_whole_in_whatever_order_work_items_end_and_whichever_fail(
    code_base: Path, documents: Documents, stage: MakeStage
) -> None:
    alone = stage(DependencyGraph, dict(documents), folder=str(code_base))
    await alone.run()
    whole = graph_in(alone.context.stored, code_base)
    first = stage(DependencyGraph, documents, folder=str(code_base))
    *batches, graph = first.plan()
    assert first.step_type.run(first.context, graph)["files"] == 5, "no batch has been run"
    assert graph_in(documents, code_base) == whole
    for batch in batches:
        first.step_type.run(first.context, batch)
    assert first.step_type.run(first.context, graph)["files"] == 5, "and again after a crash"
    assert graph_in(documents, code_base) == whole


async def test_a_file_that_cannot_be_parsed_is_named_and_left_out(
    code_base: Path, documents: Documents, stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parsing, "MOST_CHARACTERS", 25)
    on_stage = stage(DependencyGraph, documents, folder=str(code_base))
    results = await on_stage.run()
    assert results["the graph"]["files"] == 3 and graph_in(documents, code_base)["left_out"] == 2
    assert on_stage.context.messages("warn") == [
        "shop/cart/__init__.py: left out, it has 29 characters, more than 25",
        "shop/prices/__init__.py: left out, it has 32 characters, more than 25",
    ]


async def test_vendored_and_binary_files_and_those_that_are_gone_are_left_out(
    code_base: Path, documents: Documents, stage: MakeStage
) -> None:
    address = f"file:{code_base}/web/lib/x.js"
    vendored = documents[address]
    facts = {**vendored.metadata, "rule_classify_files": {"category": "vendored"}}
    documents[address] = replace(vendored, metadata=facts)
    on_stage = stage(DependencyGraph, documents, folder=str(code_base))
    batch, graph = on_stage.plan()
    del documents[f"file:{code_base}/web/app.js"]
    assert on_stage.step_type.run(on_stage.context, batch) == {"parsed": 3, "gone": 1}
    assert on_stage.step_type.run(on_stage.context, graph)["files"] == 3


async def test_without_documents_it_says_which_step_makes_them(tmp_path: Path, stage: MakeStage) -> None:
    on_stage = stage(DependencyGraph, {}, folder=str(tmp_path))
    assert (await on_stage.run())["the graph"]["nodes"] == 0
    (warning,) = on_stage.context.messages("warn")
    assert "import_files with the same folder has to come first" in warning


async def test_files_of_a_folder_beside_with_a_longer_name_are_not_meant(
    code_base: Path, documents: Documents, stage: MakeStage
) -> None:
    (code_base.parent / "shop2").mkdir()
    (code_base.parent / "shop2/a.py").write_text("import os")
    await stage(ImportFiles, documents, folder=f"{code_base}2").run()
    on_stage = stage(DependencyGraph, documents, folder=str(code_base))
    assert (await on_stage.run())["the graph"]["files"] == 5


@pytest.mark.parametrize("name", ["a|b", "two\nlines", "<img src=x>", "`x`", "[x](javascript:y)", "right\u202etfel"])
async def test_hostile_names_stay_texts_in_the_report(name: str, tmp_path: Path, stage: MakeStage) -> None:
    folder = tmp_path / "shop"
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.py".replace("/", "")).write_text("import os")
    (folder / "b").mkdir()
    (folder / "b" / "x.py").touch()
    documents: Documents = {}
    await stage(ImportFiles, documents, folder=str(folder)).run()
    on_stage = stage(DependencyGraph, documents, folder=str(folder))
    await on_stage.run()
    from app.web.painting._markdown import html_of

    html = html_of(documents[f"dependency_graph:{folder}"].body)
    assert html.count("<tr>") == 2 + 1 + 2 and "<img" not in html and "<a " not in html and "<code>" not in html
    assert all(message.isprintable() for _, message in on_stage.context.lines)


async def test_many_files_are_parsed_by_several_work_items(tmp_path: Path, runs: Runs) -> None:
    folder = tmp_path / "code"
    (folder / "b").mkdir(parents=True)
    for number in range(2 * BATCH + 1):
        (folder / f"m{number:03}.py").write_text("import b.x, os")
    (folder / "b/x.py").write_text("from m000 import y")
    ended = await runs.run(
        """
[parameters.folder]
type = "folder"
[step.import_files]
type = "import_files"
folder = "{folder}"
[step.dependency_graph]
type = "dependency_graph"
folder = "{folder}"
""",
        folder=str(folder),
    )
    assert ended.completed, ended.lines
    (graph,) = [each for each in ended.documents if each.source_type == "dependency_graph"]
    assert graph.metadata["dependency_graph"]["edges"] == [
        {"from": ".", "to": "b", "imports": 101},
        {"from": "b", "to": ".", "imports": 1},
    ]
    assert sum(name.endswith(" files)") for name in ended.results) >= 3
    assert ended.run.steps[1].document_count == 1
