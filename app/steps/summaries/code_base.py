"""The facts about a code base that earlier steps have left in documents, and which of them are missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.steps.languages import code_and_blank, language_of
from app.steps.manifests.kinds import kind_of
from app.work.step_type import Context, StoredDocument

CLASSIFIERS = ("category_classifier", "rule_classify_files")
"""Who may have put a file into a category; the first that has decides."""
NOT_ITS_OWN = ("vendored", "generated", "test")
"""Categories whose manifests say nothing about how the code base itself is built."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class File:
    path: str
    """Below the folder."""
    language: str
    category: str
    """UNKNOWN before anybody has classified it."""
    code: int
    blank: int
    """Lines."""
    build_info: dict[str, Any] | None
    """What extract_build_info says about it, if it is a manifest."""

    @property
    def lines(self) -> int:
        return self.code + self.blank


@dataclass
class CodeBase:
    """All of it in memory, without the contents of files."""

    folder: str
    """Absolute."""
    files: list[File] = field(default_factory=list)
    """In the order of their paths."""
    extent: dict[str, Any] | None = None
    """What code_map has counted in the folder: files, code, blank, bytes, and the same in `languages`."""
    directories: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The same for each directory that code_map made a document of, by its path below the folder."""
    components: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """The address of each component's document, and what identify_components says in it."""
    graph: dict[str, Any] | None = None
    """What dependency_graph has found."""

    @property
    def name(self) -> str:
        return self.folder.rpartition("/")[2] or "/"

    @property
    def graph_address(self) -> str:
        return f"dependency_graph:{self.folder}"

    @property
    def is_unknown(self) -> bool:
        return not (self.files or self.extent or self.components or self.graph)

    @cached_property
    def size(self) -> dict[str, Any]:
        """As `extent`; counted from the imported files when code_map has counted nothing."""
        return self.extent or extent_of(self.files)

    @cached_property
    def categories(self) -> list[tuple[str, list[File]]]:
        """The files by category, most files first."""
        by_category: defaultdict[str, list[File]] = defaultdict(list)
        for file in self.files:
            by_category[file.category].append(file)
        return sorted(by_category.items(), key=lambda entry: (-len(entry[1]), entry[0]))

    @cached_property
    def manifests(self) -> list[File]:
        """The manifests of the code base itself, read or not."""
        return [file for file in self.files if kind_of(file.path) and file.category not in NOT_ITS_OWN]

    def missing(self, *parts: str) -> list[str]:
        """A sentence for each of the parts that is not there, and what would bring it."""
        return [said for part in parts if (said := getattr(self, f"_missing_{part}")())]

    def _missing_files(self) -> str:
        return (
            "" if self.files else "Files: no documents of files in the folder; a step of type import_files makes them."
        )

    def _missing_extent(self) -> str:
        told = "a step of type code_map counts them; here the imported files are counted"
        return "" if self.extent else f"Sizes: nobody has counted what is in the folder; {told}."

    def _missing_categories(self) -> str:
        unknown = sum(1 for file in self.files if file.category == UNKNOWN)
        told = "a step of type rule_classify_files, or agent with category_classifier, puts them into one"
        return f"Categories: {unknown:,} of {len(self.files):,} files have none; {told}." if unknown else ""

    def _missing_build_info(self) -> str:
        unread = sum(1 for file in self.manifests if file.build_info is None)
        told = "a step of type extract_build_info does that"
        return f"Build: {unread:,} of {len(self.manifests):,} manifests have not been read; {told}." if unread else ""

    def _missing_components(self) -> str:
        told = "a step of type identify_components has not looked for them, or has found none"
        return "" if self.components else f"Components: none are known; {told}."

    def _missing_graph(self) -> str:
        told = "a step of type dependency_graph finds them"
        return "" if self.graph else f"Dependencies: it is not known which parts import which; {told}."


def code_base_in(context: Context[Any], folder: str, filter_tags: Iterable[str]) -> CodeBase:
    """What is known about the folder (absolute, links resolved). Only files that carry all the tags count."""
    code_base = CodeBase(folder)
    read = context.documents(source_type="build_info", under=f"build_info:{folder}", bodies=False)
    build_info = {document.address.partition(":")[2]: _facts(document, "extract_build_info") for document in read}
    for document in context.documents(tags=filter_tags, source_type="file", under=f"file:{folder}"):
        path = document.address.removeprefix("file:")
        code_base.files.append(_file(document, path[len(folder) + 1 :], build_info.get(path)))
    whole = context.document(f"file:{folder}")
    code_base.extent = _facts(whole, "code_map") if whole else None
    for document in context.documents(source_type="directory", under=f"file:{folder}", bodies=False):
        facts = _facts(document, "code_map")
        if facts:
            code_base.directories[document.address.removeprefix(f"file:{folder}/")] = facts
    for document in context.documents(source_type="component", under=f"component:{folder}", bodies=False):
        facts = _facts(document, "identify_components")
        if facts:
            code_base.components.append((document.address, facts))
    graph = context.document(code_base.graph_address)
    code_base.graph = _facts(graph, "dependency_graph") if graph else None
    return code_base


def extent_of(files: Iterable[File]) -> dict[str, Any]:
    """The files, code, and blank lines of files, in all and by language, most code first."""
    files = list(files)
    languages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file in files:
        languages[file.language].update(files=1, code=file.code, blank=file.blank)
    ranked = sorted(languages.items(), key=lambda entry: (-entry[1]["code"], -entry[1]["files"], entry[0]))
    return {
        "files": len(files),
        "code": sum(file.code for file in files),
        "blank": sum(file.blank for file in files),
        "languages": {language: dict(counts) for language, counts in ranked},
    }


def _file(document: StoredDocument, path: str, build_info: dict[str, Any] | None) -> File:
    content = document.body.encode("utf-8", "replace")
    code, blank = code_and_blank(content)
    binary = any(facts.get("binary") is True for facts in document.metadata.values() if isinstance(facts, dict))
    category = next((found["category"] for name in CLASSIFIERS if (found := _facts(document, name))), UNKNOWN)
    return File(path, "Binary" if binary else language_of(path, content), category, code, blank, build_info)


def _facts(document: StoredDocument, step_type: str) -> dict[str, Any] | None:
    """What a step type says in a document; None when it says nothing."""
    facts = document.metadata.get(step_type)
    return facts if isinstance(facts, dict) and len(facts) > 1 else None
