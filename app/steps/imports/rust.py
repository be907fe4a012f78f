"""What Rust declarations mean: modules by the layout of files that cargo and rustc go by."""

from __future__ import annotations

import tomllib
from typing import Any

from app.steps.imports.code_base import CodeBase, Meant, around, below
from app.steps.imports.found import FileImports, Import

_STANDARD = ("std", "core", "alloc", "proc_macro", "test")
_ROOT_NAMES = ("main.rs", "lib.rs", "build.rs")
_FOLDERS_OF_ROOTS = ("src/bin", "tests", "examples", "benches")


class Rust:
    def __init__(self, base: CodeBase) -> None:
        self._base = base
        self._crates: dict[str, str] = {}
        """The file that a crate begins with, by the name that others use it by."""
        self._folders: set[str] = set()
        self._roots: set[str] = set()
        for directory, text in sorted(base.manifests_named("Cargo.toml").items()):
            self._add(directory, cargo(text))
        self._by_path: dict[str, str] = {}
        self._by_path = dict(self._modules_by_path())

    def _add(self, directory: str, manifest: dict[str, Any]) -> None:
        package, library = _table(manifest, "package"), _table(manifest, "lib")
        if not package:
            return
        self._folders.add(directory)
        path = library.get("path")
        begins = below(directory, path if isinstance(path, str) else "src/lib.rs")
        name = library.get("name") or package.get("name")
        if begins in self._base.files:
            self._roots.add(begins)
            if isinstance(name, str):
                self._crates.setdefault(name.replace("-", "_"), begins)
        for kind in ("bin", "test", "example", "bench"):
            tables = manifest.get(kind)
            for table in tables if isinstance(tables, list) else ():
                if isinstance(table, dict) and isinstance(named := table.get("path"), str):
                    self._roots.add(below(directory, named))

    def _modules_by_path(self) -> list[tuple[str, str]]:
        """Files that a `#[path]` makes modules of, with the directory their own modules are in."""
        found = []
        for path, imports in self._base.imports.items():
            for each in imports.imports if imports.language == "Rust" else ():
                if each.kind == "path" and (target := self._at_path(path, each)):
                    found.append((target, target.rpartition("/")[0]))
        return found

    def resolve(self, path: str, found: FileImports, each: Import) -> list[Meant]:
        if each.kind == "path":
            target = self._at_path(path, each)
            return [Meant((target,))] if target else []
        here = [*self._module(path), *each.names]
        if each.kind == "mod":
            file = self._child(path, each.names, each.target)
            return [Meant((file,))] if file else []
        parts = [part for part in each.target.removesuffix("::*").split("::") if part]
        if not parts:
            return []
        if each.kind == "crate" or each.target.startswith("::"):
            return self._outside(path, parts)
        return self._used(path, found, here, parts)

    def _used(self, path: str, found: FileImports, here: list[str], parts: list[str]) -> list[Meant]:
        first, rest = parts[0], parts[1:]
        if first == "crate":
            return self._within(path, [], rest)
        if first in ("self", "super"):
            while parts and parts[0] in ("self", "super"):
                if parts.pop(0) == "super":
                    here = here[:-1]
            return self._within(path, here, parts)
        if self._child(path, tuple(here[len(self._module(path)) :]), first):
            return self._within(path, here, parts)
        bound = _bound(found)
        if first in bound and bound[first] != parts[: len(bound[first])] and bound[first][0] != first:
            return self._used(path, FileImports(found.language), here, [*bound[first], *rest])
        if first[:1].isupper() or any(first in each.names for each in found.imports):
            return []  # a type or a module of the same file
        return self._outside(path, parts)

    def _outside(self, path: str, parts: list[str]) -> list[Meant]:
        name = parts[0]
        if name in self._crates:
            root = self._crates[name]
            found = self._layout(root.rpartition("/")[0], parts[1:]) or root
            return [Meant((found,))] if found != path else []
        return [Meant(external=name, standard=name in _STANDARD)]

    def _within(self, path: str, module: list[str], parts: list[str]) -> list[Meant]:
        """A path from a module of the file's own crate."""
        root = self._root(path)
        found = self._layout(root.rpartition("/")[0], [*module, *parts]) or (root if root in self._base.files else "")
        return [Meant((found,))] if found and found != path else []

    def _layout(self, directory: str, parts: list[str]) -> str | None:
        """The file of the innermost module that a path leads through."""
        for length in range(len(parts), 0, -1):
            place = "/".join([directory, *parts[:length]] if directory else parts[:length])
            if file := self._base.first((f"{place}.rs", f"{place}/mod.rs")):
                return file
        return None

    def _child(self, path: str, inline: tuple[str, ...], name: str) -> str | None:
        place = "/".join(part for part in (self._directory(path), *inline, name) if part)
        return self._base.first((f"{place}.rs", f"{place}/mod.rs"))

    def _at_path(self, path: str, each: Import) -> str | None:
        inside = "/".join([self._directory(path), *each.names]) if each.names else path.rpartition("/")[0]
        return self._base.first((below(inside, each.target),))

    def _directory(self, path: str) -> str:
        """Where the modules that a file declares are."""
        directory, _, name = path.rpartition("/")
        if path in self._by_path or name == "mod.rs" or self._root(path) == path:
            return directory
        return f"{directory}/{name.removesuffix('.rs')}".lstrip("/")

    def _module(self, path: str) -> list[str]:
        """The names of a file's module, from its crate's root."""
        root = self._root(path)
        if root == path:
            return []
        base = root.rpartition("/")[0]
        relative = path[len(base) :].lstrip("/").removesuffix(".rs").removesuffix("/mod")
        return relative.split("/")

    def _root(self, path: str) -> str:
        """The file that the crate of a file begins with."""
        if path in self._roots or path.rpartition("/")[2] in _ROOT_NAMES:
            return path
        for directory in around(path):
            if directory in self._folders:
                return self._root_in(directory, path)
        beside = (f"{directory}/{name}".lstrip("/") for directory in around(path) for name in ("lib.rs", "main.rs"))
        return self._base.first(beside) or path

    def _root_in(self, directory: str, path: str) -> str:
        inside = path[len(directory) :].lstrip("/")
        for folder in _FOLDERS_OF_ROOTS:
            if inside.startswith(f"{folder}/"):
                rest = inside[len(folder) + 1 :]
                if "/" not in rest:
                    return path
                main = f"{directory}/{folder}/{rest.partition('/')[0]}/main.rs".lstrip("/")
                return main if main in self._base.files else f"{directory}/{folder}/main.rs".lstrip("/")
        around_it = set(around(path))
        roots = [root for root in self._roots if root.rpartition("/")[0] in around_it and root in self._base.files]
        if roots:  # the innermost, and of several a library
            return min(roots, key=lambda root: (-root.count("/"), not root.endswith("/lib.rs"), root))
        main = f"{directory}/src/main.rs".lstrip("/")
        return main if main in self._base.files else path


def cargo(text: str) -> dict[str, Any]:
    """A Cargo.toml; empty when it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def _table(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    table = manifest.get(name)
    return table if isinstance(table, dict) else {}


def _bound(found: FileImports) -> dict[str, list[str]]:
    """The names that a file's own uses bring in, with what they stand for."""
    paths = [each.target.split("::") for each in found.imports if each.kind == "use" and "::" in each.target]
    return {path[-1]: path for path in paths if path[-1] != "*" and path[0]}
