"""Where the components of a code base are, told by manifests and by how folders are commonly laid out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from app.steps.imports.found import parsed_as

PYTHON = ("pyproject.toml", "setup.py", "setup.cfg")
GRADLE = ("build.gradle", "build.gradle.kts")
MANIFESTS = frozenset((*PYTHON, *GRADLE, "package.json", "Cargo.toml", "go.mod", "pom.xml", "CMakeLists.txt"))

_TESTS = frozenset(("test", "tests", "__tests__", "spec", "specs", "e2e"))
_DOCS = frozenset(("doc", "docs", "documentation"))
_C = frozenset((".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"))
_JAVA_ROOT = re.compile(r"((?:.+/)?src/(\w+)/java)/")
_MAINS = frozenset(("__main__.py", "main.go", "main.c", "main.cc", "main.cpp", "main.cxx", "Main.java"))
_NO_COMPONENTS = ("test", "vendored", "generated")
"""Categories of manifests that are examples of what tests read, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a code base: a directory, without the components inside it."""

    path: str
    """Below the folder; "" is the folder itself."""
    kind: str
    """application, library, package, module, tests or docs"""
    name: str
    entry_points: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    """Their paths."""


def components_of(files: Mapping[str, str], texts: Mapping[str, str], folder_name: str) -> list[Component]:
    """The components of a code base by their paths. `files`: the category of each file, "" if it has none; `texts`: the
    contents of the manifests."""
    found: dict[str, Component] = {}
    for component in _with_manifests(texts, files, folder_name):
        found[component.path] = component
    homes = {"", *found}
    for kind, names in (("tests", _TESTS), ("docs", _DOCS)):
        for path in _directories(files):
            named = path.rpartition("/")[0] in homes and path.rpartition("/")[2].lower() in names
            if named and not (kind == "docs" and _is_mostly_code(path, files)):
                found.setdefault(path, Component(path, kind, path.rpartition("/")[2]))
    apart = {path for path, component in found.items() if component.kind in ("tests", "docs")}
    wanted = [path for path, category in files.items() if category not in ("vendored",) and not _inside(path, apart)]
    for component in [*_python_packages(wanted), *_go_packages(wanted), *_java_roots(files), *_c_directories(wanted)]:
        found.setdefault(component.path, component)
    return [found[path] for path in sorted(found)]


def home_of(path: str, components: Collection[str]) -> str | None:
    """The innermost component that a file is in."""
    while path:
        path = path.rpartition("/")[0]
        if path in components:
            return path
    return None


def _directories(files: Iterable[str]) -> list[str]:
    known: set[str] = set()
    for path in files:
        outer = path.rpartition("/")[0]
        while outer and outer not in known:
            known.add(outer)
            outer = outer.rpartition("/")[0]
    return sorted(known)


def _is_mostly_code(directory: str, files: Iterable[str]) -> bool:
    """A package may be named doc, too."""
    inside = [path for path in files if path.startswith(f"{directory}/")]
    return 2 * sum(parsed_as(path) is not None for path in inside) > len(inside)


def _inside(path: str, directories: Collection[str]) -> bool:
    return home_of(path, directories) is not None


def _with_manifests(texts: Mapping[str, str], files: Mapping[str, str], folder_name: str) -> list[Component]:
    by_directory: dict[str, dict[str, str]] = {}
    for path, text in sorted(texts.items()):
        if files.get(path, "") not in _NO_COMPONENTS:
            directory, _, name = path.rpartition("/")
            by_directory.setdefault(directory, {})[name] = text
    found = []
    for directory, manifests in by_directory.items():
        told = [each for each in _read_all(directory, manifests, files) if each is not None]
        if told:
            kind = "application" if any(kind == "application" for kind, _, _ in told) else told[0][0]
            name = next((name for _, name, _ in told if name), directory.rpartition("/")[2] or folder_name)
            entries = tuple(dict.fromkeys(entry for _, _, entries in told for entry in entries))
            paths = tuple(f"{directory}/{name}".lstrip("/") for name in manifests)
            found.append(Component(directory, kind, name, entries, paths))
    return found


_Told = tuple[str, str, list[str]]
"""Kind, name and entry points."""


def _read_all(directory: str, manifests: Mapping[str, str], files: Mapping[str, str]) -> list[_Told | None]:
    told: list[_Told | None] = []
    if any(name in manifests for name in PYTHON):
        told.append(_python(manifests))
    if "package.json" in manifests:
        told.append(_npm(manifests["package.json"]))
    if "Cargo.toml" in manifests:
        told.append(_cargo(directory, manifests["Cargo.toml"], files))
    if "go.mod" in manifests:
        module = re.search(r'^\s*module\s+"?([^\s"(]+)', manifests["go.mod"], re.MULTILINE)
        told.append(("module", module[1] if module else "", []))
    if "pom.xml" in manifests:
        told.append(_maven(manifests["pom.xml"]))
    if any(name in manifests for name in GRADLE):
        text = next(manifests[name] for name in GRADLE if name in manifests)
        runs = re.search(
            r"""^\s*(?:id\s*\(?\s*["']application["']|application\s*$|application\s*\{)""", text, re.MULTILINE
        )
        told.append(("application" if runs else "module", "", []))
    if "CMakeLists.txt" in manifests:
        told.append(_cmake(manifests["CMakeLists.txt"]))
    return told


def _python(manifests: Mapping[str, str]) -> _Told:
    read = toml(manifests.get("pyproject.toml", ""))
    project, poetry = table(read, "project"), table(table(read, "tool"), "poetry")
    scripts = {**table(poetry, "scripts"), **table(project, "gui-scripts"), **table(project, "scripts")}
    name = project.get("name") or poetry.get("name")
    if not name and "setup.cfg" in manifests:
        stated = re.search(r"^\[metadata\][^\[]*?^name\s*=\s*(\S+)", manifests["setup.cfg"], re.MULTILINE | re.DOTALL)
        name = stated[1] if stated else None
    entries = [f"{script} = {target}" for script, target in scripts.items() if isinstance(target, str)]
    return "application" if scripts else "library", name if isinstance(name, str) else "", entries


def _npm(text: str) -> _Told | None:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(manifest, dict):
        return None
    name = manifest["name"] if isinstance(manifest.get("name"), str) else ""
    programs = manifest.get("bin")
    programs = {name: programs} if isinstance(programs, str) else programs if isinstance(programs, dict) else {}
    entries = [f"{program} = {target}" for program, target in programs.items() if isinstance(target, str)]
    entries += [manifest[key] for key in ("module", "main") if isinstance(manifest.get(key), str)]
    starts = "start" in table(manifest, "scripts")
    is_library = any(key in manifest for key in ("main", "module", "exports"))
    return "application" if programs or (starts and not is_library) else "library", name, entries


def _cargo(directory: str, text: str, files: Mapping[str, str]) -> _Told | None:
    manifest = toml(text)
    package = table(manifest, "package")
    if not package:
        return None  # a workspace, whose members have manifests of their own
    source = f"{directory}/src".lstrip("/")
    programs = [path for path in files if path == f"{source}/main.rs" or _is_program(path, f"{source}/bin/")]
    named = [each.get("path") for each in manifest.get("bin", []) if isinstance(each, dict)]
    programs += [f"{directory}/{path}".lstrip("/") for path in named if isinstance(path, str)]
    name = package.get("name")
    return "application" if programs else "library", name if isinstance(name, str) else "", sorted(set(programs))


def _is_program(path: str, folder: str) -> bool:
    """Whether cargo makes a program of the file: bin/a.rs or bin/a/main.rs."""
    inside = path.removeprefix(folder)
    return path.startswith(folder) and inside.endswith(".rs") and ("/" not in inside or inside.endswith("/main.rs"))


def _maven(text: str) -> _Told | None:
    from lxml import etree  # type: ignore[import-untyped]

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        project = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    said = {etree.QName(child).localname: child.text or "" for child in project if isinstance(child.tag, str)}
    if said.get("packaging", "").strip() == "pom":
        return None  # it only holds other modules together
    return "module", said.get("artifactId", "").strip(), []


def _cmake(text: str) -> _Told | None:
    code = re.sub(r"#[^\n]*", "", text)
    project = re.search(r"^\s*project\s*\(\s*\"?([^\s\")]+)", code, re.MULTILINE | re.IGNORECASE)
    programs = re.findall(r"^\s*add_executable\s*\(\s*([^\s)]+)", code, re.MULTILINE | re.IGNORECASE)
    library = re.search(r"^\s*add_library\s*\(\s*([^\s)]+)", code, re.MULTILINE | re.IGNORECASE)
    if not (project or programs or library):
        return None
    return "application" if programs else "library", project[1] if project else "", sorted(set(programs))


def _python_packages(files: Collection[str]) -> list[Component]:
    """The outermost directories that are packages."""
    packages = {path.rpartition("/")[0] for path in files if PurePosixPath(path).name == "__init__.py"}
    outermost = [path for path in packages if path and path.rpartition("/")[0] not in packages]
    return [Component(path, "package", path.rpartition("/")[2]) for path in outermost]


def _go_packages(files: Collection[str]) -> list[Component]:
    directories = {path.rpartition("/")[0] for path in files if path.endswith(".go")}
    mains = {path.rpartition("/")[0] for path in files if PurePosixPath(path).name == "main.go"}
    return [
        Component(path, "application" if path in mains else "package", path.rpartition("/")[2])
        for path in directories
        if path
    ]


def _java_roots(files: Collection[str]) -> list[Component]:
    """src/main/java, src/test/java and the like."""
    roots = {found[1]: found[2] for path in files if path.endswith(".java") and (found := _JAVA_ROOT.match(path))}
    return [
        Component(path, "tests" if "test" in part.lower() else "module", _java_name(path, part))
        for path, part in roots.items()
    ]


def _java_name(path: str, part: str) -> str:
    outer = path.removesuffix(f"src/{part}/java").rstrip("/").rpartition("/")[2]
    return f"{outer} ({part})" if outer else part


def _c_directories(files: Collection[str]) -> list[Component]:
    """The outermost directories that C or C++ files are right in."""
    directories = {path.rpartition("/")[0] for path in files if PurePosixPath(path).suffix.lower() in _C} - {""}
    outermost = [path for path in directories if not _inside(path, directories)]
    return [Component(path, "module", path.rpartition("/")[2]) for path in outermost]


def main_files(paths: Iterable[str]) -> list[str]:
    """The files that a program begins with, as one can tell by their names."""
    return sorted(path for path in paths if PurePosixPath(path).name in _MAINS)


def toml(text: str) -> dict[str, Any]:
    """A TOML file; empty when it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The value of a key if it is a table, else an empty one."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}
