"""The graph of a code base: which parts import which, put together from the imports of its files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.steps.imports.c import C
from app.steps.imports.code_base import CodeBase, Meant, around
from app.steps.imports.found import FileImports, Import
from app.steps.imports.go import Go
from app.steps.imports.java import Java
from app.steps.imports.javascript import JavaScript
from app.steps.imports.python import Python
from app.steps.imports.rust import Rust

MANIFESTS = frozenset(
    (
        "go.mod",
        "Cargo.toml",
        "package.json",
        "tsconfig.json",
        "jsconfig.json",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
    )
)
"""Files whose texts say what names mean."""
MOST_NODES = 60
"""Parts of a graph: with more, folders are taken together with those around them."""
TOP = "."
"""The node of the files that are in no folder."""


class Resolver(Protocol):
    def resolve(self, path: str, found: FileImports, each: Import) -> list[Meant]: ...


@dataclass
class Graph:
    """`edges`: pairs of nodes, with how many pairs of files of theirs import each other. `external`: how many files
    import it, by language, name, and whether it comes with the language."""

    nodes: dict[str, int] = field(default_factory=dict)
    """With the number of their files."""
    edges: Counter[tuple[str, str]] = field(default_factory=Counter)
    external: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    inside: int = 0
    """Imports of a file by another one of the same node."""

    def cycles(self) -> list[list[str]]:
        """The groups of nodes that import each other in a ring, the largest first."""
        following: defaultdict[str, list[str]] = defaultdict(list)
        for start, end in sorted(self.edges):
            following[start].append(end)
        groups = [sorted(group) for group in _strongly_connected(self.nodes, following) if len(group) > 1]
        return sorted(groups, key=lambda group: (-len(group), group))

    def ring(self, group: Collection[str]) -> list[str]:
        """A shortest way through the first node of such a group and back to it."""
        start = min(group)
        before: dict[str, str] = {}
        waiting = [start]
        for node in waiting:
            for following in sorted(end for begin, end in self.edges if begin == node and end in group):
                if following == start:
                    way = [node, start]
                    while way[0] != start:
                        way.insert(0, before[way[0]])
                    return way
                if following not in before:
                    before[following] = node
                    waiting.append(following)
        return [start]


def graph_of(base: CodeBase, components: Iterable[str]) -> Graph:
    """`components`: directories that are not taken together with what is around them, as far as that is possible."""
    pairs, external = resolved(base)
    node_of = _nodes(base.imports, set(components))
    graph = Graph(dict(sorted(Counter(node_of.values()).items())), external=external)
    for start, end in pairs:
        if end not in node_of:
            continue  # such as a JSON file
        one, other = node_of[start], node_of[end]
        if one == other:
            graph.inside += 1
        else:
            graph.edges[one, other] += 1
    return graph


def resolved(base: CodeBase) -> tuple[list[tuple[str, str]], Counter[tuple[str, str, bool]]]:
    """The pairs of files of which one imports the other, and how many files import what from outside."""
    javascript, c = JavaScript(base), C(base)
    resolvers: Mapping[str, Resolver] = {
        "C": c,
        "C++": c,
        "Go": Go(base),
        "Java": Java(base),
        "JavaScript": javascript,
        "Python": Python(base),
        "Rust": Rust(base),
        "TypeScript": javascript,
    }
    pairs: set[tuple[str, str]] = set()
    external: Counter[tuple[str, str, bool]] = Counter()
    for path, found in base.imports.items():
        resolver = resolvers[found.language]
        meant = [each for one in found.imports for each in resolver.resolve(path, found, one)]
        pairs.update((path, file) for each in meant for file in each.files if file != path)
        family = "C/C++" if found.language in ("C", "C++") else found.language.replace("TypeScript", "JavaScript")
        external.update({(family, each.external, each.standard) for each in meant if each.external})
    return sorted(pairs), external


def _nodes(paths: Iterable[str], components: set[str]) -> dict[str, str]:
    """The node of each file: its folder, or one around it if there would be too many."""
    folder_of = {path: path.rpartition("/")[0] for path in paths}
    for kept in (components, set[str]()):
        while folded := _folded(Counter(folder_of.values()), kept):
            folder_of = {path: folded.get(folder, folder) for path, folder in folder_of.items()}
    return {path: folder or TOP for path, folder in folder_of.items()}


def _folded(files: Mapping[str, int], kept: Collection[str]) -> dict[str, str]:
    """Which folders to take together with the one around them next: of those without folders inside, the ones in which
    there is least, and no more than needed. `files`: how many are in each."""
    inner = {outer for folder in files for outer in around(folder)}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for folder in files:
        if "/" in folder and folder not in inner and folder not in kept:
            groups[folder.rpartition("/")[0]].append(folder)
    folded: dict[str, str] = {}
    number = len(files)
    for outer in sorted(groups, key=lambda outer: (sum(files[each] for each in groups[outer]), outer)):
        if number <= MOST_NODES:
            break
        number -= len(groups[outer]) - (outer not in files)
        folded.update(dict.fromkeys(groups[outer], outer))
    return folded


def _strongly_connected(nodes: Iterable[str], following: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """Tarjan's algorithm, without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for start in nodes:
        if start in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(start, index, low, stack, on_stack, work, following)
        while work:
            node, rest = work[-1]
            for after in rest:
                if after not in index:
                    _enter(after, index, low, stack, on_stack, work, following)
                    break
                if after in on_stack:
                    low[node] = min(low[node], index[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node) :]
                    del stack[-len(group) :]
                    on_stack.difference_update(group)
                    yield group


def _enter(
    node: str,
    index: dict[str, int],
    low: dict[str, int],
    stack: list[str],
    on_stack: set[str],
    work: list[tuple[str, Iterator[str]]],
    following: Mapping[str, list[str]],
) -> None:
    index[node] = low[node] = len(index)
    stack.append(node)
    on_stack.add(node)
    work.append((node, iter(following.get(node, ()))))


def facts_of(graph: Graph, most_external: int = 1000) -> dict[str, Any]:
    """The graph as it is kept in the metadata of its document."""
    external = sorted(graph.external.items(), key=lambda entry: (entry[0][2], -entry[1], entry[0]))
    return {
        "nodes": [{"id": node, "files": files} for node, files in graph.nodes.items()],
        "edges": [
            {"from": start, "to": end, "imports": number}
            for (start, end), number in sorted(graph.edges.items(), key=lambda entry: (-entry[1], entry[0]))
        ],
        "external": [
            {"name": name, "language": language, "standard": standard, "imports": number}
            for (language, name, standard), number in external[:most_external]
        ],
        "cycles": graph.cycles(),
    }
