"""What Python imports mean."""

from __future__ import annotations

import sys
from functools import lru_cache

from app.steps.imports.code_base import CodeBase, Meant, around
from app.steps.imports.found import FileImports, Import

_SOURCES = ("src", "lib", "python")
"""Folders beside a manifest that packages commonly lie in."""


class Python:
    """Absolute names are looked for in the folders that are likely on the path: that of the file itself if it is in no
    package, those around it first, those of manifests, and those around packages."""

    def __init__(self, base: CodeBase) -> None:
        self._base = base
        self._roots = self._found_roots()
        self._ranked = lru_cache(maxsize=4096)(self._ranked_roots)

    def resolve(self, path: str, found: FileImports, each: Import) -> list[Meant]:
        directory = path.rpartition("/")[0]
        dots = len(each.target) - len(each.target.lstrip("."))
        name = each.target[dots:].replace(".", "/")
        if dots:
            return self._relative(directory, dots, name, each)
        top, _, rest = each.target.partition(".")
        if top == self._base.name and self._package(""):
            return [Meant(tuple(self._in(rest.replace(".", "/"), each)))]
        standard = top in sys.stdlib_module_names
        for root in self._ranked(directory):
            if standard and root and root not in (directory, *around(directory)):
                continue  # what lies elsewhere does not stand in front of the standard library
            if files := self._in(f"{root}/{name}" if root else name, each):
                return [Meant(tuple(files))]
        return [Meant(external=top, standard=standard or top == "__future__")]

    def _relative(self, directory: str, dots: int, name: str, each: Import) -> list[Meant]:
        parts = directory.split("/") if directory else []
        if dots - 1 > len(parts):
            return []
        package = "/".join([*parts[: len(parts) - (dots - 1)], *([name] if name else [])])
        return [Meant(tuple(self._in(package, each)))]

    def _in(self, place: str, each: Import) -> list[str]:
        """The files of a module or package, or of the modules that are imported from it."""
        own = self._module(place)
        if each.kind == "import":
            while own is None and "/" in place:
                # `import a.b` where b is made at run time: a is imported all the same.
                place = place.rpartition("/")[0]
                own = self._package(place)
            return [own] if own else []
        found = [self._module(f"{place}/{name}" if place else name) or own for name in each.names]
        return list(dict.fromkeys(file for file in found if file))

    def _module(self, place: str) -> str | None:
        return self._base.first((f"{place}.py", f"{place}.pyi")) or self._package(place)

    def _package(self, place: str) -> str | None:
        inside = f"{place}/__init__.py" if place else "__init__.py"
        return self._base.first((inside, f"{inside}i"))

    def _ranked_roots(self, directory: str) -> tuple[str, ...]:
        own = () if self._package(directory) else (directory,)
        outer = [root for root in around(directory) if root in self._roots]
        return tuple(dict.fromkeys([*own, *outer, *([directory] if directory in self._roots else []), *self._roots]))

    def _found_roots(self) -> tuple[str, ...]:
        manifests = self._base.manifests_named("pyproject.toml", "setup.py", "setup.cfg")
        roots = {"", *manifests}
        for directory in manifests:
            roots |= {f"{directory}/{inner}".strip("/") for inner in _SOURCES}
        for directory in self._base.directories:
            outer = directory.rpartition("/")[0]
            if directory and self._package(directory) and not (outer and self._package(outer)):
                roots.add(outer)
        return tuple(sorted(roots, key=lambda root: (root.count("/"), root)))
