"""The imports of Stepglass's own files, held against two tools that know nothing of these parsers."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

import app
from app.steps.imports._parsing import imports_of
from app.steps.imports.code_base import CodeBase
from app.steps.imports.found import FileImports
from app.steps.imports.graph import resolved

ROOT = Path(app.__file__).parent


@pytest.fixture(scope="module")
def parsed() -> dict[str, FileImports]:
    files = {f"app/{path.relative_to(ROOT)}": path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    assert len(files) > 150
    return {path: imports_of(path, text) for path, text in files.items()}


def test_each_file_imports_what_pythons_own_parser_finds(parsed: dict[str, FileImports]) -> None:
    for path, found in parsed.items():
        told = {(each.kind, each.target, *each.names) for each in found.imports}
        assert told == set(_by_ast((ROOT.parent / path).read_text())), path


def _by_ast(text: str) -> list[tuple[str, ...]]:
    imports: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imports += (("import", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports.append(("from", module, *(alias.name for alias in node.names)))
    return imports


def test_imports_mean_the_modules_that_grimp_finds(parsed: dict[str, FileImports]) -> None:
    graph = grimp.build_graph("app", cache_dir=None)
    expected = {(start, end) for start in graph.modules for end in graph.find_modules_directly_imported_by(start)}
    pairs, _ = resolved(CodeBase(frozenset(parsed), parsed, {}))
    # grimp passes over migrations: their file names are no names of modules.
    modules = {(_module(start), _module(end)) for start, end in pairs if "/migrations/" not in start}
    assert len(modules) > 500
    assert modules == expected


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
