"""import_files: turns the files of a folder into documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from pydantic import Field, field_validator

from app.steps.file_documents import SOURCE_TYPE, batch_name, has_extension, save_file
from app.steps.source_tree import SourceFile, SourceTree, globs, printable, read_file
from app.work.step_type import Context, Settings, StepType, WorkItem


class ImportFilesSettings(Settings):
    folder: str
    extensions: list[str] = Field(default_factory=list)
    """Such as ["py", ".toml"], in any case; none means every file."""
    exclude_paths: list[str] = Field(default_factory=list)
    """Patterns in the language of .gitignore, relative to the folder."""
    max_file_size: int = Field(1 << 20, ge=1)
    """In bytes; larger files are left out, with a line in the log."""
    tags: list[str] = Field(default_factory=list)
    batch_size: int = Field(50, ge=1, le=1000)
    """Files per work item."""

    @field_validator("exclude_paths")
    @classmethod
    def _are_patterns(cls, patterns: list[str]) -> list[str]:
        globs(tuple(patterns))
        return patterns


class ImportFiles(StepType[ImportFilesSettings]):
    """One document per file, binary files without a body. What git ignores is left out."""

    name = "import_files"
    summary = "Imports the files of a folder as documents, only those that have changed."
    settings_type = ImportFilesSettings
    timeout = 300.0

    def plan(self, context: Context[ImportFilesSettings]) -> Iterator[WorkItem]:
        settings = context.settings
        tree = SourceTree(settings.folder, settings.exclude_paths, lambda message: context.log(message, "warn"))
        present: set[str] = set()
        wanted = _wanted(tree.files(), present, settings)
        count = 0
        while batch := list(islice(wanted, settings.batch_size)):
            count += len(batch)
            yield _work_item(tree.folder, batch)
        context.log(f"{count:,} files to import from {printable(tree.folder)}")
        _remove_gone(context, tree, present)

    def run(self, context: Context[ImportFilesSettings], item: WorkItem) -> dict[str, int]:
        """How many files were imported, unchanged, too_large or unreadable; a file never fails its batch."""
        folder = item.input["folder"]
        outcomes: Counter[str] = Counter()
        for relative in item.input["files"]:
            if context.cancelled:
                break
            outcomes[_import(context, folder, relative)] += 1
        context.log(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
        return dict(outcomes)


def _wanted(files: Iterable[SourceFile], present: set[str], settings: ImportFilesSettings) -> Iterator[SourceFile]:
    """The files with a wanted extension; `present` gets the addresses of all."""
    for file in files:
        present.add(_address(file.path))
        if has_extension(file.relative, settings.extensions):
            yield file


def _work_item(folder: str, batch: list[SourceFile]) -> WorkItem:
    name = batch_name([file.relative for file in batch])
    return WorkItem(name, {"folder": folder, "files": [file.relative for file in batch]})


def _remove_gone(context: Context[ImportFilesSettings], tree: SourceTree, present: set[str]) -> None:
    """Removes the documents of files that are gone or that git ignores by now."""
    gone = 0
    for document in context.documents(source_type=SOURCE_TYPE, under=_address(tree.folder), bodies=False):
        path = document.address.removeprefix("file:")
        relative = path[len(tree.folder) + 1 :]
        if document.address in present or tree.excluded(relative) or tree.out_of_sight(path):
            continue
        context.delete_document(document.address)
        gone += 1
    if gone:
        context.log(f"{gone:,} documents removed, their files are gone")


def _import(context: Context[ImportFilesSettings], folder: str, relative: str) -> str:
    """Imports one file, and says in a word what came of it."""
    settings, path, shown = context.settings, f"{folder}/{relative}", printable(relative)
    try:
        content = read_file(path, settings.max_file_size)
    except OSError as error:
        context.log(f"{shown}: skipped, it cannot be read ({error.strerror})", "warn")
        return "unreadable"
    if len(content) > settings.max_file_size:
        context.log(f"{shown}: skipped, it is larger than {settings.max_file_size:,} bytes")
        return "too_large"
    return save_file(context, ImportFiles.name, _address(path), relative, content, {"folder": folder}, settings.tags)


def _address(path: str) -> str:
    return f"file:{path}"
