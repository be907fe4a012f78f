"""What includes of C and C++ mean."""

from __future__ import annotations

from app.steps.imports.code_base import CodeBase, Meant, around, below, nearest
from app.steps.imports.found import FileImports, Import

_INCLUDE_FOLDERS = ("", "include", "inc", "src", "source", "lib")
"""Where headers are looked for, in each folder around the file."""
_HEADERS = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg "
    "stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar "
    "wchar wctype "
)
_STANDARD = frozenset(f"{name}.h" for name in _HEADERS.split())


class C:
    """An include in quotes is looked for beside the file; both kinds in the usual folders around it, and at last
    anywhere, if what is included has a folder in its name or is in quotes."""

    def __init__(self, base: CodeBase) -> None:
        self._base = base

    def resolve(self, path: str, _: FileImports, each: Import) -> list[Meant]:
        directory = path.rpartition("/")[0]
        target = each.target
        places = [below(directory, target)] if each.kind == "quoted" else []
        if not target.startswith((".", "/")):
            for outer in around(path):
                inner = _INCLUDE_FOLDERS if each.kind == "quoted" else _INCLUDE_FOLDERS[1:]
                places += [below(outer, f"{folder}/{target}".lstrip("/")) for folder in inner]
            if each.kind == "angled":
                places.append(target)
        found = self._base.first(place for place in places if place) or self._anywhere(path, each)
        if found:
            return [Meant((found,))] if found != path else []
        if each.kind == "quoted" and target.startswith("."):
            return []
        name = target.partition("/")[0]
        standard = target in _STANDARD or ("." not in target and "/" not in target)
        return [Meant(external=name, standard=standard)] if name else []

    def _anywhere(self, path: str, each: Import) -> str | None:
        """A header whose path ends so, the nearest one."""
        target = each.target.lstrip("./")
        if not target or (each.kind == "angled" and "/" not in target):
            return None
        named = self._base.by_name.get(target.rpartition("/")[2], ())
        return nearest((other for other in named if f"/{other}".endswith(f"/{target}")), path)
