"""dependency_graph: which parts of a code base import which, and what they take from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pydantic import Field

from app.steps.code_base_files import ImportedFile, code_base_of, imported_files, warn_of_nothing
from app.steps.document_facts import with_facts
from app.steps.file_documents import batch_name
from app.steps.imports.code_base import CodeBase
from app.steps.imports.found import FileImports, parsed_as
from app.steps.imports.graph import MANIFESTS, Graph, facts_of, graph_of
from app.steps.markdown import escaped, table
from app.steps.source_tree import printable
from app.work.step_type import Context, Document, Settings, StepType, StoredDocument, WorkItem

SOURCE_TYPE = "dependency_graph"
BATCH = 50
"""Files per work item."""
_ROWS = 100
"""Of each table."""
_WHOLE = "the graph"


Parse = Callable[[str, str], FileImports]
"""Finds the imports in a file, of its path and text."""


class DependencyGraphSettings(Settings):
    folder: str
    """A folder whose files import_files has imported."""
    tags: list[str] = Field(default_factory=list)


class DependencyGraph(StepType[DependencyGraphSettings]):
    """Work items for batches of files keep what each file imports in its document, and the last one puts the graph
    together.

    That one waits for no other: what is not known when it gets there, such as the files of a batch that failed, it
    parses itself, in a process apart. So the graph is whole whatever happened to the others, and in whatever order they
    ended, and a file on which a parser breaks down is the only one that is missing.
    """

    name = "dependency_graph"
    summary = "Finds which parts of a code base import which, and what they import from outside."
    settings_type = DependencyGraphSettings
    timeout = 900.0

    def plan(self, context: Context[DependencyGraphSettings]) -> Iterator[WorkItem]:
        folder = code_base_of(context.settings.folder)
        wanted = (file for file in imported_files(context, folder) if _is_parsed(file))
        total = 0
        while batch := list(islice(wanted, BATCH)):
            total += len(batch)
            if fresh := [file.path for file in batch if _known(file.document) is None]:
                yield WorkItem(batch_name(fresh), {"folder": folder, "files": fresh})
        if not total:
            warn_of_nothing(context, folder)
        yield WorkItem(_WHOLE, {"folder": folder, "files": None})

    def run(self, context: Context[DependencyGraphSettings], item: WorkItem) -> dict[str, int]:
        """Of a batch: how many files were parsed, and what became of the others. Of the graph: its numbers."""
        folder = item.input["folder"]
        if item.input["files"] is None:
            return _put_together(context, folder)
        from app.steps.imports._parsing import imports_of

        outcomes: Counter[str] = Counter()
        for path in item.input["files"]:
            if context.cancelled:
                break
            found = _found(context, f"file:{folder}/{path}", path, imports_of)
            outcomes["gone" if found is None else "failed" if found.problem else "parsed"] += 1
        context.log(", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()))
        return dict(outcomes)


def _is_parsed(file: ImportedFile) -> bool:
    return not file.is_binary and parsed_as(file.path) is not None


def _known(document: StoredDocument) -> FileImports | None:
    return FileImports.kept(document.metadata.get(DependencyGraph.name), document.content_hash)


def _found(context: Context[Any], address: str, path: str, parse: Parse) -> FileImports | None:
    """What a file imports, found by parsing it now unless somebody else has; None if it is gone."""
    document = context.document(address)
    if document is None:
        return None
    if known := _known(document):
        return known
    found = parse(path, document.body)
    if found.problem:
        context.log(f"{printable(path)}: left out, {found.problem}", "warn")
    context.save_document(with_facts(document, DependencyGraph.name, found.facts(document.content_hash), []))
    return found


def _put_together(context: Context[DependencyGraphSettings], folder: str) -> dict[str, int]:
    files: set[str] = set()
    imports: dict[str, FileImports] = {}
    manifests: dict[str, str] = {}
    unknown: list[str] = []
    for file in imported_files(context, folder):
        files.add(file.path)
        if file.path.rpartition("/")[2] in MANIFESTS and (stored := context.document(file.document.address)):
            manifests[file.path] = stored.body
        if not _is_parsed(file):
            continue
        if known := _known(file.document):
            imports[file.path] = known
        else:
            unknown.append(file.path)
    imports |= _parsed_apart(context, folder, unknown)
    parsed = {path: found for path, found in sorted(imports.items()) if not found.problem}
    components = _components(context, folder)
    graph = graph_of(CodeBase(frozenset(files), parsed, manifests, folder.rpartition("/")[2]), components)
    facts = {**facts_of(graph), "files": len(parsed), "inside": graph.inside, "left_out": len(imports) - len(parsed)}
    _save(context, folder, graph, facts)
    numbers = {
        "files": len(parsed),
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "external": len(graph.external),
        "cycles": len(facts["cycles"]),
    }
    context.log(", ".join(f"{number:,} {name}" for name, number in numbers.items()))
    return numbers


def _parsed_apart(context: Context[Any], folder: str, paths: list[str]) -> dict[str, FileImports]:
    from app.steps.imports._apart import Apart

    with Apart() as apart:
        found = {path: _found(context, f"file:{folder}/{path}", path, apart.imports_of) for path in paths}
    return {path: each for path, each in found.items() if each}


def _components(context: Context[Any], folder: str) -> list[str]:
    """The directories of the components that identify_components has found."""
    found = context.documents(source_type="component", under=f"component:{folder}", bodies=False)
    return [document.address.removeprefix(f"component:{folder}").lstrip("/") for document in found]


def _save(context: Context[DependencyGraphSettings], folder: str, graph: Graph, facts: dict[str, Any]) -> None:
    address = f"{SOURCE_TYPE}:{folder}"
    stored = context.document(address)
    name = printable(folder.rpartition("/")[2] or "/")
    document = Document(
        address=address,
        title=f"Dependencies of {name}",
        body=_report(name, graph, facts),
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
    )
    context.save_document(with_facts(document, DependencyGraph.name, facts, context.settings.tags))


def _report(name: str, graph: Graph, facts: dict[str, Any]) -> str:
    return "\n\n".join(
        [
            f"# Dependencies of {escaped(name)}",
            f"{facts['files']:,} files in {len(graph.nodes):,} folders; {sum(graph.edges.values()):,} imports between "
            f"folders, {graph.inside:,} inside one. An import counts once per pair of files.",
            "## Cycles",
            _cycles(graph, facts["cycles"]),
            "## Imports between folders",
            table(
                ("folder", "imports from", "imports"),
                [(e["from"], e["to"], e["imports"]) for e in facts["edges"]],
                _ROWS,
            ),
            "## Folders",
            table(("folder", "files"), [(each["id"], each["files"]) for each in facts["nodes"]], _ROWS),
            "## Imported from outside",
            table(
                ("name", "language", "files"),
                [(e["name"], e["language"], e["imports"]) for e in facts["external"] if not e["standard"]],
                _ROWS,
            ),
            "## Of the languages' own libraries",
            table(
                ("name", "language", "files"),
                [(e["name"], e["language"], e["imports"]) for e in facts["external"] if e["standard"]],
                _ROWS,
            ),
        ]
    )


def _cycles(graph: Graph, cycles: list[list[str]]) -> str:
    if not cycles:
        return "None."
    lines = []
    for group in cycles[:_ROWS]:
        ring = graph.ring(group)
        way = " → ".join(escaped(node) for node in ring)
        lines.append(
            f"- {way}" + (f", in a group of {len(group)} that reach each other" if len(group) >= len(ring) else "")
        )
    return "\n".join(lines)
