"""What a model writes about a code base, and the document that comes of it: its words first, then the facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated

from pydantic import Field

from app.steps.markdown import escaped, sentence, table
from app.steps.models.answers import Answer
from app.steps.summaries.composing import Composed
from app.steps.summaries.settings import Kind

TASKS: dict[Kind, str] = {
    "index": "the introduction of an index of its files: what lies where, and where one looks for what",
    "summary": "a summary of it: what it is and what it is for, how it is built, run and tested, and where somebody "
    "who is new to it begins to read",
    "map": "an explanation of its map: how it is laid out, what each part has to do, and which parts depend on which",
}
LONGEST = 8_000
"""Characters of one text of an answer that are kept."""
MOST_POINTS = 20


class Part(Answer):
    name: str = Field(description="As it is listed")
    purpose: str = Field(description="What it is for, in one sentence")


class CodeBaseAnswer(Answer):
    overview: Annotated[str, Field(min_length=1, description="Two to five paragraphs of plain text")]
    points: list[str] = Field(description="What is remarkable or missing, one sentence each; none if there is nothing")
    parts: list[Part] = Field(description="Each of the listed parts")


@dataclass(frozen=True, slots=True)
class Prose:
    overview: str
    """Paragraphs, with empty lines between."""
    points: list[str]
    parts: dict[str, str]
    """What each is for, by its name."""


def instructions(kind: Kind, more: str) -> str:
    told = (
        "You are given facts about a code base, which programs have found out. "
        f"Write {TASKS[kind]}. Say only what follows from the facts, in English and in plain text; leave out what you "
        "do not know, and repeat no tables. Then say of each of the `parts`, as far as the facts tell, what it is for."
    )
    return f"{told}\n\n{more}" if more else told


def prose(answer: CodeBaseAnswer, parts: Sequence[str]) -> Prose:
    """What is kept of an answer. Of parts that are none nothing is kept. Raises ValueError when it says nothing."""
    paragraphs = [_line(each) for each in answer.overview[:LONGEST].split("\n\n")]
    overview = "\n\n".join(filter(None, paragraphs))
    if not overview:
        raise ValueError("its overview is empty")
    points = [said for each in answer.points if (said := _line(each))]
    purposes: dict[str, str] = {}
    for part in answer.parts:
        name = part.name.strip(" `").rstrip("/")
        if name in parts and (said := _line(part.purpose)):
            purposes.setdefault(name, said)
    return Prose(overview, points[:MOST_POINTS], {name: purposes[name] for name in parts if name in purposes})


def with_prose(composed: Composed, written: Prose, model: str) -> Composed:
    """The words of the model are shown as text: it has been told what others wrote."""
    first, *rest = composed.sections
    told = f"{escaped(model)}, a language model, wrote what stands above from these facts, which programs found."
    parts: list[tuple[object, ...]] = list(written.parts.items())
    sections = [
        ("", "\n\n".join(map(sentence, written.overview.split("\n\n")))),
        ("Points", "\n".join(f"- {sentence(each)}" for each in written.points)),
        ("Parts", table(("part", "what it is for"), parts, len(parts)) if parts else ""),
        ("Facts", f"{told}\n\n{first[1]}"),
    ]
    facts = {**composed.facts, "writer": "model", "model": model, "prose": asdict(written)}
    return replace(composed, sections=[*sections, *rest], facts=facts)


def _line(text: str) -> str:
    """One line, without what could break or disguise it."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())[:LONGEST]
