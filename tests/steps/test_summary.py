"""Index, summary and map of a code base: what earlier steps have found is in them, what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest

from app.steps.summary import Summary
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage, RecordingContext

BODIES = {
    "README.md": "# Notes\n\nThey are kept.\n",
    "pyproject.toml": "[project]\nname = 'notes'\n",
    "notes/cli.py": "import sys\n\n\ndef main():\n    pass\n",
    "tests/test_cli.py": "def test_it():\n    pass\n",
    "broken/package.json": "{\n",
}
CATEGORIES = {"README.md": "documentation", "notes/cli.py": "source", "tests/test_cli.py": "test"}
BUILD_INFO = {
    "path": "pyproject.toml",
    "kind": "pyproject.toml",
    "build_tool": "hatchling",
    "language": "Python",
    "name": "notes",
    "version": "1.2",
    "description": "Keeps <notes>",
    "language_version": ">=3.11",
    "dependencies": [
        {"name": "pytest", "constraint": "", "scope": "test", "group": ""},
        {"name": "httpx", "constraint": ">=0.28", "scope": "run", "group": ""},
        {"name": "httpx", "constraint": ">=0.28", "scope": "run", "group": "again"},
    ],
    "commands": {"test": "pytest"},
    "entry_points": {"notes": "notes.cli:main"},
    "base_images": [],
    "ports": [],
    "parts": [],
    "tags": [],
}
FAULT = {"path": "broken/package.json", "kind": "package.json", "error": "is not JSON", "line": 2, "tags": []}
COMPONENT = {
    "name": "notes",
    "path": "notes",
    "kind": "package",
    "language": "Python",
    "files": 1,
    "lines": 5,
    "entry_points": ["notes = notes.cli:main", "notes/__main__.py"],
    "tags": [],
}
GRAPH = {
    "nodes": [{"id": "notes", "files": 1}, {"id": "tests", "files": 1}],
    "edges": [{"from": "tests", "to": "notes", "imports": 1}],
    "external": [{"name": "sys", "imports": 1}],
    "cycles": [["a", "b"]],
    "tags": [],
}
SIZE = {"files": 7, "code": 12, "blank": 3, "bytes": 200}
EXTENT = {**SIZE, "languages": {"Python": {**SIZE, "files": 2, "code": 9}, "Markdown": {**SIZE, "code": 3}}, "tags": []}


def stored(address: str, source_type: str, body: str = "", **facts: Any) -> dict[str, StoredDocument]:
    return {address: StoredDocument(address, address, body, source_type, ("codebase",), facts)}


def files() -> dict[str, StoredDocument]:
    documents: dict[str, StoredDocument] = {}
    for path, body in BODIES.items():
        facts: dict[str, Any] = {"import_files": {"path": path, "binary": False, "tags": []}}
        facts["rule_classify_files"] = {"category": CATEGORIES.get(path, "build"), "rule": "", "tags": []}
        documents |= stored(f"file:/code/{path}", "file", body, **facts)
    return documents


def everything() -> dict[str, StoredDocument]:
    return (
        files()
        | stored("file:/code", "code_base", code_map=EXTENT)
        | stored("file:/code/notes", "directory", code_map=EXTENT)
        | stored("build_info:/code/pyproject.toml", "build_info", extract_build_info=BUILD_INFO)
        | stored("build_info:/code/broken/package.json", "build_info", extract_build_info=FAULT)
        | stored("component:/code/notes", "component", identify_components=COMPONENT)
        | stored("dependency_graph:/code", "dependency_graph", dependency_graph=GRAPH)
    )


async def written(
    stage: MakeStage, kind: str, documents: dict[str, StoredDocument], **settings: Any
) -> tuple[StoredDocument, dict[str, Any], RecordingContext]:
    """The document that was made, its facts, and what was said."""
    on_stage = stage(Summary, documents, kind=kind, folder="/code", **settings)
    (result,) = (await on_stage.run()).values()
    if isinstance(result, Exception):
        raise result
    document = documents[f"{kind}:/code"]
    return document, document.metadata["summary"], on_stage.context


async def test_the_index_names_every_file_with_language_category_and_lines(stage: MakeStage) -> None:
    document, facts, context = await written(stage, "index", everything(), tags=["overview"])
    assert (document.title, document.source_type, document.tags) == ("Index of code", "index", ("overview",))
    assert (facts["files"], facts["lines"]) == (5, sum(body.count("\n") for body in BODIES.values()))
    assert facts["categories"] == {"build": 2, "documentation": 1, "source": 1, "test": 1}
    assert "| notes/cli.py | Python | source | 5 |" in document.body
    headings = [line for line in document.body.splitlines() if line.startswith("#")]
    assert headings == ["# Index of code", "## code", "## broken/", "## notes/", "## tests/"]
    assert "The folder has 7 files, 12 lines of code; 2 were not imported." in document.body
    assert facts["missing"] == context.messages("warn") == []


async def test_the_summary_says_what_the_code_base_is(stage: MakeStage) -> None:
    document, facts, context = await written(stage, "summary", everything())
    assert "code is a code base of 7 files, 12 lines of code, mainly Python." in document.body
    assert "It is built with hatchling. It has 1 component." in document.body
    assert "> Keeps \\<notes\\>" in document.body
    assert "| Python | 2 | 9 | 75.0 % |" in document.body
    assert "| pyproject.toml | notes | 1.2 | Python | \\>=3.11 | hatchling | 3 |" in document.body
    assert "| broken/package.json | 2 | is not JSON |" in document.body
    assert document.body.count("| httpx |") == 1
    assert document.body.index("| httpx |") < document.body.index("| pytest |"), "what it runs on comes first"
    assert "| notes | notes.cli\\:main | pyproject.toml |" in document.body
    assert "1 file with 2 lines of code, beside 3 lines of source." in document.body
    assert "- Run by: test \\(pyproject.toml\\)" in document.body
    assert "| README.md | Markdown | 3 |" in document.body
    assert facts["entry_points"] == ["notes = notes.cli:main", "__main__.py = notes/__main__.py"]
    assert (facts["dependencies"], facts["components"], facts["unreadable"]) == (2, 1, ["broken/package.json"])
    assert facts["missing"] == context.messages("warn") == []


async def test_the_map_shows_folders_components_and_dependencies(stage: MakeStage) -> None:
    document, facts, context = await written(stage, "map", everything())
    assert "- **code/** 7 files, 12 lines of code; Python and Markdown" in document.body
    assert "\n  - **notes/** 7 files" in document.body
    assert "| notes | package | notes | 1 | component\\:/code/notes |" in document.body
    assert "| tests | notes | 1 |" in document.body and "- in a cycle: a and b" in document.body
    assert (facts["components"], facts["graph"]) == (["component:/code/notes"], "dependency_graph:/code")
    assert facts["missing"] == context.messages("warn") == []


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("index", ["Sizes", "Categories"]),
        ("summary", ["Sizes", "Categories", "Build", "Components"]),
        ("map", ["Sizes", "Components", "Dependencies"]),
    ],
)
async def test_what_is_missing_is_named_and_the_rest_is_made(stage: MakeStage, kind: str, parts: list[str]) -> None:
    bare = {
        address: StoredDocument(address, "", document.body, "file", ("codebase",))
        for address, document in files().items()
    }
    document, facts, context = await written(stage, kind, bare)
    assert [sentence.partition(":")[0] for sentence in facts["missing"]] == parts
    assert context.messages("warn") == [f"missing: {sentence}" for sentence in facts["missing"]]
    assert document.body.count("\n- ", document.body.index("## Missing")) == len(parts)
    assert facts["files"] == len(BODIES), "counted from the imported files"


async def test_without_files_the_map_is_still_made_and_the_summary_says_so(stage: MakeStage) -> None:
    counted = stored("file:/code", "code_base", code_map=EXTENT)
    document, facts, _ = await written(stage, "summary", counted)
    assert "7 files, 12 lines of code" in document.body and facts["missing"][0].startswith("Files: no documents")
    document, _, _ = await written(stage, "map", counted)
    assert "**code/** 7 files" in document.body


async def test_of_a_folder_of_which_nothing_is_known_there_is_nothing_to_write(stage: MakeStage) -> None:
    elsewhere = {"file:/codes/a.py": StoredDocument("file:/codes/a.py", "a.py", "", "file")}
    with pytest.raises(
        PermanentError, match=r"there are no documents about /code with the tags x; steps of type code_map"
    ):
        await written(stage, "index", elsewhere, filter_tags=["x"])
    assert list(elsewhere) == ["file:/codes/a.py"]


async def test_manifests_of_tests_and_of_others_say_nothing_about_the_build(stage: MakeStage) -> None:
    documents = files()
    for place in ("vendor", "tests"):
        category = {"category": "vendored" if place == "vendor" else "test", "rule": "", "tags": []}
        documents |= stored(f"file:/code/{place}/go.mod", "file", rule_classify_files=category)
    _, facts, _ = await written(stage, "summary", documents)
    assert facts["missing"][1].startswith("Build: 2 of 2 manifests have not been read")


async def test_a_classification_by_a_model_goes_before_one_by_rules(stage: MakeStage) -> None:
    both = {
        "category_classifier": {"category": "script", "tags": []},
        "rule_classify_files": {"category": "x", "tags": []},
    }
    _, facts, _ = await written(stage, "index", stored("file:/code/a.py", "file", **both))
    assert facts["categories"] == {"script": 1}


async def test_only_files_with_the_tags_count(stage: MakeStage) -> None:
    documents = files() | {"file:/code/other.py": StoredDocument("file:/code/other.py", "", "x", "file")}
    _, facts, _ = await written(stage, "index", documents, filter_tags=["codebase"])
    assert facts["files"] == len(BODIES)


async def test_hostile_names_break_no_table_and_no_line(stage: MakeStage) -> None:
    names = [
        "a|b.py",
        "<script>.py",
        "two\nlines.py",
        "`code`.py",
        "[x](javascript:1).py",
        "# head/# x.py",
        "right\u202etfel.py",
    ]
    documents = {f"file:/code/{name}": StoredDocument(f"file:/code/{name}", "", "x\n", "file") for name in names}
    document, facts, context = await written(stage, "index", documents)
    assert facts["files"] == len(names)
    rows = [line for line in document.body.splitlines() if line.endswith(" | Python | unknown | 1 |")]
    assert len(rows) == len(names)
    assert "<script>" not in document.body and "\u202e" not in document.body and "| a\\|b.py |" in document.body
    for kind in ("summary", "map"):
        assert "<script>" not in (await written(stage, kind, documents))[0].body
    assert all(message.isprintable() for _, message in context.lines)


async def test_a_second_writing_takes_the_place_of_the_first(stage: MakeStage) -> None:
    documents = everything()
    first, _, _ = await written(stage, "summary", documents, tags=["old"])
    del documents["file:/code/tests/test_cli.py"]
    second, _, _ = await written(stage, "summary", documents, tags=["new"])
    assert ("## Tests" in first.body, "## Tests" in second.body, second.tags) == (True, False, ("new",))
