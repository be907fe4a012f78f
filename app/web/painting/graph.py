"""The dependencies of a code base as a picture: folders as boxes in columns, and arrows to what they import.

A layered layout: columns by the longest way to a folder, in them the order that keeps arrows short. Arrows that lead
back, which only cycles have, are told apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from markupsafe import Markup

from app.web.templating import environment

SOURCE_TYPE = "dependency_graph"
MOST_NODES = 40
"""Folders in a picture: those that have most to do with others."""
MOST_ARROWS = 200
LONGEST_LABEL = 30
"""Characters."""
_CHARACTER = 7
_PADDING = 10
_HEIGHT = 28
_GAP = 14
_BETWEEN = 90
"""Units between columns."""
_MARGIN = 20
_SWEEPS = 6

Edges = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Box:
    name: str
    files: int
    x: int
    y: int
    width: int
    imports: int
    imported: int
    in_cycle: bool
    height: int = _HEIGHT

    @property
    def label(self) -> str:
        """Of a long name its end, which tells folders apart."""
        return self.name if len(self.name) <= LONGEST_LABEL else f"…{self.name[1 - LONGEST_LABEL :]}"

    @property
    def middle(self) -> int:
        return self.y + _HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Arrow:
    start: Box
    end: Box
    imports: int

    @property
    def is_back(self) -> bool:
        return self.end.x <= self.start.x

    @property
    def width(self) -> float:
        return min(1 + self.imports.bit_length() / 3, 4)

    @property
    def path(self) -> str:
        if self.is_back:
            return self._around()
        x1, y1, x2, y2 = self.start.x + self.start.width, self.start.middle, self.end.x - 2, self.end.middle
        bend = max((x2 - x1) // 2, 20)
        return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"

    def _around(self) -> str:
        """Out at the bottom, and in at the bottom."""
        x1, y1 = self.start.x + self.start.width // 2, self.start.y + _HEIGHT
        x2, y2 = self.end.x + self.end.width // 2, self.end.y + _HEIGHT + 2
        return f"M{x1} {y1}C{x1} {self.lowest} {x2} {self.lowest} {x2} {y2}"

    @property
    def lowest(self) -> int:
        """How far down an arrow that leads back may reach."""
        wide = abs(self.start.x - self.end.x)
        return max(self.start.y, self.end.y) + _HEIGHT + min(30 + wide // 12, 90)


@dataclass(frozen=True, slots=True)
class Picture:
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    nodes: int
    """Of the whole graph, without those that neither import another one nor are imported."""
    edges: int
    cycles: int
    alone: int
    """How many those are."""

    @property
    def width(self) -> int:
        return max(box.x + box.width for box in self.boxes) + _MARGIN

    @property
    def height(self) -> int:
        arrows = [arrow.lowest for arrow in self.arrows if arrow.is_back]
        return max([*(box.y + _HEIGHT for box in self.boxes), *arrows]) + _MARGIN


def graph_svg(metadata: Mapping[str, Any]) -> Markup | None:
    """The picture of the graph in the metadata of a document; None if there is none, or nothing to see in it."""
    picture = picture_of(metadata.get(SOURCE_TYPE))
    if picture is None:
        return None
    rendered = _environment().get_template("fragments/dependency_graph.html").render(picture=picture)
    return Markup(rendered.strip())  # noqa: S704  what the template made, which escapes


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return environment()


def picture_of(facts: object) -> Picture | None:
    """The picture of a graph as the step type dependency_graph keeps it. What is not of that form is left out."""
    if not isinstance(facts, Mapping):
        return None
    files = {node["id"]: node["files"] for node in _tables(facts.get("nodes"), id=str, files=int)}
    read = _tables(facts.get("edges"), **{"from": str, "to": str, "imports": int})
    edges: Edges = Counter({(each["from"], each["to"]): each["imports"] for each in read})
    edges = Counter({(start, end): n for (start, end), n in edges.items() if start in files and end in files})
    if not edges:
        return None
    cycles = facts.get("cycles")
    cycles = [group for group in cycles if isinstance(group, list)] if isinstance(cycles, list) else []
    connected = {node for pair in edges for node in pair}
    shown = _most_connected({node: files[node] for node in connected}, edges)
    drawn: Edges = Counter({pair: number for pair, number in edges.items() if shown.issuperset(pair)})
    columns = _columns(sorted(shown), drawn)
    in_cycles = {node for group in cycles for node in group if isinstance(node, str)}
    boxes = {box.name: box for box in _boxes(columns, files, edges, in_cycles)}
    arrows = [Arrow(boxes[start], boxes[end], number) for (start, end), number in drawn.most_common(MOST_ARROWS)]
    alone = len(files) - len(connected)
    return Picture(list(boxes.values()), arrows, len(connected), len(edges), len(cycles), alone)


def _tables(values: object, **keys: type) -> Iterator[dict[str, Any]]:
    """The tables of a list that have these keys with values of these types."""
    for each in values if isinstance(values, list) else ():
        if isinstance(each, dict) and all(isinstance(each.get(key), kind) for key, kind in keys.items()):
            yield each


def _most_connected(files: Mapping[str, int], edges: Edges) -> set[str]:
    degree: Counter[str] = Counter()
    for (start, end), number in edges.items():
        degree[start] += number
        degree[end] += number
    return set(sorted(files, key=lambda node: (-degree[node], -files[node], node))[:MOST_NODES])


def _columns(nodes: Sequence[str], edges: Edges) -> list[list[str]]:
    """The nodes from left to right; within a column so that the arrows are short."""
    place = {node: number for number, node in enumerate(_order(nodes, edges))}
    column = dict.fromkeys(nodes, 0)
    following: defaultdict[str, list[str]] = defaultdict(list)
    for start, end in edges:
        if place[start] < place[end]:
            following[start].append(end)
    for node in sorted(nodes, key=place.__getitem__):
        for end in following[node]:
            column[end] = max(column[end], column[node] + 1)
    for node in sorted(nodes, key=place.__getitem__, reverse=True):
        # What could stand anywhere stands near to what it imports.
        column[node] = min((column[end] - 1 for end in following[node]), default=column[node])
    columns: list[list[str]] = [[] for _ in range(max(column.values()) + 1)]
    for node in sorted(nodes):
        columns[column[node]].append(node)
    return _sorted_by_neighbours(columns, edges)


def _order(nodes: Iterable[str], edges: Edges) -> list[str]:
    """An order in which few imports lead back (after Eades, Lin and Smyth 1993): what nobody imports comes first, what
    imports nothing last, and of the rest first what imports most and is imported least."""
    left = sorted(nodes)
    first: list[str] = []
    last: list[str] = []
    while left:
        leaving, coming = Counter[str](), Counter[str]()
        present = set(left)
        for (start, end), number in edges.items():
            if start in present and end in present and start != end:
                leaving[start] += number
                coming[end] += number
        chosen = next((node for node in left if not leaving[node]), None)
        if chosen is not None:
            last.append(chosen)
        else:
            chosen = min(left, key=lambda node: (coming[node] > 0, coming[node] - leaving[node], node))
            first.append(chosen)
        left.remove(chosen)
    return first + last[::-1]


def _sorted_by_neighbours(columns: list[list[str]], edges: Edges) -> list[list[str]]:
    """Each column in the order of where the neighbours of its nodes are, from left to right and back, some times."""
    neighbours: defaultdict[str, set[str]] = defaultdict(set)
    for start, end in edges:
        neighbours[start].add(end)
        neighbours[end].add(start)
    for sweep in range(_SWEEPS):
        height = {node: _relative(number, column) for column in columns for number, node in enumerate(column)}
        for column in columns if sweep % 2 else columns[::-1]:
            mean = {node: _mean(node, neighbours[node], height) for node in column}
            column.sort(key=lambda node: (mean[node], node))
            height |= {node: _relative(number, column) for number, node in enumerate(column)}
    return columns


def _mean(node: str, neighbours: Iterable[str], height: Mapping[str, float]) -> float:
    heights = [height[each] for each in neighbours] or [height[node]]
    return sum(heights) / len(heights)


def _relative(number: int, column: Sequence[str]) -> float:
    return number - (len(column) - 1) / 2


def _boxes(
    columns: Sequence[Sequence[str]], files: Mapping[str, int], edges: Edges, in_cycles: set[str]
) -> Iterator[Box]:
    tallest = max(len(column) for column in columns)
    imports = Counter(start for start, _ in edges)
    imported = Counter(end for _, end in edges)
    x = _MARGIN
    for column in columns:
        width = 2 * _PADDING + _CHARACTER * max(min(len(node), LONGEST_LABEL) for node in column)
        y = _MARGIN + (tallest - len(column)) * (_HEIGHT + _GAP) // 2
        for node in column:
            yield Box(node, files[node], x, y, width, imports[node], imported[node], node in in_cycles)
            y += _HEIGHT + _GAP
        x += width + _BETWEEN
