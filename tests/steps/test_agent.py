"""An agent writes what it finds out into documents that are there, and makes none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.steps.agent import Agent
from app.steps.agents.keywords import keywords
from app.steps.agents.settings import AgentSettings
from app.work.step_type import StoredDocument

from .conftest import MakeStage, RecordingContext

TEXT = """# The [Lantern](http://a.example/secret)

A family kitchen known for **green curry** and papaya salad. The green curry is famous.

- Phone: 0123 456
- Note: made up
"""


def document(address: str, body: str = TEXT, source_type: str = "places", **more: Any) -> StoredDocument:
    return StoredDocument(address, "The Lantern", body, source_type, **more)


async def looked_at(
    stage: MakeStage, *documents: StoredDocument, **settings: Any
) -> tuple[dict[str, Any], RecordingContext]:
    there = {each.address: each for each in documents}
    on_stage = stage(Agent, there, agent_type="keyword_extractor", **settings)
    return await on_stage.run(), on_stage.context


async def test_keywords_are_written_into_the_document(stage: MakeStage) -> None:
    other = document("x:1", tags=("a",), metadata={"places_search": {"rating": 4}})
    results, context = await looked_at(stage, other, max_keywords=5, tags=["done"])
    (found,) = (result["keywords"] for result in results.values())
    assert "green curry" in found and len(found) <= 5
    (stored,) = context.stored.values()
    assert stored.body == TEXT and stored.source_type == "places" and stored.tags == ("a", "done")
    assert stored.metadata["keyword_extractor"]["keywords"] == found and stored.metadata["places_search"] == {
        "rating": 4
    }
    assert context.messages("info")[0].startswith("The Lantern: ")


async def test_one_work_item_per_matching_document(stage: MakeStage) -> None:
    there = [document("x:1", tags=("a",)), document("x:2", tags=("a",)), document("x:3"), document("x:4", "", "page")]
    results, _ = await looked_at(stage, *there, filter_source_type="places", filter_tags=["a"])
    assert list(results) == ["The Lantern (x:1)", "The Lantern (x:2)"], "of one title, but two"
    results, context = await looked_at(stage, *there, filter_limit=3)
    assert len(results) == 3 and "only the first 3 documents" in context.messages("warn")[0]


async def test_a_document_that_is_gone_by_then_is_a_warning(stage: MakeStage) -> None:
    on_stage = stage(Agent, {"x:1": document("x:1")}, agent_type="keyword_extractor")
    (item,) = on_stage.plan()
    on_stage.context.stored.clear()
    assert on_stage.step_type.run(on_stage.context, item) == {"keywords": []}
    assert on_stage.context.stored == {} and "the document is gone" in on_stage.context.messages("warn")[0]


def test_facts_links_and_marks_are_no_keywords() -> None:
    found = " ".join(keywords(TEXT, "en", 3, 50)).lower()
    assert "lantern" in found
    assert not any(word in found for word in ("phone", "note", "secret", "*", "#"))


@pytest.mark.parametrize("text", ["", " ", "\0", "!!! ...", "the and of", "a" * 100_000, "\u202e\u2028x\ud800"])
def test_odd_texts_have_keywords_or_none(text: str) -> None:
    assert all(keyword.isprintable() for keyword in keywords(text, "en", 2, 10))


@pytest.mark.parametrize("language", ["de", "fr", "zh", "ar"])
def test_other_languages(language: str) -> None:
    assert keywords("Die Straßenbahn fährt. Die Straßenbahn hält.", language, 1, 5)


@pytest.mark.parametrize(
    "wrong", [{"agent_type": "magician"}, {"language": "xx"}, {"max_keywords": 0}, {"filter_limit": 0}]
)
def test_wrong_settings_are_refused_at_load(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AgentSettings.model_validate({"agent_type": "keyword_extractor", **wrong})


def test_keywords_stay_offline_unless_the_step_itself_names_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPGLASS_MODEL_ENDPOINT", "https://a.example/v1")
    monkeypatch.setenv("STEPGLASS_MODEL", "m")
    offline = AgentSettings(agent_type="keyword_extractor")
    assert Agent.variant(offline) is Agent and Agent.obstacle(offline) is None
    assert Agent.variant(AgentSettings(agent_type="keyword_extractor", model="other")) is not Agent
