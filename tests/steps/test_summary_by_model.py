"""Index, summary and map that a model writes: its words before the facts, and the facts alone where it has none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.steps.models import pace
from app.steps.outside.trouble import PassingError
from app.steps.summaries.code_base import CodeBase, File
from app.steps.summaries.composing import Composed
from app.steps.summaries.index import compose_index
from app.steps.summaries.material import material, parts_of
from app.steps.summaries.settings import SummarySettings
from app.steps.summary import Summary
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage, RecordingContext
from .loopback import Site, serving
from .test_model_agents import refused, said, sent
from .test_summary import everything
from .whole_runs import Runs

WRITTEN = {
    "overview": "It keeps <notes>.\n\n- It is *small*.",
    "points": ["There is one test."],
    "parts": [{"name": "notes/", "purpose": "The program."}, {"name": "made/up", "purpose": "Nothing."}],
}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture(autouse=True)
def no_model_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_ENDPOINT", "_KEY", ""):
        monkeypatch.delenv(f"STEPGLASS_MODEL{name}", raising=False)
    pace.pace_of.cache_clear()
    yield


async def written(
    stage: MakeStage, site: Site, kind: str = "summary", **settings: Any
) -> tuple[StoredDocument, dict[str, Any], RecordingContext]:
    """The document, the result and what was said. The work is done in a thread, as it has no loop of its own."""
    documents = everything()
    asked = {"endpoint": site.url("/v1"), "model": "small", "allow_hosts": ["127.0.0.1"], "retries": 0, **settings}
    on_stage = stage(Summary, documents, kind=kind, folder="/code", **asked)
    (item,) = on_stage.plan()
    result: Any = await asyncio.to_thread(on_stage.step_type.run, on_stage.context, item)
    return documents[f"{kind}:/code"], result, on_stage.context


@pytest.mark.parametrize("kind", ["index", "summary", "map"])
async def test_the_words_of_the_model_stand_before_the_facts(stage: MakeStage, site: Site, kind: str) -> None:
    site.routes["/v1/chat/completions"] = said(WRITTEN)
    document, result, context = await written(stage, site, kind, input_price=10)
    by_facts, _, _ = await written(stage, site, kind, writer="facts", endpoint="", model="")
    assert document.body.startswith(
        f"# {document.title}\n\nIt keeps \\<notes\\>.\n\n\\- It is \\*small\\*.\n\n## Points"
    )
    assert "| notes | The program. |" in document.body and "made/up" not in document.body
    assert "small, a language model, wrote what stands above from these facts" in document.body
    for section in by_facts.body.split("\n\n")[1:]:
        assert section in document.body, "no fact gives way to prose"
    facts = document.metadata["summary"]
    assert facts["prose"]["parts"] == {"notes": "The program."} and (facts["writer"], facts["model"]) == (
        "model",
        "small",
    )
    assert {key: facts[key] for key in by_facts.metadata["summary"] if key != "writer"} == {
        key: value for key, value in by_facts.metadata["summary"].items() if key != "writer"
    }
    spent = {"requests": 1, "input_tokens": 100, "output_tokens": 20, "cost": pytest.approx(0.001)}
    assert result["usage"] == context.totals == spent
    assert context.messages("info")[0] == "small: 100 tokens read, 20 written"


async def test_the_model_is_told_the_facts_as_material(stage: MakeStage, site: Site) -> None:
    site.routes["/v1/chat/completions"] = said(WRITTEN)
    await written(stage, site, instructions="Be brief.")
    system, user = sent(site.asked[0])["messages"]
    told = json.loads(user["content"])
    assert told["title"] == "Summary of code" and told["parts"] == "notes"
    assert told["readme"].startswith("# Notes") and "| pyproject.toml | notes | 1.2 |" in told["facts"]
    assert "Be brief." in system["content"] and "hatchling" not in system["content"]


async def test_the_servers_model_writes_without_being_named(
    stage: MakeStage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.routes["/v1/chat/completions"] = said(WRITTEN)
    servers: dict[str, Any] = {"endpoint": "", "model": "", "allow_hosts": []}
    document, _, context = await written(stage, site, **servers)
    assert document.metadata["summary"]["writer"] == "facts" and not site.asked
    assert "no language model is configured" in context.messages("debug")[0] and not context.messages("warn")
    monkeypatch.setenv("STEPGLASS_MODEL_ENDPOINT", site.url("/v1"))
    monkeypatch.setenv("STEPGLASS_MODEL", "the-servers")
    assert (await written(stage, site, **servers))[0].metadata["summary"]["model"] == "the-servers"
    assert (await written(stage, site, writer="facts", **servers))[0].metadata["summary"]["writer"] == "facts"
    assert len(site.asked) == 1


FAILURES = [
    ([said("nonsense"), said("{")], PermanentError, "not as it should be, also when asked again: it is not JSON"),
    ([said({"overview": 5}), said({"points": []})], PermanentError, "does not fit the schema"),
    ([said({**WRITTEN, "overview": " \n\u202e"})], PermanentError, "its overview is empty"),
    ([said(WRITTEN, "length")], PermanentError, "cut off at 4,000 tokens"),
    ([said(None, refusal="I will not")], PermanentError, "the model refused: I will not"),
    ([refused(429, "too many", Retry_After="999")], PassingError, "too many"),
    ([refused(500)], PassingError, "answered 500"),
]


@pytest.mark.parametrize(("answers", "error", "why"), FAILURES, ids=[each[2][:20] for each in FAILURES])
async def test_a_model_that_fails_leaves_the_facts_or_fails_the_work_item(
    stage: MakeStage, site: Site, answers: list[Any], error: type[Exception], why: str
) -> None:
    site.routes["/v1/chat/completions"] = list(answers)
    document, result, context = await written(stage, site)
    assert why in document.metadata["summary"]["model_error"] and result["writer"] == "facts"
    assert any("the model has failed" in line and why in line for line in context.messages("warn"))
    assert "code is a code base of 7 files" in document.body and "## Points" not in document.body
    site.routes["/v1/chat/completions"] = list(answers)
    with pytest.raises(error, match=why):
        await written(stage, site, writer="model")


async def test_a_storm_of_429_is_waited_out_as_it_asks(stage: MakeStage, site: Site) -> None:
    site.routes["/v1/chat/completions"] = [
        refused(429, retry_after_ms="1"),
        refused(429, Retry_After="0"),
        said(WRITTEN),
    ]
    document, _, context = await written(stage, site, retries=2, writer="model")
    assert document.metadata["summary"]["writer"] == "model" and len(context.messages("warn")) == 2
    assert context.totals["requests"] == 1


def large(files: int, folders: int) -> CodeBase:
    paths = sorted(f"folder_{number % folders}/some/where/deep/file_{number}.py" for number in range(files))
    return CodeBase("/code", [File(path, "Python", "source", 100, 10, None) for path in paths])


@pytest.mark.parametrize(("files", "folders"), [(3_000, 7), (3_000, 2_900), (10_000, 3)])
def test_what_the_model_is_told_is_bounded_however_large_the_code_base(files: int, folders: int) -> None:
    code_base = large(files, folders)
    composed, parts = compose_index(code_base), parts_of(code_base)
    told = material(composed, parts, "x" * 10**6, 60_000)
    assert 40_000 < sum(map(len, told.values())) <= 60_000
    assert len(parts) == min(folders, 40) and len(told["readme"]) == 12_000
    if folders < 10:
        assert all(
            f"## folder\\_{number}/" in told["facts"] or f"## folder_{number}/" in told["facts"]
            for number in range(folders)
        )
        assert told["facts"].count(" more lines)") == folders, "each folder has its share"


def test_short_sections_are_told_whole() -> None:
    composed = Composed("T", [("", "Short."), ("Long", "\n".join(f"line {n}" for n in range(1000)))], {})
    told = material(composed, [], "", 2000)["facts"]
    kept = told.count("\nline ")
    assert told.startswith("## \nShort.\n\n## Long\nline 0") and told.endswith(f"(and {1000 - kept} more lines)")
    assert 1800 < len(told) <= 2000


@pytest.mark.parametrize(
    ("settings", "environment", "why"),
    [
        ({}, {}, None),
        ({}, {"_ENDPOINT": "https://a.example"}, None),
        ({"writer": "facts"}, {}, None),
        ({"writer": "model"}, {}, "map: no language model is configured: set STEPGLASS_MODEL_ENDPOINT"),
        ({"writer": "model"}, {"_ENDPOINT": "https://a.example/v1", "": "m"}, None),
        ({"endpoint": "https://a.example"}, {}, "map: no language model is named"),
        ({"model": "m"}, {}, "no language model is configured"),
    ],
)
def test_what_has_to_be_configured_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], environment: dict[str, str], why: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"STEPGLASS_MODEL{name}", value)
    found = Summary.obstacle(SummarySettings.model_validate({"kind": "map", "folder": "/", **settings}))
    assert (found is None) if why is None else (found is not None and why in found.reason)


def test_facts_alone_and_a_model_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="asks no model"):
        SummarySettings.model_validate({"kind": "map", "folder": "/", "writer": "facts", "model": "m"})


RUN = """
[step.code_map]
type = "code_map"
folder = "{0}"
[step.files]
type = "import_files"
folder = "{0}"
[step.summary]
type = "summary"
kind = "summary"
folder = "{0}"
writer = "model"
endpoint = "{1}"
model = "small"
allow_hosts = ["127.0.0.1"]
input_price = 10
"""


async def test_in_a_whole_run_the_step_shows_what_was_used(runs: Runs, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "main.py").write_text("print(1)\n")
    site.routes["/v1/chat/completions"] = said(WRITTEN)
    ended = await runs.run(RUN.format(folder, site.url("/v1")))
    assert ended.completed, ended.lines
    step = ended.run.steps[-1]
    assert step.document_count == 1
    assert dict(step.totals) == {"requests": 1, "input_tokens": 100, "output_tokens": 20, "cost": pytest.approx(0.001)}
    (document,) = (each for each in ended.documents if each.source_type == "summary")
    assert document.metadata["summary"]["prose"]["points"] == ["There is one test."]
