"""The first rule that fits decides; a bad rule is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import app.steps
from app.steps.rule_classify_files import RuleClassifyFiles, RuleClassifyFilesSettings
from app.work.definitions import BUNDLED, load_definition
from app.work.problems import DefinitionError
from app.work.registry import StepTypes
from app.work.step_type import StoredDocument

from .conftest import MakeStage

RULES: list[dict[str, Any]] = [
    {"name": "tests", "category": "test", "tags": ["checked"], "paths": ["tests/"], "names": ["*.py"]},
    {"name": "main", "category": "script", "content_regex": r"^if __name__ =="},
    {"name": "dated", "category": "data", "name_regex": r"\d{4}"},
    {"name": "python", "category": "source", "names": ["*.py"]},
]


def documents_in(folder: str, **bodies: str) -> dict[str, StoredDocument]:
    paths = [(f"file:{folder}/{name}", body) for name, body in bodies.items()]
    return {address: StoredDocument(address, address, body, "file", ("codebase",)) for address, body in paths}


def categories(documents: dict[str, StoredDocument]) -> dict[str, str]:
    return {
        address.rpartition("/code/")[2]: document.metadata["rule_classify_files"]["category"]
        for address, document in documents.items()
    }


async def test_the_first_rule_whose_conditions_all_hold_decides(stage: MakeStage) -> None:
    documents = documents_in(
        "/code",
        **{
            "tests/a.py": "if __name__ ==",
            "tests/a.txt": "",
            "B.PY": "x = 1\nif __name__ == '__main__':\n",
            "report-2026.py": "",
            "c.py": " if __name__ ==",
        },
    )
    await stage(RuleClassifyFiles, documents, folder="/code", rules=RULES).run()
    assert categories(documents) == {
        "tests/a.py": "test",
        "tests/a.txt": "other",
        "B.PY": "script",
        "report-2026.py": "data",
        "c.py": "source",
    }


async def test_category_rule_and_tags_are_put_on_the_document_and_told(stage: MakeStage) -> None:
    documents = documents_in("/code", **{"tests/a.py": ""})
    on_stage = stage(RuleClassifyFiles, documents, folder="/code", rules=RULES)
    assert await on_stage.run() == {"tests/a.py": {"category": "test", "rule": "tests"}}
    (document,) = documents.values()
    assert document.tags == ("codebase", "checked")
    assert document.metadata["rule_classify_files"] == {"category": "test", "rule": "tests", "tags": ["checked"]}
    assert on_stage.context.messages("info") == ["tests/a.py: test (rule tests)"]


async def test_another_classification_takes_the_tags_of_the_first_away(stage: MakeStage) -> None:
    documents = documents_in("/code", **{"tests/a.py": ""})
    await stage(RuleClassifyFiles, documents, folder="/code", rules=RULES).run()
    await stage(RuleClassifyFiles, documents, folder="/code", rules=RULES[1:]).run()
    (document,) = documents.values()
    assert document.tags == ("codebase",)


async def test_only_documents_of_the_folder_with_the_tags_become_work_items(stage: MakeStage) -> None:
    documents = documents_in("/code", a="") | documents_in("/codex", b="") | documents_in("/code", c="")
    untagged = documents["file:/code/c"]
    documents[untagged.address] = StoredDocument(untagged.address, "c", "", "file")
    items = stage(RuleClassifyFiles, documents, folder="/code", filter_tags=["codebase"], rules=RULES).plan()
    assert [item.name for item in items] == ["a"]
    everywhere = stage(RuleClassifyFiles, documents, rules=RULES).plan()
    assert [item.name for item in everywhere] == ["code/a", "code/c", "codex/b"]


async def test_a_document_that_is_gone_by_then_is_a_warning(stage: MakeStage) -> None:
    documents = documents_in("/code", a="")
    on_stage = stage(RuleClassifyFiles, documents, folder="/code", rules=RULES)
    (item,) = on_stage.plan()
    documents.clear()
    assert on_stage.step_type.run(on_stage.context, item) == {"category": None, "rule": None}
    assert on_stage.context.messages("warn") == ["a: skipped, the document is gone"]


async def test_hostile_names_are_classified_and_break_no_line(stage: MakeStage) -> None:
    names = ['it\'s "quoted".py', "two\nlines.py", "<b>.py", "right\u202etfel.py"]
    documents = documents_in("/code", **dict.fromkeys(names, ""))
    on_stage = stage(RuleClassifyFiles, documents, folder="/code", rules=RULES)
    await on_stage.run()
    assert categories(documents) == dict.fromkeys(names, "source")
    assert all(message.isprintable() for _, message in on_stage.context.lines)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"name": "x", "category": "c", "content_regex": "("}, r"rule 'x': '\(' is not a regular expression"),
        ({"name": "x", "category": "c", "name_regex": "[z-a]"}, r"rule 'x': '\[z-a\]' is not a regular expression"),
        ({"name": "x", "category": "c", "paths": ["!"]}, "rule 'x': '!' is not a path pattern"),
        ({"name": "x", "category": "c"}, "rule 'x' has no condition and would fit everything"),
        ({"category": "c", "names": ["*"]}, "name"),
    ],
)
def test_a_bad_rule_is_refused_by_its_name(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RuleClassifyFilesSettings.model_validate({"rules": [rule]})


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rules are named 'main'"):
        RuleClassifyFilesSettings.model_validate({"rules": [RULES[1], RULES[1]]})


def test_a_bad_regex_in_a_file_is_told_with_rule_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'id = "bad"\n[step.classify]\ntype = "rule_classify_files"\n'
        '[[step.classify.rules]]\nname = "fine"\ncategory = "a"\nnames = ["*"]\n'
        '[[step.classify.rules]]\nname = "broken"\ncategory = "b"\ncontent_regex = "(a"\n'
    )
    with pytest.raises(DefinitionError) as raised:
        load_definition(path, StepTypes.in_package(app.steps))
    (problem,) = raised.value.problems
    assert (problem.line, problem.key) == (11, "step.classify.rules[1].content_regex")
    assert problem.message.startswith("rule 'broken': '(a' is not a regular expression")


async def test_the_bundled_rules_know_what_a_code_base_is_made_of(stage: MakeStage) -> None:
    definition = load_definition(BUNDLED / "codebase_classify.toml", StepTypes.in_package(app.steps))
    settings = definition.resolve({"folder": "/"}).steps[-1].settings | {"folder": "/code"}
    expected = {
        "app/main.py": "source",
        "src/Main.java": "source",
        "migrations/0001_first.py": "source",
        "tests/test_main.py": "test",
        "src/main_test.go": "test",
        "README.md": "documentation",
        "LICENSE": "documentation",
        "docs/picture.png": "documentation",
        "pyproject.toml": "build",
        ".github/workflows/ci.yml": "build",
        "Dockerfile": "build",
        "config/app.yaml": "configuration",
        ".gitignore": "configuration",
        "data/prices.csv": "data",
        "run.sh": "script",
        "static/logo.svg": "asset",
        "static/app.min.js": "generated",
        "uv.lock": "generated",
        "a/__pycache__/a.pyc": "generated",
        "node_modules/x/index.js": "vendored",
        "mystery": "other",
    }
    bodies = dict.fromkeys(expected, "") | {
        "api.go": "// Code generated by protoc-gen-go. DO NOT EDIT.\npackage api\n",
        "writer.go": 'package w\n\nconst Header = "Code generated by us. DO NOT EDIT."\n',
        "bin/tool": "#!/usr/bin/env python3\n",
        "anything": "#!/bin/sh\n",
    }
    expected |= {"api.go": "generated", "writer.go": "source", "bin/tool": "script", "anything": "script"}
    documents = documents_in("/code", **bodies)
    await stage(RuleClassifyFiles, documents, **settings).run()
    assert categories(documents) == expected
