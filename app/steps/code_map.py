"""code_map: the structure, the languages and the lines of code of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from app.steps.document_facts import with_facts
from app.steps.languages import code_and_blank, language_of
from app.steps.source_tree import SourceFile, SourceTree, globs, printable, read_file
from app.work.step_type import Context, Document, Settings, StepType, WorkItem

CODE_BASE, DIRECTORY = "code_base", "directory"
"""The source types of its documents."""

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class CodeMapSettings(Settings):
    folder: str
    exclude_paths: list[str] = Field(default_factory=list)
    """Patterns in the language of .gitignore, relative to the folder."""
    max_depth: int = Field(3, ge=0, le=100)
    """How deep below the folder a directory has a document of its own."""
    max_file_size: int = Field(1 << 20, ge=1)
    """In bytes; the lines of larger files are not counted, as they are hardly code."""
    tags: list[str] = Field(default_factory=list)

    @field_validator("exclude_paths")
    @classmethod
    def _are_patterns(cls, patterns: list[str]) -> list[str]:
        globs(tuple(patterns))
        return patterns


@dataclass(slots=True)
class Lines:
    files: int = 0
    code: int = 0
    blank: int = 0
    bytes: int = 0

    def add(self, other: Lines) -> None:
        self.files += other.files
        self.code += other.code
        self.blank += other.blank
        self.bytes += other.bytes


@dataclass(slots=True)
class Extent:
    """What is in a directory, whatever its depth."""

    total: Lines = field(default_factory=Lines)
    languages: defaultdict[str, Lines] = field(default_factory=lambda: defaultdict(Lines))

    def add(self, language: str, lines: Lines) -> None:
        self.total.add(lines)
        self.languages[language].add(lines)

    def ranked(self) -> list[tuple[str, Lines]]:
        """The languages, most code first."""
        return sorted(self.languages.items(), key=lambda entry: (-entry[1].code, -entry[1].files, entry[0]))

    def facts(self) -> dict[str, Any]:
        return {**asdict(self.total), "languages": {language: asdict(lines) for language, lines in self.ranked()}}


class CodeMap(StepType[CodeMapSettings]):
    """One work item per top-level directory, for the documents of the directories in it, and one for the whole.

    The one for the whole counts all files again: work items do not wait for each other, and counting is cheap.
    """

    name = "code_map"
    summary = "Maps the structure, the languages and the lines of code of a folder."
    settings_type = CodeMapSettings
    timeout = 900.0

    def plan(self, context: Context[CodeMapSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        tree = SourceTree(settings.folder, settings.exclude_paths, lambda message: context.log(message, "warn"))
        seen: set[str] = set()
        for file in tree.files():
            top, slash, _ = file.relative.partition("/")
            if slash and top not in seen:
                seen.add(top)
                yield WorkItem(f"{printable(top)}/", {"folder": tree.folder, "directory": top})
        yield WorkItem("whole folder", {"folder": tree.folder, "directory": ""})

    def run(self, context: Context[CodeMapSettings], item: WorkItem) -> dict[str, Any]:
        """The counts of the directory: files, code, blank (lines), bytes, and the same for each language."""
        settings, directory = context.settings, item.input["directory"]
        tree = SourceTree(item.input["folder"], settings.exclude_paths)
        extents = _measured(context, tree, directory)
        own = extents.get(directory, Extent())
        if context.cancelled:
            return own.facts()  # of a part; nothing may be saved or taken for gone
        if directory:
            _save_directories(context, tree, extents)
        else:
            _save_code_base(context, tree, extents)
            _remove_gone(context, tree, extents)
        context.log(f"{item.name}: {_sentence(own)}")
        return own.facts()


def _measured(context: Context[CodeMapSettings], tree: SourceTree, under: str) -> dict[str, Extent]:
    """The extent of each directory by its path below the folder, "" for the folder itself."""
    extents: defaultdict[str, Extent] = defaultdict(Extent)
    for file in tree.files(under):
        if context.cancelled:
            break
        language, lines = _counted(file, context.settings.max_file_size)
        for directory in _directories_around(file.relative):
            extents[directory].add(language, lines)
    return dict(extents)


def _counted(file: SourceFile, limit: int) -> tuple[str, Lines]:
    try:
        content = read_file(file.path, limit)
    except OSError:
        content = b""  # named by import_files, whose business contents are; here it is a file without lines
    language = language_of(file.relative, content)
    if len(content) > limit:
        return language, Lines(files=1, bytes=file.size)
    if content.startswith(_UTF_16_MARKS):
        content = content.decode("utf-16", "replace").encode()
    if b"\0" in content:
        return "Binary", Lines(files=1, bytes=file.size)
    return language, Lines(1, *code_and_blank(content), file.size)


def _directories_around(relative: str) -> Iterator[str]:
    """ "a/b/c.py" is in "a/b", in "a" and in "", the folder itself."""
    while relative:
        relative = relative.rpartition("/")[0]
        yield relative


def _save_directories(context: Context[CodeMapSettings], tree: SourceTree, extents: dict[str, Extent]) -> None:
    for directory, extent in extents.items():
        if directory and directory.count("/") < context.settings.max_depth:
            _save(context, f"{tree.folder}/{directory}", directory, DIRECTORY, extent, _inner(extents, directory))


def _save_code_base(context: Context[CodeMapSettings], tree: SourceTree, extents: dict[str, Extent]) -> None:
    name = PurePosixPath(tree.folder).name or "/"
    _save(context, tree.folder, name, CODE_BASE, extents.get("", Extent()), _inner(extents, ""))


def _save(
    context: Context[CodeMapSettings],
    path: str,
    title: str,
    source_type: str,
    extent: Extent,
    inner: list[tuple[str, Extent]],
) -> None:
    stored = context.document(f"file:{path}")
    document = Document(
        address=f"file:{path}",
        title=title,
        body=_report(title, extent, inner),
        source_type=source_type,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
    )
    context.save_document(with_facts(document, CodeMap.name, extent.facts(), context.settings.tags))


def _remove_gone(context: Context[CodeMapSettings], tree: SourceTree, extents: dict[str, Extent]) -> None:
    for document in context.documents(source_type=DIRECTORY, under=f"file:{tree.folder}", bodies=False):
        path = document.address.removeprefix("file:")
        relative = path[len(tree.folder) + 1 :]
        if relative not in extents and not tree.excluded(f"{relative}/") and not tree.out_of_sight(f"{path}/"):
            context.delete_document(document.address)


def _inner(extents: dict[str, Extent], directory: str) -> list[tuple[str, Extent]]:
    """The directories right inside a directory."""
    return [(inner, extent) for inner, extent in extents.items() if inner and inner.rpartition("/")[0] == directory]


def _report(title: str, extent: Extent, inner: Iterable[tuple[str, Extent]]) -> str:
    lines = [printable(title), _sentence(extent), "", "Languages"]
    lines += [f"  {language}: {_numbers(lines_of)}" for language, lines_of in extent.ranked()]
    directories = [f"  {printable(path)}/: {_numbers(inside.total)}" for path, inside in inner]
    return "\n".join([*lines, *(["", "Directories", *directories] if directories else [])])


def _sentence(extent: Extent) -> str:
    main = ", ".join(language for language, _ in extent.ranked()[:3])
    return f"{_numbers(extent.total)}; {main}" if main else "no files"


def _numbers(lines: Lines) -> str:
    return f"{lines.files:,} files, {lines.code:,} lines of code, {lines.blank:,} blank lines, {lines.bytes:,} bytes"
