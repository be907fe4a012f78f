"""Pieces: what a page is made of. A piece is one element with an id, painted from one template; pieces contain pieces.

A page that is open shows some tree of pieces, and a later paint makes another tree. `diff` says which swaps turn the
first into the second. Since both come from the same templates, the page that followed the swaps is the page painted
anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

import jinja2
from markupsafe import Markup, escape

MARK = "\0"
"""Stands in a rendered template around the name of a child. Nothing else contains it: in text it is shown as a
symbol."""

REMEMBERED = 4096
"""Pieces that a painter keeps. A queue page of 20 runs has about 1,500."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One element. `parts` is its own html, cut at the places of its children: always one part more than children.

    The children of a list come and go; all other pieces keep theirs, or are swapped whole.
    """

    id: str
    parts: tuple[str, ...]
    children: tuple[Piece, ...] = ()
    is_list: bool = False

    @property
    def html(self) -> str:
        return "".join(self._texts())

    @property
    def opening(self) -> str:
        """The opening tag. Attribute values are escaped, so the first > ends it."""
        return self.parts[0][: self.parts[0].index(">") + 1]

    @property
    def emptied(self) -> str:
        """The element without anything in it."""
        tag = self.opening[1:-1].split(maxsplit=1)[0]
        return f"{self.opening}</{tag}>"

    def same_shell(self, other: Piece) -> bool:
        """Whether everything except the attributes and the insides of the children is the same."""
        return (
            [child.id for child in self.children] == [child.id for child in other.children]
            and self.parts[1:] == other.parts[1:]
            and self.parts[0][len(self.opening) :] == other.parts[0][len(other.opening) :]
        )

    def _texts(self) -> Iterator[str]:
        if self.is_list:
            yield self.parts[0]
            for child in self.children:
                yield from child._texts()
            yield self.parts[1]
            return
        for part, child in zip(self.parts, self.children, strict=False):
            yield part
            yield from child._texts()
        yield self.parts[-1]


@dataclass(frozen=True, slots=True)
class Swap:
    """What is to be done to the element `target`: an htmx swap style and the html for it."""

    target: str
    style: str
    html: str = ""

    @classmethod
    def attributes_of(cls, piece: Piece) -> Swap:
        """Renews the attributes of an element and leaves its insides alone.

        The page's htmx is told to skip the insides of `.htmx-swapping`, a class that htmx itself takes off the target
        after every swap (see templates/layout.html).
        """
        return cls(piece.id, "outerMorph", piece.emptied.replace('class="', 'class="htmx-swapping ', 1))

    @classmethod
    def whole(cls, piece: Piece) -> Swap:
        """Renews an element and all its insides, keeping the nodes, and with them the reader's place."""
        return cls(piece.id, "outerMorph", piece.html)


def diff(old: Piece, new: Piece) -> Iterator[Swap]:
    """The swaps that turn `old` into `new`, two paints of the same element."""
    if old is new:
        return
    both_lists = old.is_list and new.is_list
    if not both_lists and not old.same_shell(new):
        yield Swap.whole(new)
        return
    if old.opening != new.opening:
        yield Swap.attributes_of(new)
    if both_lists:
        yield from _diff_list(old, new)
    else:
        for before, after in zip(old.children, new.children, strict=True):
            yield from diff(before, after)


def _diff_list(old: Piece, new: Piece) -> Iterator[Swap]:
    same = _number_of_same(old.children, new.children)
    before, after = old.children[same:], new.children[same:]
    kept = _kept_in_order(before, after)
    if not same and not kept and before and after:
        yield Swap(new.id, "innerHTML", "".join(child.html for child in after))
        return
    for child in before:
        if child.id not in kept:
            yield Swap(child.id, "delete")
    newcomers: list[str] = []
    for child in after:
        if child.id not in kept:
            newcomers.append(child.html)
            continue
        if newcomers:
            yield Swap(child.id, "beforebegin", "".join(newcomers))
            newcomers = []
        yield from diff(kept[child.id], child)
    if newcomers:
        yield Swap(new.id, "beforeend", "".join(newcomers))


def _number_of_same(old: Sequence[Piece], new: Sequence[Piece]) -> int:
    """How many children at the start are the same pieces: all but a few of a log, all of a list that is full."""
    number = 0
    for before, after in zip(old, new, strict=False):
        if before is not after:
            break
        number += 1
    return number


def _kept_in_order(old: Sequence[Piece], new: Sequence[Piece]) -> Mapping[str, Piece]:
    """The longest row of children that are in both lists in the same order, as they were: those need not move."""
    places = {child.id: place for place, child in enumerate(old)}
    rising: list[int] = []  # patience sorting: the lowest place that ends a row of each length
    before: dict[int, int | None] = {}
    for child in new:
        place = places.get(child.id)
        if place is not None:
            length = bisect_left(rising, place)
            before[place] = rising[length - 1] if length else None
            rising[length:] = [place, *rising[length + 1 :]]
    kept: dict[str, Piece] = {}
    last = rising[-1] if rising else None
    while last is not None:
        kept[old[last].id] = old[last]
        last = before[last]
    return kept


R_contra = TypeVar("R_contra", bound=Hashable, contravariant=True)


class Paint(Hashable, Protocol[R_contra]):
    """Paints one kind of frozen record, always in the same way."""

    def __call__(self, painter: Painter, record: R_contra, /) -> Piece: ...


class Painter:
    """Renders templates into pieces, and remembers what it painted: what did not change is not painted again."""

    def __init__(self, environment: jinja2.Environment) -> None:
        self.environment = environment
        self._remembered = lru_cache(REMEMBERED)(lambda paint, record: paint(self, record))
        self._repeated = lru_cache(REMEMBERED)(self._paint_repeated)
        self._template = lru_cache(None)(environment.get_template)

    def once(self, paint: Paint[R_contra], record: R_contra) -> Piece:
        """What `paint` makes of the record, painted at most once as long as it is remembered."""
        piece: Piece = self._remembered(paint, record)
        return piece

    def piece(
        self, template: str, piece_id: str, children: Mapping[str, Piece | None] | None = None, **context: Any
    ) -> Piece:
        """Paints a piece. Its template places each child by name; a child that is None leaves its place empty."""
        present = {name: child for name, child in (children or {}).items() if child is not None}
        place = SimpleNamespace(**{name: _mark(name) if name in present else "" for name in children or ()})
        html = self._render(template, id=piece_id, place=place, **context)
        texts = html.split(MARK)
        return Piece(piece_id, tuple(texts[::2]), tuple(present[name] for name in texts[1::2]))

    def same(
        self, template: str, piece_id: str, children: Mapping[str, Piece | None] | None = None, **context: Hashable
    ) -> Piece:
        """As `piece`, for what seldom changes and is small: from the same children and equal values comes the piece
        that was painted before. What is given must not change by itself."""
        return self._repeated(template, piece_id, tuple((children or {}).items()), tuple(context.items()))

    def _paint_repeated(
        self,
        template: str,
        piece_id: str,
        children: tuple[tuple[str, Piece | None], ...],
        context: tuple[tuple[str, Hashable], ...],
    ) -> Piece:
        return self.piece(template, piece_id, dict(children), **dict(context))

    def list(self, template: str, piece_id: str, entries: Sequence[Piece], **context: Any) -> Piece:
        """Paints a list: an element whose only insides are its entries."""
        before, _, after = self._render(template, id=piece_id, **context, entries=_mark()).partition(MARK)
        return Piece(piece_id, (before, after), tuple(entries), is_list=True)

    def _render(self, template: str, **context: Any) -> str:
        return self._template(f"fragments/{template}").render(context).strip()


def _mark(name: str = "") -> Markup:
    mark = escape(MARK)
    return mark + name + mark if name else mark
