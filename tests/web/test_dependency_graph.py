"""The picture of a dependency graph."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from app.queue.document_records import WholeDocument
from app.web.painting.document import paint_document
from app.web.painting.graph import LONGEST_LABEL, MOST_NODES, Picture, graph_svg, picture_of
from app.web.pieces import Painter
from app.web.templating import environment
from tests.web.conftest import Pages


def graph(*edges: tuple[str, str], **more: Any) -> dict[str, Any]:
    nodes = list(dict.fromkeys([node for edge in edges for node in edge]))
    return {
        "nodes": [{"id": node, "files": 1} for node in nodes],
        "edges": [{"from": start, "to": end, "imports": 3} for start, end in edges],
        "external": [],
        "cycles": [],
        **more,
    }


def picture(*edges: tuple[str, str], **more: Any) -> Picture:
    made = picture_of(graph(*edges, **more))
    assert made
    return made


def drawn(facts: Any) -> ElementTree.Element:
    markup = graph_svg({"dependency_graph": facts})
    assert markup is not None
    return ElementTree.fromstring(markup)  # noqa: S314  our own


def texts(figure: ElementTree.Element, name: str) -> list[str]:
    return [each.text or "" for each in figure.iter(name)]


def test_arrows_lead_to_the_right_except_in_cycles() -> None:
    made = picture(("cli", "web"), ("web", "queue"), ("cli", "queue"), ("queue", "store"), ("store", "queue"))
    place = {box.name: box.x for box in made.boxes}
    assert place["cli"] < place["web"] < min(place["queue"], place["store"])
    assert [arrow.is_back for arrow in made.arrows].count(True) == 1


def test_no_two_boxes_cover_each_other_and_all_are_in_the_picture() -> None:
    made = picture(*((f"a{one}", f"b{(one * other) % 17}") for one in range(20) for other in range(4)), ("b1", "b2"))
    for box in made.boxes:
        assert 0 < box.x < box.x + box.width < made.width and 0 < box.y < box.y + box.height < made.height
        for other in made.boxes:
            apart = (
                box.x + box.width < other.x
                or other.x + other.width < box.x
                or box.y + box.height < other.y
                or other.y + other.height < box.y
            )
            assert apart or box is other


def test_of_many_folders_those_with_most_imports_are_shown_and_the_rest_is_told() -> None:
    edges = [(f"n{number}", "hub") for number in range(3 * MOST_NODES)]
    figure = drawn(graph(*edges))
    assert len(list(figure.iter("rect"))) == MOST_NODES
    (caption,) = texts(figure, "figcaption")
    assert f"Shown are the {MOST_NODES} of {3 * MOST_NODES + 1} folders that have most to do with others." in caption
    assert f"{MOST_NODES - 1} of {3 * MOST_NODES} arrows are drawn." in caption


def test_the_picture_says_what_it_shows() -> None:
    figure = drawn(graph(("a", "b"), ("b", "a"), cycles=[["a", "b"]]))
    (svg,) = figure.iter("svg")
    described = {each.get("id"): each.text for each in svg if each.tag in ("title", "desc")}
    assert svg.get("role") == "img" and set((svg.get("aria-labelledby") or "").split()) == set(described)
    assert "a imports b: 3" in texts(figure, "title")
    assert "a: 1 file; imports from 1 of the folders, imported by 1; part of a cycle" in texts(figure, "title")
    (caption,) = texts(figure, "figcaption")
    assert "Dashed arrows lead back" in caption and "part of a cycle" in caption


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><x>', "&amp;", "right\u202etfel", "a\nb", "x" * 5000])
def test_hostile_names_are_shown_as_text(name: str) -> None:
    figure = drawn(graph((name, "b")))
    known = ("figure", "div", "svg", "title", "desc", "defs", "marker", "path", "g", "rect", "text", "figcaption")
    assert {each.tag for each in figure.iter()} <= set(known)
    assert not any(key.startswith("on") or key == "style" for each in figure.iter() for key in each.keys())  # noqa: SIM118
    assert all("\u202e" not in text and len(text) <= LONGEST_LABEL + 10 for text in texts(figure, "text"))


@pytest.mark.parametrize(
    "facts",
    [
        None,
        [],
        {},
        {"nodes": 3, "edges": "x", "cycles": 1},
        {"nodes": [{"id": "a", "files": 1}, {"id": "b", "files": 1}], "edges": []},
        {"nodes": [{"id": 1, "files": 1}, {"id": "a"}, 3, None], "edges": [{"from": "a", "to": "b", "imports": 1}]},
    ],
)
def test_there_is_no_picture_of_what_is_no_graph(facts: Any) -> None:
    assert graph_svg({"dependency_graph": facts}) is None and graph_svg({}) is None


def test_folders_that_have_nothing_to_do_with_others_are_only_counted() -> None:
    facts = graph(("a", "b"))
    facts["nodes"] += [{"id": "c", "files": 1}, {"id": "d", "files": 1}]
    figure = drawn(facts)
    assert texts(figure, "text") == ["a", "b"]
    assert "2 folders have nothing to do with others." in texts(figure, "figcaption")[0]


def test_arrows_to_unknown_folders_and_cycles_of_another_form_are_left_out() -> None:
    facts = graph(("a", "b"), cycles=[3, ["a", 4, {}], {"b": 1}])
    facts["edges"] += [{"from": "a", "to": "gone", "imports": 1}, {"from": "a", "to": "a", "imports": 1}]
    made = picture_of(facts)
    assert made and {box.name for box in made.boxes if box.in_cycle} == {"a"}
    assert {(arrow.start.name, arrow.end.name) for arrow in made.arrows} == {("a", "b"), ("a", "a")}


def test_it_stands_on_the_page_of_the_document_above_the_text() -> None:
    metadata = {"dependency_graph": graph(("app/web", "app/queue"))}
    document = WholeDocument(
        1, "Graph", "dependency_graph:/code", "dependency_graph", (), None, "", 0, 0, metadata, "# Text", 6, None, None
    )
    html = paint_document(Painter(environment()), document).html
    assert ">app/queue</text>" in html and " style=" not in html
    assert html.index('<figure class="dependency-graph">') < html.index("Text</h")


def test_pages_of_documents_have_its_sheet_and_lists_have_not(pages: Pages) -> None:
    pages.play("start", steps=["graph"])
    (step_id,) = pages.play("plan", items=["one"])
    pages.play("save", step_id=step_id, worker_id=1, addresses=["trial:1"])
    (found,) = pages.get("/api/documents").json()["documents"]
    assert '<link rel="stylesheet" href="/static/css/graph.css">' in pages.get(f"/documents/{found['id']}").text
    assert "graph.css" not in pages.get("/documents").text
