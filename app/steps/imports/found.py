"""What one file imports, as it is written there, and as it is kept in the file's document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

VERSION = 1
"""Raised when parsers find more than before, so that what they found earlier is not taken for all."""

_GRAMMARS = {
    "C": ("c", "c"),
    "C++": ("cpp", "h cc cpp cxx hh hpp hxx inl ipp tpp"),
    "Go": ("go", "go"),
    "Java": ("java", "java"),
    "JavaScript": ("javascript", "js mjs cjs jsx"),
    "Python": ("python", "py pyi pyw"),
    "Rust": ("rust", "rs"),
    "TypeScript": ("typescript", "ts mts cts"),
    "TypeScript with markup": ("tsx", "tsx"),
}
_BY_EXTENSION = {
    f".{extension}": (language.split(" with")[0], grammar)
    for language, (grammar, extensions) in _GRAMMARS.items()
    for extension in extensions.split()
}


def parsed_as(path: str) -> tuple[str, str] | None:
    """The language of a file and the grammar it is parsed with, by its name; None if there is no parser for it."""
    return _BY_EXTENSION.get(PurePosixPath(path).suffix.lower())


class Import(NamedTuple):
    """One import. What `kind`, `target` and `names` say depends on the language:

    | language | kind | target | names |
    |---|---|---|---|
    | Python | import, from | a.b, ..c | what is imported from it, "*" for all |
    | JavaScript, TypeScript | import | ./a, react | |
    | Go | import | example.org/a/b | |
    | Rust | use, crate, mod, path | a::b::C, a::*; for path a file | the modules around it in the file |
    | Java | import, static | a.b.C, a.b.* | |
    | C, C++ | quoted, angled | a/b.h | |
    """

    kind: str
    target: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileImports:
    """The imports of a file, each once, in the order of their first appearance."""

    language: str
    imports: tuple[Import, ...] = ()
    package: str = ""
    """The one that a Java file says it belongs to."""
    problem: str = ""
    """Why there are none; "" if the file was parsed."""

    def facts(self, content_hash: str) -> dict[str, Any]:
        """As they are kept, with the hash of the content they were found in."""
        return {
            "language": self.language,
            "imports": [[each.kind, each.target, *each.names] for each in self.imports],
            "package": self.package,
            "problem": self.problem,
            "content_hash": content_hash,
            "version": VERSION,
        }

    @classmethod
    def kept(cls, facts: Any, content_hash: str) -> FileImports | None:
        """What was kept, unless the content has changed since."""
        if not isinstance(facts, dict) or facts.get("version") != VERSION or facts["content_hash"] != content_hash:
            return None
        imports = tuple(Import(kind, target, tuple(names)) for kind, target, *names in facts["imports"])
        return cls(facts["language"], imports, facts["package"], facts["problem"])
