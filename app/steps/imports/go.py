"""What Go imports mean: packages, which are directories."""

from __future__ import annotations

import re

from app.steps.imports.code_base import CodeBase, Meant, around
from app.steps.imports.found import FileImports, Import

_MODULE = re.compile(r'^\s*module\s+(?:"([^"\n]+)"|`([^`\n]+)`|([^\s"`/(][^\s(]*))', re.MULTILINE)


class Go:
    def __init__(self, base: CodeBase) -> None:
        self._base = base
        named = ((go_module(text), directory) for directory, text in base.manifests_named("go.mod").items())
        self._modules = sorted(((name, directory) for name, directory in named if name), key=lambda pair: -len(pair[0]))

    def resolve(self, path: str, _: FileImports, each: Import) -> list[Meant]:
        target = each.target
        for name, directory in self._modules:
            if target == name or target.startswith(f"{name}/"):
                inside = f"{directory}/{target[len(name) :].strip('/')}".strip("/")
                if found := self._package(inside):
                    return [Meant((found,))]
        for outer in around(path):
            if found := self._package(f"{outer}/vendor/{target}".lstrip("/")):
                return [Meant((found,))]
        if any(target == name or target.startswith(f"{name}/") for name, _ in self._modules):
            return []  # a package of the code base that is not there, such as a generated one
        parts = target.split("/")
        if "." not in parts[0]:
            return [Meant(external=target, standard=True)]
        return [Meant(external="/".join(parts[: 2 if parts[0] == "gopkg.in" else 3]))]

    def _package(self, directory: str) -> str | None:
        """The first file of the package in a directory; it stands for all of them."""
        files = [file for file in self._base.directories.get(directory, ()) if file.endswith(".go")]
        return next((file for file in files if not file.endswith("_test.go")), files[0] if files else None)


def go_module(text: str) -> str:
    """The name of the module of a go.mod; "" if it has none."""
    found = _MODULE.search(text)
    return next((name for name in found.groups() if name), "") if found else ""
