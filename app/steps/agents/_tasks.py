"""What each agent asks a model for: its instructions, the shape of the answer, and what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model

from app.steps.agents.settings import AgentSettings
from app.steps.models.answers import Answer
from app.steps.source_tree import printable

_LONGEST = 10_000
"""Characters of one text of an answer that are kept."""

Facts = dict[str, Any]


def _one_line(value: Any) -> Any:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_one_line)]


@dataclass(frozen=True, slots=True)
class Task:
    instructions: str
    shape: type[Answer]
    facts: Callable[[Any], Facts]
    """What is kept of an answer."""
    told: Callable[[Facts], str]
    """What the log says about it."""


def task_of(settings: AgentSettings, document_text: str = "") -> Task:
    """`document_text`: what quotations are looked up in."""
    match settings.agent_type:
        case "keyword_extractor":
            return _keywords(settings)
        case "category_classifier":
            return _category(settings)
        case "content_summarizer":
            return _summary(settings)
        case "entity_recognizer":
            return _entities(settings)
        case "sentiment":
            return _sentiment()
        case "metadata_enricher":
            return _fields(settings)
        case "relation_extractor":
            return _relations(settings)
        case "question_answerer":
            return _answer(settings, document_text)


class KeywordAnswer(Answer):
    keywords: list[Line] = Field(description="The best first")


def _keywords(settings: AgentSettings) -> Task:
    return Task(
        f"Find the keywords of a document: up to {settings.max_keywords}, each of up to {settings.max_words} words, in "
        f"the document's own language and spelling.",
        KeywordAnswer,
        lambda answer: {"keywords": _each_once(answer.keywords)[: settings.max_keywords]},
        lambda facts: _listed(facts["keywords"], "no keywords"),
    )


def _category(settings: AgentSettings) -> Task:
    return Task(
        "Decide which one of the given categories fits a document best, how sure you are, from 0 to 1, and why, in one "
        "sentence.",
        _category_shape(tuple(dict.fromkeys(settings.categories))),
        lambda answer: {"category": answer.category, "confidence": answer.confidence, "why": answer.why},
        lambda facts: f"{printable(facts['category'])} ({facts['confidence']:.0%} sure)",
    )


@lru_cache(maxsize=16)
def _category_shape(categories: tuple[str, ...]) -> type[Answer]:
    as_listed = {category.casefold(): category for category in categories}

    def known(value: Any) -> Any:
        return as_listed.get(value.strip().casefold(), value) if isinstance(value, str) else value

    category: Any = Annotated[Literal[categories], BeforeValidator(known)]
    return create_model(
        "CategoryAnswer",
        __base__=Answer,
        category=(category, ...),
        confidence=(float, Field(ge=0, le=1, description="From 0 to 1")),
        why=(Line, Field(description="One sentence")),
    )


class SummaryAnswer(Answer):
    summary: Annotated[str, Field(min_length=1)]
    key_points: list[Line] = Field(description="The three to seven most important points, one sentence each")


def _summary(settings: AgentSettings) -> Task:
    return Task(
        f"Summarise a document in up to {settings.summary_words} words, in its own language, saying only what it says.",
        SummaryAnswer,
        lambda answer: {"summary": answer.summary.strip()[:_LONGEST], "key_points": list(answer.key_points[:20])},
        lambda facts: _short(facts["summary"]),
    )


def _entities(settings: AgentSettings) -> Task:
    return Task(
        f"Find the entities that a document names, up to {settings.max_found}, each once, the most important first.",
        _entity_shape(tuple(dict.fromkeys(settings.entity_types))),
        lambda answer: {"entities": _unique(answer.entities)[: settings.max_found]},
        lambda facts: _listed([entity["name"] for entity in facts["entities"]], "no entities"),
    )


@lru_cache(maxsize=16)
def _entity_shape(types: tuple[str, ...]) -> type[Answer]:
    kind: Any = Literal[types]
    entity = create_model(
        "Entity",
        __base__=Answer,
        name=(Line, Field(description="As the document spells it")),
        type=(kind, ...),
    )
    entities: Any = list[entity]  # type: ignore[valid-type]
    return create_model("EntityAnswer", __base__=Answer, entities=(entities, ...))


class SentimentAnswer(Answer):
    sentiment: Literal["positive", "negative", "neutral", "mixed"]
    score: float = Field(ge=-1, le=1, description="From -1, very negative, to 1, very positive")
    why: Line = Field(description="One sentence")


def _sentiment() -> Task:
    return Task(
        "Tell the sentiment that a document expresses, how strong it is, and why, in one sentence.",
        SentimentAnswer,
        lambda answer: {"sentiment": answer.sentiment, "score": answer.score, "why": answer.why},
        lambda facts: f"{facts['sentiment']} ({facts['score']:+.2f})",
    )


def _fields(settings: AgentSettings) -> Task:
    return Task(
        "Find out these things about a document; null for what it does not tell.",
        _field_shape(tuple(settings.fields.items())),
        lambda answer: {"fields": {name: value for name, value in answer.model_dump(by_alias=True).items() if value}},
        lambda facts: _listed(
            [f"{name}: {value}" for name, value in facts["fields"].items()], "nothing to be found out"
        ),
    )


@lru_cache(maxsize=16)
def _field_shape(fields: tuple[tuple[str, str], ...]) -> type[Answer]:
    # By alias: a field may have any name, such as one that the class has a method of.
    shaped: dict[str, Any] = {
        f"field_{number}": (Line | None, Field(alias=name, description=wanted))
        for number, (name, wanted) in enumerate(fields)
    }
    return create_model("FieldAnswer", __base__=Answer, **shaped)


class Relation(Answer):
    subject: Line
    relation: Line
    object: Line


class RelationAnswer(Answer):
    relations: list[Relation]


def _relations(settings: AgentSettings) -> Task:
    which = f"only of these kinds: {'; '.join(settings.relation_types)}" if settings.relation_types else "of any kind"
    return Task(
        f"Find the relations between the people, organisations, places and things that a document names, {which}; up "
        f"to {settings.max_found}, each once, as subject, relation and object.",
        RelationAnswer,
        lambda answer: {"relations": _unique(answer.relations)[: settings.max_found]},
        lambda facts: _listed(
            [f"{each['subject']} {each['relation']} {each['object']}" for each in facts["relations"]], "no relations"
        ),
    )


class QuestionAnswer(Answer):
    found: bool = Field(description="Whether the document answers the question")
    answer: Annotated[str, BeforeValidator(lambda value: "" if value is None else value)] = Field(
        description="The answer, by what the document says alone; empty where it has none"
    )
    quote: Line | None = Field(description="The passage that says so, word by word; null where there is none")


def _answer(settings: AgentSettings, document_text: str) -> Task:
    question = " ".join(settings.question.split())

    def facts(answer: QuestionAnswer) -> Facts:
        quote = answer.quote if answer.quote and _stands_in(answer.quote, document_text) else None
        said = answer.answer.strip()[:_LONGEST] if answer.found else ""
        return {"question": question, "found": bool(said), "answer": said, "quote": quote if said else None}

    return Task(
        f"Answer a question by what a document says, and by nothing else that you know. The question: {question}",
        QuestionAnswer,
        facts,
        lambda facts: _short(facts["answer"]) if facts["found"] else "no answer in it",
    )


def _stands_in(quote: str, text: str) -> bool:
    """Whether a quotation is one; spaces and marks of Markdown apart."""
    return _letters(quote) in _letters(text)


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _each_once(texts: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for text in filter(None, texts):
        first.setdefault(text.casefold(), text)
    return list(first.values())


def _unique(found: list[Answer]) -> list[Facts]:
    """Each once, in the order of the answer, and none with an empty text."""
    first: dict[tuple[str, ...], Facts] = {}
    for facts in (each.model_dump() for each in found):
        if all(facts.values()):
            first.setdefault(tuple(str(value).casefold() for value in facts.values()), facts)
    return list(first.values())


def _listed(texts: list[str], nothing: str) -> str:
    return _short(", ".join(texts)) if texts else nothing


def _short(text: str) -> str:
    text = " ".join(text.split())
    return printable(text if len(text) <= 300 else f"{text[:297]}...")
