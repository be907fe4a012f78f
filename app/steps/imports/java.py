"""What Java imports mean: classes, which are told by the packages that files say they belong to."""

from __future__ import annotations

from collections import defaultdict
from itertools import takewhile

from app.steps.imports.code_base import CodeBase, Meant, nearest
from app.steps.imports.found import FileImports, Import

_PARTS_OF_A_NAME = 3


class Java:
    def __init__(self, base: CodeBase) -> None:
        self._classes: defaultdict[str, list[str]] = defaultdict(list)
        self._packages: defaultdict[str, list[str]] = defaultdict(list)
        for path, found in base.imports.items():
            if found.language == "Java":
                name = path.rpartition("/")[2].rpartition(".")[0]
                self._classes[f"{found.package}.{name}".lstrip(".")].append(path)
                self._packages[found.package].append(path)

    def resolve(self, path: str, _: FileImports, each: Import) -> list[Meant]:
        target = each.target
        everything = target.endswith(".*")
        name = target.removesuffix(".*")
        if everything and each.kind == "import" and name in self._packages:
            return [Meant((nearest(self._packages[name], path) or path,))]
        # A class, a class inside one, or a member of one: whatever begins with the name of a class.
        inner = name
        while inner:
            if inner in self._classes:
                return [Meant((nearest(self._classes[inner], path) or path,))]
            inner = inner.rpartition(".")[0]
        parts = name.split(".")
        package = list(takewhile(lambda part: not part[:1].isupper(), parts)) or parts[:1]
        if not everything and each.kind == "import" and len(package) == len(parts) > 1:
            package = package[:-1]
        standard = parts[0] in ("java", "javax", "jdk")
        return [Meant(external=".".join(package[: 2 if standard else _PARTS_OF_A_NAME]), standard=standard)]
