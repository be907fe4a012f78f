"""A code base as resolving needs to see it: which files there are, and what some of them say."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.steps.imports.found import FileImports


class Meant(NamedTuple):
    """What an import means: files of the code base, or something from outside, or neither (a part of the same file)."""

    files: tuple[str, ...] = ()
    external: str = ""
    standard: bool = False
    """Whether what is external comes with the language."""


@dataclass
class CodeBase:
    """Paths are relative to its folder, with slashes; "" is the folder itself."""

    files: frozenset[str]
    imports: Mapping[str, FileImports]
    """Of the files that were parsed."""
    manifests: Mapping[str, str]
    """The texts of go.mod, Cargo.toml, package.json and the like."""
    name: str = ""
    """The name of the folder."""
    directories: dict[str, list[str]] = field(init=False)
    """The files right inside each directory, in order."""
    by_name: dict[str, list[str]] = field(init=False)
    """The files of each name, in order."""

    def __post_init__(self) -> None:
        directories: defaultdict[str, list[str]] = defaultdict(list)
        names: defaultdict[str, list[str]] = defaultdict(list)
        for path in sorted(self.files):
            directory, _, name = path.rpartition("/")
            directories[directory].append(path)
            names[name].append(path)
        self.directories, self.by_name = dict(directories), dict(names)

    def first(self, paths: Iterable[str]) -> str | None:
        """The first of the paths that is a file."""
        return next((path for path in paths if path in self.files), None)

    def manifests_named(self, *names: str) -> dict[str, str]:
        """The texts by directory."""
        found = {}
        for path, text in self.manifests.items():
            directory, _, name = path.rpartition("/")
            if name in names:
                found[directory] = text
        return found


def below(directory: str, path: str) -> str:
    """A path in a directory, without dots; "" when it leads out of the code base."""
    joined = posixpath.normpath(f"{directory}/{path}" if directory else path)
    return "" if joined.startswith(("../", "/")) or joined in ("..", ".") else joined


def around(path: str) -> Iterable[str]:
    """The directories that a path is in, the innermost first, "" last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def nearest(paths: Iterable[str], to: str) -> str | None:
    """The path that has most of its beginning in common with another one; the first one of several."""
    parts = to.split("/")

    def shared(path: str) -> int:
        same = 0
        for one, other in zip(path.split("/"), parts, strict=False):
            if one != other:
                break
            same += 1
        return -same

    return min(paths, key=lambda path: (shared(path), path), default=None)
