"""The index: every file with its language, its category and its lines."""

from __future__ import annotations

from itertools import groupby

from app.steps.markdown import escaped, table
from app.steps.summaries.code_base import CodeBase, File
from app.steps.summaries.composing import Composed, counted, sized

_HEAD = ("file", "language", "category", "lines")


def compose_index(code_base: CodeBase) -> Composed:
    """One table for each folder right inside the code base, its own files first."""
    files = sorted(code_base.files, key=lambda file: ("/" in file.path, file.path))
    sections = [("", _sentence(code_base))]
    for top, inside in groupby(files, _top):
        rows: list[tuple[object, ...]] = [
            (file.path, file.language, file.category, f"{file.lines:,}") for file in inside
        ]
        sections.append((escaped(f"{top}/" if top else code_base.name), table(_HEAD, rows, len(rows))))
    facts = {
        "files": len(files),
        "lines": sum(file.lines for file in files),
        "categories": {category: len(inside) for category, inside in code_base.categories},
    }
    missing = code_base.missing("files", "extent", "categories")
    return Composed(f"Index of {code_base.name}", sections, facts, missing)


def _sentence(code_base: CodeBase) -> str:
    lines = sum(file.lines for file in code_base.files)
    said = f"{counted(len(code_base.files), 'file')} with {counted(lines, 'line')}, blank ones included."
    left_out = code_base.size["files"] - len(code_base.files)
    more = f" The folder has {sized(code_base.size)}; {left_out:,} were not imported." if left_out > 0 else ""
    return said + more


def _top(file: File) -> str:
    return file.path.partition("/")[0] if "/" in file.path else ""
