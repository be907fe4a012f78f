"""The nine steps of codebase_assess over a repository, whose documents are compared with what git and a count say."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from app.queue.documents import StoredDocument
from app.queue.status import Status
from app.work.definitions import BUNDLED

from .git_repositories import commit, git
from .whole_runs import Ended, Runs

DEFINITION = (BUNDLED / "codebase_assess.toml").read_text()
STEPS = [
    "code_map",
    "import_files",
    "classify_files",
    "extract_build_info",
    "identify_components",
    "build_graph",
    "generate_index",
    "generate_summary",
    "generate_map",
]


def repository(folder: Path) -> Path:
    """Three Python packages of which each imports the one before, a page in TypeScript, a Go command, tests, a
    malformed manifest, and things that git ignores."""
    files: dict[str, str | bytes | None] = {
        ".gitignore": "ignored/\n*.log\n",
        "README.md": "# Notes\n\nThey are kept.\n",
        "LICENSE": "As you like\n",
        "pyproject.toml": '[project]\nname = "notes"\nversion = "1.2"\ndependencies = ["httpx>=0.28"]\n'
        '[project.scripts]\nnotes = "first.cli:main"\n',
        "Makefile": "test:\n\tpytest\n",
        "Dockerfile": "FROM python:3.12-slim\nCOPY . /srv\n",
        "page/package.json": '{"name": "page", "dependencies": {"react": "^18.0.0"}, "scripts": {"test": "vitest"}}',
        "page/src/index.ts": 'import { show } from "./show";\nimport React from "react";\n\nshow(React);\n',
        "page/src/show.ts": "export function show(x: unknown) {\n\n  return x;\n}",
        "page/tsconfig.json": "{}\n",
        "broken/package.json": '{\n  "name": \n}\n',
        "tool/go.mod": "module example.org/tool\n\ngo 1.22\n\nrequire golang.org/x/sync v0.7.0\n",
        "tool/main.go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("a")\n}\n',
        "docs/begin.md": "# Begin\n",
        "page/logo.png": bytes(range(256)),
        "tests/test_first.py": "import first.part_0\n\n\ndef test_it():\n    assert first\n",
    }
    before = ""
    for package in ("first", "second", "third"):
        files[f"{package}/__init__.py"] = ""
        for number in range(4):
            imported = f"import {before}.part_{number}\n" if before else "import os\n"
            files[f"{package}/part_{number}.py"] = imported + " \t\n" * number + "x = 1\n" * (number + 1)
        before = package
    files["first/cli.py"] = "def main():\n    pass\n"
    commit(folder, files)
    (folder / "ignored").mkdir()
    (folder / "ignored" / "pyproject.toml").write_text("not read")
    (folder / "a.log").write_text("not read")
    return folder


def by_type(ended: Ended, source_type: str) -> dict[str, StoredDocument]:
    return {each.address.partition(":")[2]: each for each in ended.documents if each.source_type == source_type}


def lines_of(path: Path) -> tuple[int, int]:
    """Lines, and those among them that are blank, of a file of text; counted in another way than the steps do."""
    content = path.read_bytes()
    if b"\0" in content:
        return 0, 0
    lines = re.findall(rb"[^\n]*\n|[^\n]+$", content)
    return len(lines), sum(1 for line in lines if not line.strip())


async def test_codebase_assess_finds_out_what_git_and_a_count_find_out(runs: Runs, tmp_path: Path) -> None:
    folder = repository(tmp_path / "notes")
    tracked = git(folder, "ls-files").splitlines()
    lines = {path: lines_of(folder / path) for path in tracked}
    ended = await runs.run(DEFINITION, folder=str(folder))
    assert (ended.run.status, [step.name for step in ended.run.steps]) == (Status.COMPLETED, STEPS)
    assert {step.name: step.counts.failed for step in ended.run.steps if step.counts.failed} == {
        "extract_build_info": 1
    }
    assert {step.status for step in ended.run.steps} == {Status.COMPLETED}
    assert ended.run.document_count == len(ended.documents), "each was made by this run, and counts once"

    files = by_type(ended, "file")
    assert sorted(files) == sorted(f"{folder}/{path}" for path in tracked)

    size = by_type(ended, "code_base")[str(folder)].metadata["code_map"]
    total, blank = (sum(numbers[at] for numbers in lines.values()) for at in (0, 1))
    assert (size["files"], size["code"], size["blank"]) == (len(tracked), total - blank, blank)
    suffixes = Counter(Path(path).suffix for path in tracked)
    languages = {"Python": ".py", "TypeScript": ".ts", "Go": ".go", "Markdown": ".md", "TOML": ".toml", "JSON": ".json"}
    assert {name: size["languages"][name]["files"] for name in languages} == {
        name: suffixes[suffix] for name, suffix in languages.items()
    }
    _check_build_info(ended, folder)
    _check_parts(ended, folder)
    _check_written(ended, folder, lines)

    again = await runs.run(DEFINITION, folder=str(folder))
    assert (again.run.status, again.run.document_count) == (Status.COMPLETED, 0), "nothing is new"


def _check_build_info(ended: Ended, folder: Path) -> None:
    found = {path.removeprefix(f"{folder}/"): each for path, each in by_type(ended, "build_info").items()}
    facts: dict[str, dict[str, Any]] = {path: each.metadata["extract_build_info"] for path, each in found.items()}
    manifests = ["Dockerfile", "Makefile", "broken/package.json", "page/package.json", "pyproject.toml", "tool/go.mod"]
    assert sorted(facts) == manifests
    assert {path: [each["name"] for each in said.get("dependencies", [])] for path, said in facts.items()} == {
        "Dockerfile": [],
        "Makefile": [],
        "broken/package.json": [],
        "page/package.json": ["react"],
        "pyproject.toml": ["httpx"],
        "tool/go.mod": ["golang.org/x/sync"],
    }
    assert (facts["broken/package.json"]["line"], facts["Dockerfile"]["base_images"]) == (3, ["python:3.12-slim"])


def _check_parts(ended: Ended, folder: Path) -> None:
    components = {path.removeprefix(str(folder)).lstrip("/") for path in by_type(ended, "component")}
    assert {"", "first", "second", "third", "tests", "docs", "page", "tool"} <= components
    graph = by_type(ended, "dependency_graph")[str(folder)].metadata["dependency_graph"]
    between = {(each["from"], each["to"]): each["imports"] for each in graph["edges"]}
    packages = ("first", "second", "third", "tests")
    assert {pair: number for pair, number in between.items() if set(pair) <= set(packages)} == {
        ("second", "first"): 4,
        ("third", "second"): 4,
        ("tests", "first"): 1,
    }
    assert {"react", "fmt", "os"} <= {each["name"] for each in graph["external"]}
    assert graph["cycles"] == []


def _check_written(ended: Ended, folder: Path, lines: dict[str, tuple[int, int]]) -> None:
    written = {kind: by_type(ended, kind)[str(folder)] for kind in ("index", "summary", "map")}
    facts = {kind: document.metadata["summary"] for kind, document in written.items()}
    assert {kind: said["missing"] for kind, said in facts.items()} == {"index": [], "summary": [], "map": []}
    rows = re.findall(r"^\| (\S+) \| [^|]+ \| [^|]+ \| ([\d,]+) \|$", written["index"].body, re.MULTILINE)
    assert {path.replace("\\", ""): int(number) for path, number in rows} == {
        path: number for path, (number, _) in lines.items()
    }
    assert facts["index"]["categories"]["test"] == 1 and sum(facts["index"]["categories"].values()) == len(lines)
    summary = written["summary"].body
    assert "| broken/package.json | 3 | is not JSON" in summary
    assert "| notes | first.cli\\:main | pyproject.toml |" in summary
    assert facts["summary"]["components"] == len(by_type(ended, "component"))
    assert facts["map"]["graph"] == f"dependency_graph:{folder}"
    assert "- **page/**" in written["map"].body and "| third | second | 4 |" in written["map"].body


async def test_what_fails_on_the_way_is_missing_from_the_summary_and_nothing_else(runs: Runs, tmp_path: Path) -> None:
    """In an earlier system the last steps failed at their start for lack of documents."""
    folder = repository(tmp_path / "notes")
    broken = DEFINITION.replace('type = "identify_components"', 'type = "command"\nprogram = "false"').replace(
        'folder = "{folder}"\ntags = ["codebase"]\n\n[step.build_graph]', 'folder = "{folder}"\n\n[step.build_graph]'
    )
    assert broken != DEFINITION
    ended = await runs.run(broken, folder=str(folder))
    assert {step.name for step in ended.run.steps if step.status == Status.FAILED} == {"identify_components"}
    assert ended.run.status == Status.COMPLETED
    (summary,) = by_type(ended, "summary").values()
    assert [each.partition(":")[0] for each in summary.metadata["summary"]["missing"]] == ["Components"]
    assert "| notes | 1.2 |" in summary.body
    assert len(by_type(ended, "map")) == len(by_type(ended, "dependency_graph")) == 1
