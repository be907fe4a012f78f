"""The summary: what a code base is, how large, how it is built, where it begins, and what it is made of."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from app.steps.markdown import escaped, table
from app.steps.summaries.code_base import CodeBase, File
from app.steps.summaries.composing import Composed, counted, listed, sized

_ROWS = 100
"""Of each table; the documents of the files have all."""
_NO_CODE = {"Binary", "CSV", "INI", "Ignore list", "JSON", "Markdown", "Other", "SVG", "TOML", "Text", "XML", "YAML"}
_NO_CODE |= {"reStructuredText"}
Row = tuple[object, ...]


def compose_summary(code_base: CodeBase) -> Composed:
    read = [file for file in code_base.manifests if file.build_info and "error" not in file.build_info]
    sections = [
        ("", _sentence(code_base, read)),
        ("Languages", _languages(code_base)),
        ("What the files are", _categories(code_base)),
        ("Build", _build(read)),
        ("Manifests that could not be read", _unreadable(code_base.manifests)),
        ("Dependencies", _dependencies(read)),
        ("Scripts and targets", _commands(read)),
        ("Entry points", table(("name", "begins at", "told by"), _entry_points(code_base, read), _ROWS)),
        ("Components", _components(code_base)),
        ("Tests", _tests(code_base, read)),
        ("Documentation", _documentation(code_base)),
    ]
    missing = code_base.missing("files", "extent", "categories", "build_info", "components")
    known = [(heading, text) for heading, text in sections if text != "None."]
    return Composed(f"Summary of {code_base.name}", known, _facts(code_base, read), missing)


def _facts(code_base: CodeBase, read: list[File]) -> dict[str, Any]:
    size = code_base.size
    return {
        **{key: size[key] for key in ("files", "code", "blank")},
        "languages": {language: counts["code"] for language, counts in size["languages"].items()},
        "categories": {category: len(files) for category, files in code_base.categories},
        "build_tools": list(dict.fromkeys(each for file in read if (each := _info(file)["build_tool"]))),
        "dependencies": len({each["name"] for file in read for each in _info(file)["dependencies"]}),
        "entry_points": [" = ".join(map(str, row[:2])) for row in _entry_points(code_base, read)[:_ROWS]],
        "components": len(code_base.components),
        "unreadable": [file.path for file in code_base.manifests if file not in read and file.build_info],
    }


def _sentence(code_base: CodeBase, read: list[File]) -> str:
    size = code_base.size
    languages = [name for name in size["languages"] if name not in _NO_CODE] or list(size["languages"])
    what = f"{escaped(code_base.name)} is a code base of {sized(size)}"
    mainly = f", mainly {escaped(listed(languages[:3]))}" if languages else ""
    tools = list(dict.fromkeys(each for file in read if (each := _info(file)["build_tool"])))
    built = f" It is built with {escaped(listed(tools))}." if tools else ""
    parts = Counter(facts["kind"] for _, facts in code_base.components)
    made = f" It has {counted(parts.total(), 'component')}." if parts else ""
    said = next((text for file in read if "/" not in file.path and (text := _info(file)["description"])), "")
    return f"{what}{mainly}.{built}{made}" + (f"\n\n> {escaped(said)}" if said else "")


def _languages(code_base: CodeBase) -> str:
    size = code_base.size
    rows: list[Row] = [
        (language, f"{counts['files']:,}", f"{counts['code']:,}", _share(counts["code"], size["code"]))
        for language, counts in size["languages"].items()
    ]
    return table(("language", "files", "lines of code", "share"), rows, _ROWS)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def _categories(code_base: CodeBase) -> str:
    rows: list[Row] = [
        (category, f"{len(files):,}", f"{sum(file.lines for file in files):,}")
        for category, files in code_base.categories
    ]
    return table(("category", "files", "lines"), rows, _ROWS)


def _info(file: File) -> dict[str, Any]:
    assert file.build_info is not None
    return file.build_info


def _build(read: list[File]) -> str:
    rows: list[Row] = []
    for file in read:
        info = _info(file)
        needs = info["language_version"] or ", ".join(info["base_images"])
        numbers = (info["build_tool"] or "settings only", f"{len(info['dependencies']):,}")
        rows.append((file.path, info["name"], info["version"], info["language"], needs, *numbers))
    return table(("manifest", "name", "version", "language", "needs", "build tool", "dependencies"), rows, _ROWS)


def _unreadable(manifests: list[File]) -> str:
    rows: list[Row] = [
        (file.path, info["line"] or "", info["error"])
        for file in manifests
        if (info := file.build_info) and "error" in info
    ]
    return table(("manifest", "line", "reason"), rows, _ROWS)


def _dependencies(read: list[File]) -> str:
    rows: dict[Row, None] = {  # one manifest may say the same for several parts
        (each["name"], each["constraint"] or "any", each["scope"], file.path): None
        for file in read
        for each in _info(file)["dependencies"]
    }
    # What the program runs on comes first; the order is otherwise that of the manifests.
    ranked = sorted(rows, key=lambda row: row[2] != "run")
    return table(("name", "version", "for", "manifest"), ranked, _ROWS)


def _commands(read: list[File]) -> str:
    rows: list[Row] = [(name, runs, file.path) for file in read for name, runs in _info(file)["commands"].items()]
    return table(("name", "what it does", "manifest"), rows, _ROWS)


def _entry_points(code_base: CodeBase, read: list[File]) -> list[Row]:
    """Those that manifests name, and what else the components have."""
    rows: list[Row] = [(name, at, file.path) for file in read for name, at in _info(file)["entry_points"].items()]
    known = {text for name, at, _ in rows for text in (f"{name} = {at}", name, at)}
    for _, facts in code_base.components:
        for entry in facts["entry_points"]:
            if entry not in known:
                name, _, begins = entry.rpartition(" = ")
                rows.append((name or PurePosixPath(begins).name, begins, f"component {facts['name']}"))
    return rows


def _components(code_base: CodeBase) -> str:
    rows: list[Row] = [
        (facts["name"], facts["kind"], facts["path"], facts["language"], f"{facts['files']:,}", f"{facts['lines']:,}")
        for _, facts in code_base.components
    ]
    return table(("name", "kind", "path", "language", "files", "lines"), rows, _ROWS)


def _tests(code_base: CodeBase, read: list[File]) -> str:
    by_category = dict(code_base.categories)
    tests, sources = by_category.get("test", []), by_category.get("source", [])
    if not tests:
        return ""
    lines, source_lines = sum(file.code for file in tests), sum(file.code for file in sources)
    beside = f", beside {source_lines:,} lines of source" if source_lines else ""
    places = Counter(file.path.rpartition("/")[0] or "the folder itself" for file in tests)
    said = [f"{counted(len(tests), 'file')} with {counted(lines, 'line')} of code{beside}."]
    said.append(f"- Where: {escaped(listed((place for place, _ in places.most_common()), 5))}")
    commands = [f"{name} ({file.path})" for file in read for name in _info(file)["commands"] if "test" in name.lower()]
    if commands:
        said.append(f"- Run by: {escaped(listed(commands, 5))}")
    return f"{said[0]}\n\n" + "\n".join(said[1:])


def _documentation(code_base: CodeBase) -> str:
    """Files of documentation, those that a reader begins with first."""
    found = dict(code_base.categories).get("documentation", [])
    ranked = sorted(found, key=lambda file: (file.path.count("/"), not _is_readme(file), file.path))
    rows: list[Row] = [(file.path, file.language, f"{file.lines:,}") for file in ranked]
    return table(("file", "language", "lines"), rows, 20)


def _is_readme(file: File) -> bool:
    return file.path.rpartition("/")[2].lower().startswith("readme")
