"""The components of a code base."""
# ruff: noqa: E501  a source is one line here

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.steps.components import Component, components_of
from app.steps.identify_components import IdentifyComponents
from app.steps.import_files import ImportFiles
from app.work.step_type import StoredDocument

from .conftest import MakeStage

ROOT = Path(__file__).parents[2]


def found(*files: str, categories: dict[str, str] | None = None, **texts: str) -> dict[str, tuple[str, str]]:
    """Kind and name by path; `texts`: contents of manifests, their slashes and dots written `__` and `_dot_`."""
    named = {key.replace("__", "/").replace("_dot_", "."): text for key, text in texts.items()}
    given = {path: (categories or {}).get(path, "") for path in sorted([*files, *named])}
    return {each.path: (each.kind, each.name) for each in components_of(given, named, "top")}


def one(**texts: str) -> Component:
    named = {key.replace("__", "/").replace("_dot_", "."): text for key, text in texts.items()}
    (component,) = components_of(dict.fromkeys(named, ""), named, "top")
    return component


def test_a_python_project_its_packages_tests_and_documentation() -> None:
    assert found(
        "app/__init__.py",
        "app/inner/__init__.py",
        "app/tests/__init__.py",
        "tests/conftest.py",
        "tests/unit/__init__.py",
        "docs/index.md",
        "tools/docs/x.md",
        pyproject_dot_toml="[project]\nname = 'shop'\nscripts = {shop = 'app:main'}",
    ) == {
        "": ("application", "shop"),
        "app": ("package", "app"),
        "docs": ("docs", "docs"),
        "tests": ("tests", "tests"),
    }


@pytest.mark.parametrize(
    ("manifest", "text", "kind", "name", "entries"),
    [
        ("pyproject_dot_toml", "[project]\nname='a'", "library", "a", ()),
        ("pyproject_dot_toml", "[tool.poetry]\nname='a'\n[tool.poetry.scripts]\nb='c:d'", "application", "a", ("b = c:d",)),
        ("setup_dot_cfg", "[metadata]\nversion = 1\nname = a\n[options]\nname = b", "library", "a", ()),
        ("setup_dot_py", "whatever", "library", "top", ()),
        ("package_dot_json", '{"name": "@x/a", "main": "m.js"}', "library", "@x/a", ("m.js",)),
        ("package_dot_json", '{"name": "a", "bin": "b.js"}', "application", "a", ("a = b.js",)),
        ("package_dot_json", '{"name": "a", "scripts": {"start": "x"}}', "application", "a", ()),
        ("Cargo_dot_toml", "[package]\nname='a'\n[[bin]]\nname='b'\npath='x.rs'", "application", "a", ("x.rs",)),
        ("go_dot_mod", "// x\nmodule example.org/a", "module", "example.org/a", ()),
        ("pom_dot_xml", "<project xmlns='m'><parent><artifactId>p</artifactId></parent><artifactId>a</artifactId></project>", "module", "a", ()),
        ("build_dot_gradle", "plugins {\n id 'application'\n}", "application", "top", ()),
        ("build_dot_gradle", "plugins {\n id 'java'\n}", "module", "top", ()),
        ("CMakeLists_dot_txt", "# project(no)\nproject(a C)\nadd_library(b x.c)", "library", "a", ()),
        ("CMakeLists_dot_txt", "PROJECT (a)\nadd_executable(run x.c)", "application", "a", ("run",)),
    ],
)  # fmt: skip
def test_what_manifests_say(manifest: str, text: str, kind: str, name: str, entries: tuple[str, ...]) -> None:
    component = one(**{manifest: text})
    assert (component.kind, component.name, component.entry_points) == (kind, name, entries)


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ("Cargo_dot_toml", "[workspace]\nmembers = []"),
        ("Cargo_dot_toml", "= ="),
        ("package_dot_json", "[]"),
        ("package_dot_json", "[" * 100_000),
        ("pom_dot_xml", "<project><packaging>pom</packaging></project>"),
        ("pom_dot_xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><project>&b;"),
        ("CMakeLists_dot_txt", "add_subdirectory(x)"),
    ],
)
def test_manifests_that_make_no_component(manifest: str, text: str) -> None:
    assert found(**{manifest: text}) == {}


def test_packages_of_other_languages() -> None:
    assert found(
        "crates/a/src/main.rs",
        "service/cart/cart.go",
        "service/cmd/run/main.go",
        "shop/src/main/java/org/A.java",
        "shop/src/test/java/org/ATest.java",
        "native/core/x.c",
        "native/core/deep/y.c",
        "native/y/z.hpp",
        crates__a__Cargo_dot_toml="[package]\nname = 'a'",
        service__go_dot_mod="module example.org/service",
    ) == {
        "crates/a": ("application", "a"),
        "native/core": ("module", "core"),
        "native/y": ("module", "y"),
        "service": ("module", "example.org/service"),
        "service/cart": ("package", "cart"),
        "service/cmd/run": ("application", "run"),
        "shop/src/main/java": ("module", "shop (main)"),
        "shop/src/test/java": ("tests", "shop (test)"),
    }


def test_a_package_named_doc_is_no_documentation() -> None:
    assert found("doc/man.go", "doc/man_test.go", "doc/README.md", go_dot_mod="module a")["doc"] == ("package", "doc")


def test_manifests_that_tests_read_are_no_components() -> None:
    assert found(x__package_dot_json='{"name": "x"}', categories={"x/package.json": "test"}) == {}


async def _components(folder: Path, stage: MakeStage, documents: dict[str, StoredDocument]) -> dict[str, Any]:
    await stage(ImportFiles, documents, folder=str(folder)).run()
    await stage(IdentifyComponents, documents, folder=str(folder), tags=["codebase"]).run()
    found = [each for each in documents.values() if each.source_type == "component"]
    return {each.metadata["identify_components"]["path"]: each for each in found}


async def test_each_component_is_a_document_and_each_file_counts_once(tmp_path: Path, stage: MakeStage) -> None:
    folder = tmp_path / "shop"
    for path, text in {
        "package.json": json.dumps({"name": "shop", "main": "index.js"}),
        "index.js": "one\ntwo\n",
        "style.css": "a\nb\nc\nd\n",
        "tests/a.test.js": "one\n",
        "lib/package.json": '{"name": "lib"}',
        "lib/x.ts": "one",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    documents: dict[str, StoredDocument] = {}
    components = await _components(folder, stage, documents)
    assert {path: each.metadata["identify_components"]["files"] for path, each in components.items()} == {
        ".": 3,
        "lib": 2,
        "tests": 1,
    }
    shop = components["."]
    assert (shop.address, shop.title, shop.tags) == (f"component:{folder}", "shop (library)", ("codebase",))
    facts = shop.metadata["identify_components"]
    assert (facts["kind"], facts["lines"], facts["entry_points"]) == ("library", 7, ["index.js"])
    assert "- index.js" in shop.body
    (folder / "tests/a.test.js").unlink()
    assert set(await _components(folder, stage, documents)) == {".", "lib"}


def _known_to_git() -> list[str]:
    arguments = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no checkout")
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


async def test_the_components_of_stepglass_have_the_files_that_git_knows(stage: MakeStage) -> None:
    components = await _components(ROOT, stage, {})
    files = _known_to_git()
    counted = {path: each.metadata["identify_components"]["files"] for path, each in components.items()}
    assert {path: each.metadata["identify_components"]["kind"] for path, each in components.items()} == {
        ".": "application",
        "app": "package",
        "docs": "docs",
        "e2e": "tests",
        "tests": "tests",
    }
    for path in ("app", "docs", "e2e", "tests"):
        assert counted[path] == sum(each.startswith(f"{path}/") for each in files), path
    assert sum(counted.values()) == len(files)
    assert components["app"].metadata["identify_components"]["language"] == "Python"


async def test_without_documents_it_says_which_step_makes_them(tmp_path: Path, stage: MakeStage) -> None:
    on_stage = stage(IdentifyComponents, {}, folder=str(tmp_path))
    assert await on_stage.run() == {}
    assert "import_files with the same folder has to come first" in on_stage.context.messages("warn")[0]


async def test_files_in_no_component_are_told(tmp_path: Path, stage: MakeStage) -> None:
    (tmp_path / "notes.txt").touch()
    documents: dict[str, StoredDocument] = {}
    await stage(ImportFiles, documents, folder=str(tmp_path)).run()
    on_stage = stage(IdentifyComponents, documents, folder=str(tmp_path))
    assert await on_stage.run() == {}
    assert on_stage.context.messages("info") == ["1 of 1 files belong to no component"]


async def test_hostile_names_break_no_line_and_stay_texts(tmp_path: Path, stage: MakeStage) -> None:
    folder = tmp_path / "code"
    for name in ("two\nlines", "<img src=x>", "[x](y)", "right\u202etfel"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        (folder / name / "package.json").write_text(json.dumps({"name": f"{name}\n# {name}", "main": name}))
    documents: dict[str, StoredDocument] = {}
    components = await _components(folder, stage, documents)
    assert len(components) == 4
    from app.web.painting._markdown import html_of

    for component in components.values():
        html = html_of(component.body)
        assert "<img" not in html and "<a " not in html and html.count("<h") == 5, html
