"""Swaps turn the page that was into the page that is: checked on a model of the browser's DOM."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.web.pieces import Painter, Piece, diff
from tests.web.browser_model import Dom


def element(name: str, attribute: str, before: str, children: Sequence[Piece], is_list: bool) -> Piece:
    opening = f'<div id="{name}" class="piece" data-of="{attribute}">'
    if is_list:
        return Piece(name, (opening, "</div>"), tuple(children), is_list=True)
    middles = ["<i>and</i>"] * (len(children) - 1)
    parts = (f"{opening}<b>{before}</b>", *middles, "</div>") if children else (f"{opening}<b>{before}</b></div>",)
    return Piece(name, parts, tuple(children))


def leaf(name: str, text: str = "") -> Piece:
    return element(name, "", text, (), is_list=False)


@st.composite
def trees(draw: st.DrawFn, name: str = "root", depth: int = 3) -> Piece:
    """A tree of pieces whose ids say where they stand, so that two trees have many of them in common."""
    is_list = draw(st.booleans())
    most = 5 if is_list else 3
    names = draw(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=most)) if depth else []
    children = [draw(trees(f"{name}-{each}", depth - 1)) for each in names]
    return element(name, draw(st.sampled_from("xy")), draw(st.sampled_from("pq")), children, is_list and depth > 0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), trees())
def test_a_page_that_followed_the_swaps_is_the_page_painted_anew(old: Piece, new: Piece) -> None:
    page = Dom(old.html)
    page.apply(list(diff(old, new)))
    assert page.html == Dom(new.html).html


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), trees())
def test_pieces_that_are_the_same_as_before_need_no_swap(old: Piece, new: Piece) -> None:
    known: dict[Hashable, Piece] = {}
    old, new = remembered(old, known), remembered(new, known)
    page = Dom(old.html)
    page.apply(list(diff(old, new)))
    assert page.html == Dom(new.html).html


def remembered(piece: Piece, known: dict[Hashable, Piece]) -> Piece:
    """The same piece for what is equal, as a painter that remembers gives it."""
    children = tuple(remembered(child, known) for child in piece.children)
    made = Piece(piece.id, piece.parts, children, piece.is_list)
    return known.setdefault((piece.id, piece.parts, children, piece.is_list), made)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees())
def test_nothing_is_swapped_when_nothing_changed(tree: Piece) -> None:
    assert list(diff(tree, tree)) == []


def listed(*names: str, attribute: str = "") -> Piece:
    return element("list", attribute, "", [leaf(name) for name in names], is_list=True)


@pytest.mark.parametrize(
    ("old", "new", "swaps"),
    [
        ("ab", "abcd", [("list", "beforeend")]),
        ("cd", "abcd", [("c", "beforebegin")]),
        ("abc", "bc", [("a", "delete")]),
        ("abc", "bcd", [("a", "delete"), ("list", "beforeend")]),
        ("abc", "axbc", [("b", "beforebegin")]),
        ("abc", "xyz", [("list", "innerHTML")]),
        ("abcd", "dabc", [("d", "delete"), ("a", "beforebegin")]),
        ("", "ab", [("list", "beforeend")]),
        ("ab", "", [("a", "delete"), ("b", "delete")]),
    ],
)
def test_a_list_changes_by_as_few_swaps_as_its_entries_allow(old: str, new: str, swaps: list[tuple[str, str]]) -> None:
    assert [(swap.target, swap.style) for swap in diff(listed(*old), listed(*new))] == swaps


def test_a_changed_attribute_does_not_send_the_insides() -> None:
    (swap,) = diff(listed("a", "b", attribute="1"), listed("a", "b", attribute="2"))
    assert swap.html == '<div id="list" class="htmx-swapping piece" data-of="2"></div>'


def test_only_the_leaf_that_changed_is_sent() -> None:
    old = element("page", "", "text", [leaf("head", "pending"), leaf("foot")], is_list=False)
    new = element("page", "", "text", [leaf("head", "running"), leaf("foot")], is_list=False)
    assert [swap.target for swap in diff(old, new)] == ["head"]


@pytest.fixture
def painter() -> Painter:
    templates = {
        "fragments/row.html": '<li id="{{ id }}" class="row">{{ place.head }}{{ place.log }}{{ text }}</li>',
        "fragments/rows.html": '<ol id="{{ id }}" class="rows">{{ entries }}</ol>',
    }
    return Painter(jinja2.Environment(loader=jinja2.DictLoader(templates), autoescape=True))


def test_children_stand_where_the_template_places_them(painter: Painter) -> None:
    row = painter.piece("row.html", "row", {"log": leaf("log"), "head": leaf("head")}, text="<end>")
    assert [child.id for child in row.children] == ["head", "log"]
    assert row.html == f'<li id="row" class="row">{leaf("head").html}{leaf("log").html}&lt;end&gt;</li>'


def test_a_child_that_is_not_there_leaves_its_place_empty(painter: Painter) -> None:
    row = painter.piece("row.html", "row", {"log": None, "head": leaf("head")}, text="")
    assert row.html == f'<li id="row" class="row">{leaf("head").html}</li>'


def test_equal_records_are_painted_once(painter: Painter) -> None:
    def paint(painter: Painter, text: str) -> Piece:
        painted.append(text)
        return leaf(text)

    painted: list[str] = []
    assert painter.once(paint, "same") is painter.once(paint, "same")
    assert painted == ["same"]


def test_what_is_painted_from_equal_values_and_the_same_children_is_the_same(painter: Painter) -> None:
    head, other = leaf("head"), leaf("head")

    def row(child: Piece, text: str) -> Piece:
        return painter.same("row.html", "row", {"log": None, "head": child}, text=text)

    assert row(head, "a") is row(head, "a")
    assert row(head, "a") is not row(head, "b")
    assert row(head, "a") is not row(other, "a")
