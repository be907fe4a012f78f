"""An expression over documents: what it gives is stored, and it can do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.queue.status import Status
from app.steps import transform
from app.steps.transform import Transform, TransformSettings
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage, RecordingContext
from .whole_runs import Runs, sound

IMPORT = """
[parameters.folder]
type = "folder"
[parameters.least]
type = "integer"
default = 1
[step.import]
type = "import_files"
folder = "{folder}"
tags = ["notes"]
"""


def documents(*titles: str) -> dict[str, StoredDocument]:
    made = (StoredDocument(f"note:{title}", title, f"body of {title}", "note", ("notes",)) for title in titles)
    return {document.address: document for document in made}


async def transformed(stage: MakeStage, expression: str, **settings: Any) -> tuple[dict[str, Any], RecordingContext]:
    on_stage = stage(Transform, documents("a", "b"), expression=expression, **settings)
    return sound(await on_stage.run()), on_stage.context


async def value(stage: MakeStage, expression: str) -> Any:
    results, _ = await transformed(stage, expression, over="all")
    return results["all documents"]


async def test_a_value_for_each_document_is_its_result(runs: Runs, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("one two three")
    (notes / "b.md").write_text("one")
    ended = await runs.run(
        IMPORT
        + """
        [step.words]
        type = "transform"
        filter_tags = ["notes"]
        where = "document.body.split() | length >= parameters.least"
        expression = '{"title": document.title, "words": document.body.split() | length}'
        """,
        folder=str(notes),
        least=2,
    )
    assert ended.completed
    by_document = {name: result for name, result in ended.results.items() if name.startswith("file:")}
    assert by_document == {f"file:{notes}/a.md": {"title": "a.md", "words": 3}, f"file:{notes}/b.md": None}


async def test_values_become_documents_which_count_once(runs: Runs, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("one")
    text = (
        IMPORT
        + """
        [step.index]
        type = "transform"
        over = "all"
        filter_tags = ["notes"]
        save_as = "'index:' ~ parameters.folder"
        expression = '{"title": "Index", "body": documents | map(attribute="title") | join(", "), "tags": ["index"]}'
        """
    )
    ended = await runs.run(text, folder=str(notes))
    assert ended.completed
    assert [step.document_count for step in ended.run.steps] == [1, 1]
    (index,) = [document for document in ended.documents if document.source_type == "transform"]
    assert (index.address, index.title, index.body, index.tags) == (f"index:{notes}", "Index", "a.md", ("index",))
    assert (await runs.run(text, folder=str(notes))).run.document_count == 0, "nothing is new"


async def test_an_endless_expression_is_ended_by_the_timeout(runs: Runs) -> None:
    ended = await runs.run(
        """
        [step.endless]
        type = "transform"
        over = "all"
        expression = "9 ** (9 ** 9)"
        timeout = "1s"
        """
    )
    assert ended.run.status == Status.FAILED
    assert ended.error == "took longer than its timeout of 1 s"


async def test_several_documents_may_come_of_one(stage: MakeStage) -> None:
    split = "[document.body ~ ' 1', document.body ~ ' 2', none]"
    results, context = await transformed(stage, split, save_as="document.address ~ '/' ~ value[-1:]", tags=["part"])
    assert results == {"note:a": {"documents": 2}, "note:b": {"documents": 2}}
    part = context.stored["note:a/2"]
    assert (part.title, part.body, part.tags, part.source_type) == ("a", "body of a 2", ("part",), "transform")


async def test_no_more_documents_than_asked_for(stage: MakeStage) -> None:
    results, _ = await transformed(stage, "documents | map(attribute='title') | list", over="all", filter_limit=1)
    assert results == {"all documents": ["a"]}


async def test_a_document_of_another_kind_is_not_overwritten(stage: MakeStage) -> None:
    with pytest.raises(PermanentError, match=r"note:a is a document of another kind \(note\)"):
        await transformed(stage, "'mine'", save_as="document.address")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("documents[0].titel", "has no attribute 'titel'"),
        ("nothing", "'nothing' is undefined"),
        ("1 / 0", "ZeroDivisionError"),
        ("().__class__.__mro__", "unsafe"),
        ("documents[0].metadata.update({'a': 1})", "unsafe; expressions only read"),
        ("documents[0].metadata.setdefault('a', 1)", "unsafe; expressions only read"),
        ("'{0.__class__}'.format(documents)", "unsafe"),
        ("range(10 ** 9)", "Range too big"),
        ("documents.__getitem__.__func__", "unsafe"),
        ("dict", "is no result"),
        ("['x' * 10 ** 10]", "takes more than 512 MiB of memory"),
    ],
)
async def test_a_fault_in_an_expression_is_told_and_does_no_harm(stage: MakeStage, expression: str, says: str) -> None:
    with pytest.raises(PermanentError, match=says):
        await value(stage, expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1", "a document is a text or a mapping with title, body, tags and metadata, not 1"),
        ("{'bdoy': 'x'}", "'bdoy' is no field of a document"),
        ("{'body': 1}", "body must be a text, not 1"),
        ("{'body': 'x', 'tags': 'a'}", "tags are a list"),
    ],
)
async def test_what_is_no_document_is_told(stage: MakeStage, expression: str, says: str) -> None:
    with pytest.raises(PermanentError, match=says):
        await transformed(stage, expression, save_as="'made:' ~ document.title")


async def test_a_document_may_not_be_endless(stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform, "MOST_TEXT", 10)
    with pytest.raises(PermanentError, match="longer than 10, the most there may be"):
        await transformed(stage, "'x' * 11", save_as="'made:' ~ document.title")


async def test_what_json_can_hold_is_the_result(stage: MakeStage) -> None:
    assert await value(stage, "(1, 2.5, true, none)") == [1, 2.5, True, None]
    assert await value(stage, "documents") == ["note:a", "note:b"]
    assert await value(stage, "documents | map(attribute='title')") == ["a", "b"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "expression"),
        ({"expression": ""}, "must be an expression"),
        ({"expression": "{{ document.title }}"}, "is not a Jinja expression .*write it without braces"),
        ({"expression": "document.title | uper"}, "No filter named 'uper'"),
        ({"expression": "1", "where": "document."}, "is not a Jinja expression"),
        ({"expression": "1", "save_as": "a b"}, "is not a Jinja expression"),
        ({"expression": "(" * 4000 + ")" * 4000}, "nested too deeply"),
        ({"expression": "1 +" * 4000 + "1"}, "longer than 10,000"),
        ({"expression": "1", "over": "some"}, "'each' or 'all'"),
    ],
)
def test_wrong_settings_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TransformSettings.model_validate(settings)


def test_checking_an_expression_does_not_work_it_out() -> None:
    TransformSettings(expression="9 ** (9 ** (9 ** 9))")
