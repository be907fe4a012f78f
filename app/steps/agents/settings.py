"""The settings of the step type `agent`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from app.steps.agents.keywords import LANGUAGES
from app.steps.models.settings import ModelSettings
from app.work.step_type import StoredDocument

AgentType = Literal[
    "keyword_extractor",
    "category_classifier",
    "content_summarizer",
    "entity_recognizer",
    "sentiment",
    "metadata_enricher",
    "relation_extractor",
    "question_answerer",
]
OFFLINE = "keyword_extractor"
"""The agent that works without a model, too."""
_OF = {
    "max_keywords": ("keyword_extractor",),
    "max_words": ("keyword_extractor",),
    "language": ("keyword_extractor",),
    "categories": ("category_classifier",),
    "summary_words": ("content_summarizer",),
    "entity_types": ("entity_recognizer",),
    "relation_types": ("relation_extractor",),
    "max_found": ("entity_recognizer", "relation_extractor"),
    "fields": ("metadata_enricher",),
    "question": ("question_answerer",),
}
"""Settings that some agents have only."""
_FIELDS = {
    "language": "the main language, as an ISO 639-1 code",
    "kind": "what kind of text it is, in one or two words, such as article, manual or letter",
    "topics": "what it is about, in up to five words or short phrases, separated by commas",
    "author": "who wrote it, as far as it says so",
    "date": "when it was written or published, as far as it says so, as YYYY-MM-DD",
}


def _moment(text: str) -> str:
    if text:
        _seconds(text)
    return text


def _seconds(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is not a date; write one such as "2026-05-01" or "2026-05-01T12:00:00Z"') from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


Moment = Annotated[str, AfterValidator(_moment)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]


class AgentSettings(ModelSettings):
    agent_type: AgentType
    filter_tags: list[str] = Field(default_factory=list)
    """Only documents that carry all of these."""
    filter_source_type: str = ""
    """Only documents of this source type, such as "places" or "page"."""
    filter_category: str = ""
    """Only documents that a step has put into this category."""
    filter_created_after: Moment = ""
    """A date, with or without a time; in UTC unless it says otherwise."""
    filter_updated_after: Moment = ""
    filter_limit: int = Field(1000, ge=1, le=1_000_000)
    max_characters: int = Field(100_000, ge=1, le=1_000_000)
    """Of a document that are looked at."""
    instructions: str = Field("", max_length=10_000)
    """More that the model is told."""
    max_keywords: int = Field(10, ge=1, le=100)
    max_words: int = Field(2, ge=1, le=5)
    """Of one keyword."""
    language: str = Field("en", pattern=f"^({LANGUAGES})$")
    categories: list[Phrase] = Field(default_factory=list, max_length=200)
    """Those to choose from."""
    summary_words: int = Field(120, ge=10, le=2000)
    """The longest summary."""
    entity_types: list[Phrase] = Field(default=["person", "organization", "place", "product", "date"], max_length=100)
    relation_types: list[Phrase] = Field(default_factory=list, max_length=100)
    """Such as "works for"; none: whatever relations there are."""
    max_found: int = Field(50, ge=1, le=1000)
    """Entities or relations of one document."""
    fields: dict[FieldName, Phrase] = Field(default=_FIELDS, min_length=1, max_length=100)
    """Names, and what is to be found out for each."""
    question: str = Field("", max_length=2000)
    save_under: str = Field("", pattern=r"^([a-z][a-z0-9_]{0,59})?$")
    """The name of what was found in the document's metadata; default: that of the agent."""
    tags: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name, agents in _OF.items():
            if name in self.model_fields_set and self.agent_type not in agents:
                raise ValueError(f"{name} is for {' and '.join(agents)} only; take it out")
        if self.agent_type == "category_classifier" and len(set(self.categories)) < 2:
            raise ValueError("categories is missing; name at least two to choose from")
        if self.agent_type == "entity_recognizer" and not self.entity_types:
            raise ValueError("entity_types is empty; name at least one kind of entity")
        if self.agent_type == "question_answerer" and not self.question.strip():
            raise ValueError("question is missing; write what each document is to be asked")
        return self

    @property
    def asks_model(self) -> bool:
        """Keywords are only asked for where the definition itself names a model: they need none."""
        return self.agent_type != OFFLINE or bool(self.endpoint or self.model)

    @property
    def name_of_facts(self) -> str:
        return self.save_under or self.agent_type

    def wants(self, document: StoredDocument) -> bool:
        """Whether it passes the filters that are not the database's."""
        if self.filter_category and self.filter_category not in _categories(document):
            return False
        if self.filter_created_after and document.created_at <= _seconds(self.filter_created_after):
            return False
        return not self.filter_updated_after or document.updated_at > _seconds(self.filter_updated_after)


def _categories(document: StoredDocument) -> list[object]:
    return [facts.get("category") for facts in document.metadata.values() if isinstance(facts, dict)]
