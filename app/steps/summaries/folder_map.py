"""The map: the tree of folders with what is in each, the components, and how they depend on each other."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from app.steps.markdown import escaped, table
from app.steps.summaries.code_base import CodeBase, File, extent_of
from app.steps.summaries.composing import Composed, counted, listed, sized

_ROWS = 100
_DEPTH = 3
"""Of the tree where code_map has made none."""


def compose_map(code_base: CodeBase) -> Composed:
    folders = code_base.directories if code_base.extent else _folders_of(code_base.files)
    sections = [
        ("", f"{sized(code_base.size)} in {counted(len(folders), 'folder')}."),
        ("Folders", _tree(code_base, folders)),
        ("Components", _components(code_base)),
        ("Dependencies", _dependencies(code_base)),
    ]
    facts = {
        "files": code_base.size["files"],
        "folders": len(folders),
        "components": [address for address, _ in code_base.components],
        "graph": code_base.graph_address if code_base.graph else None,
    }
    return Composed(f"Map of {code_base.name}", sections, facts, code_base.missing("extent", "components", "graph"))


def _folders_of(files: list[File]) -> dict[str, dict[str, Any]]:
    """The extent of each folder that has files in it, at any depth of its own."""
    inside: defaultdict[str, list[File]] = defaultdict(list)
    for file in files:
        names = file.path.split("/")[:-1]
        for depth in range(1, min(len(names), _DEPTH) + 1):
            inside["/".join(names[:depth])].append(file)
    return {path: extent_of(held) for path, held in inside.items()}


def _tree(code_base: CodeBase, folders: dict[str, dict[str, Any]]) -> str:
    lines = [f"- **{escaped(code_base.name)}/** {_said(code_base.size)}"]
    # Compared name by name, so that "a-b" does not come between "a" and "a/b".
    for path, extent in sorted(folders.items(), key=lambda entry: entry[0].split("/")):
        names = path.split("/")
        lines.append(f"{'  ' * len(names)}- **{escaped(names[-1])}/** {_said(extent)}")
    return "\n".join(lines)


def _said(extent: dict[str, Any]) -> str:
    languages = list(extent["languages"])[:3]
    return f"{sized(extent)}; {escaped(listed(languages))}" if languages else sized(extent)


def _components(code_base: CodeBase) -> str:
    rows: list[tuple[object, ...]] = [
        (facts["name"], facts["kind"], facts["path"], f"{facts['files']:,}", address)
        for address, facts in code_base.components
    ]
    return table(("name", "kind", "path", "files", "document"), rows, len(rows)) if rows else ""


def _dependencies(code_base: CodeBase) -> str:
    graph = code_base.graph
    if graph is None:
        return ""
    edges = sorted(graph["edges"], key=lambda edge: (-edge["imports"], edge["from"], edge["to"]))
    counts = [
        counted(len(graph["nodes"]), "node"),
        counted(len(edges), "edge"),
        f"{len(graph['external']):,} imported from outside",
    ]
    said = [f"{', '.join(counts)}; all of it in {escaped(code_base.graph_address)}."]
    said.append(table(("from", "to", "imports"), [(e["from"], e["to"], f"{e['imports']:,}") for e in edges], _ROWS))
    if graph["cycles"]:
        said.append("\n".join(f"- in a cycle: {escaped(listed(cycle, 10))}" for cycle in graph["cycles"][:_ROWS]))
    return "\n\n".join(said)
