"""A model of what a browser with htmx makes of pages and messages, for tests that have no browser."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree.ElementTree import Element, SubElement, tostring

from app.web.pieces import Swap

OUTSIDE = {"liveness", "storage"}
"""What streams send that stands outside of the view."""
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        while tag in [each.tag for each in self._open[1:]]:
            if self._open.pop().tag == tag:
                return

    def handle_data(self, data: str) -> None:
        here = self._open[-1]
        if len(here):
            here[-1].tail = (here[-1].tail or "") + data
        else:
            here.text = (here.text or "") + data


def parsed(html: str) -> Element:
    """The elements of some HTML, below one root."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    return builder.root


class Dom:
    """What htmx does with swaps: every target of a message is found before the first of its swaps is made."""

    def __init__(self, html: str) -> None:
        self.body = parsed(html)

    def receive(self, message: str) -> None:
        """Takes one event of a stream."""
        html = "\n".join(line[6:] for line in message.splitlines() if line.startswith("data: "))
        partials = parsed(html).iter("hx-partial")
        self._make([(each.attrib["hx-target"].removeprefix("#"), each.attrib["hx-swap"], each) for each in partials])

    def apply(self, swaps: Sequence[Swap]) -> None:
        self._make([(swap.target, swap.style, parsed(swap.html)) for swap in swaps])

    def _make(self, swaps: Sequence[tuple[str, str, Element]]) -> None:
        targets = [self.find(target) for target, _, _ in swaps]
        for (target, style, content), found in zip(swaps, targets, strict=True):
            assert found is not None or target in OUTSIDE, f"{style} of {target} finds no target"
            if found is not None:
                self._swap(style, found, list(content))

    def find(self, name: str) -> Element | None:
        return self.body.find(f".//*[@id='{name}']")

    def _swap(self, style: str, target: Element, new: list[Element]) -> None:
        parent = next(each for each in self.body.iter() if target in list(each))
        place = list(parent).index(target)
        match style:
            case "outerMorph":
                self._morph(target, new[0])
            case "innerMorph":
                target[:] = new
            case "innerHTML":
                target[:] = new
            case "outerHTML":
                parent[place] = new[0]
            case "delete":
                parent.remove(target)
            case "beforebegin":
                parent[place:place] = new
            case "beforeend":
                target.extend(new)
            case _:
                raise AssertionError(style)

    def _morph(self, target: Element, new: Element) -> None:
        skip_insides = "htmx-swapping" in new.attrib["class"].split()
        target.attrib.clear()
        target.attrib.update(new.attrib)
        target.attrib["class"] = target.attrib["class"].removeprefix("htmx-swapping ")
        if not skip_insides:
            target.text, target[:] = new.text, list(new)

    @property
    def html(self) -> str:
        return tostring(self.body, encoding="unicode")


def counts(elements: Element) -> dict[tuple[str, str, str], int]:
    """The numbers on a page by scope, kind and status. One that stands there twice must be the same twice."""
    found: dict[tuple[str, str, str], int] = {}
    for each in elements.iter("data"):
        if each.attrib.get("class") == "count":
            key = (each.attrib["data-scope"], each.attrib["data-kind"], each.attrib["data-status"])
            number = int(each.attrib["value"])
            assert found.setdefault(key, number) == number, f"{key} is both {found[key]} and {number}"
            assert each.text == f"{number:,}"
    return found
