"""What a model is told about a code base: the facts, as many as there is room for, however large the code base is."""

from __future__ import annotations

from collections.abc import Sequence

from app.steps.markdown import unescaped
from app.steps.summaries.code_base import CodeBase
from app.steps.summaries.composing import Composed

SHARE = 5
"""One part in so many of the room is the most that the README takes, and the names of the parts."""
MOST_PARTS = 40
"""That the model is asked to describe."""
_LONGEST_NAME = 200


def material(composed: Composed, parts: Sequence[str], readme: str, most: int) -> dict[str, str]:
    """At most about `most` characters. Long sections give way first, and say how many of their lines are left out."""
    sections = [(heading, unescaped(text)) for heading, text in composed.sections if text]
    told = {"title": composed.title, "parts": "\n".join(parts)[: most // SHARE]}
    told |= {"readme": readme[: most // SHARE]} if readme else {}
    room = most - sum(map(len, told.values()))
    lengths = [len(heading) + len(text) + 5 for heading, text in sections]
    level = _level(lengths, room)
    facts: list[str] = []
    for (heading, text), length in zip(sections, lengths, strict=True):
        facts.append(f"## {heading}\n{_cut(text, length if length <= level else level - len(heading) - 5)}")
    return told | {"facts": "\n\n".join(facts)[:room]}


def parts_of(code_base: CodeBase) -> list[str]:
    """What the model is asked to describe one by one: the components, or else the largest of the folders right inside
    the code base. Each once."""
    components = (facts["name"] if facts["path"] == "." else facts["path"] for _, facts in code_base.components)
    names = list(components) or _folders(code_base)
    return [name for name in dict.fromkeys(names) if name and len(name) <= _LONGEST_NAME][:MOST_PARTS]


def _folders(code_base: CodeBase) -> list[str]:
    if code_base.directories:
        code = {path: extent["code"] for path, extent in code_base.directories.items() if "/" not in path}
    else:
        code = {}
        for file in code_base.files:
            top, _, inside = file.path.partition("/")
            if inside:
                code[top] = code.get(top, 0) + file.code
    return sorted(code, key=lambda path: (-code[path], path))


def _level(lengths: list[int], room: int) -> int:
    """The length to which the longest are cut so that all together fit."""
    waiting = sorted(lengths)
    while waiting:
        share = room // len(waiting)
        if waiting[0] > share:
            return max(share, 0)
        room -= waiting.pop(0)
    return max(lengths, default=0)


def _cut(text: str, most: int) -> str:
    """Whole lines only."""
    if len(text) <= most:
        return text
    kept = text[: max(most - 30, 0)].rpartition("\n")[0]
    left_out = len(text.split("\n")) - len(kept.split("\n")) * bool(kept)
    return f"{kept}\n(and {left_out:,} more lines)"
