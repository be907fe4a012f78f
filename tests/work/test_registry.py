"""Step types are found by being there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import app.steps
from app.work.registry import StepTypes
from app.work.step_type import Settings, StepType

SOURCE = """
from app.work.step_type import Settings, StepType

class Empty(Settings):
    pass

class {name}(StepType[Empty]):
    name = "{name}"
    summary = "Does nothing."
    settings_type = Empty
    def plan(self, context): return ()
    def run(self, context, item): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    name = f"steps_of_{request.node.name}"
    (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "inner" / "__init__.py").touch()
    (tmp_path / name / "upper.py").write_text(SOURCE.format(name="Upper"))
    (tmp_path / name / "inner" / "lower.py").write_text(
        f"from {name}.upper import Upper\n" + SOURCE.format(name="Lower")
    )
    (tmp_path / name / "inner" / "_heavy.py").write_text("raise ImportError('not before it is needed')")
    monkeypatch.syspath_prepend(tmp_path)
    return __import__(name)


def test_the_bundled_step_types_are_found_by_their_names() -> None:
    assert list(StepTypes.in_package(app.steps)) == [
        "agent",
        "code_map",
        "command",
        "crawler",
        "dependency_graph",
        "email",
        "extract_build_info",
        "git_repo",
        "github_repo",
        "http_request",
        "identify_components",
        "import_files",
        "places_search",
        "rule_classify_files",
        "summary",
        "test_job_generator",
        "transform",
        "web_search",
    ]


def test_a_step_type_is_found_where_it_is_defined_however_deep_and_only_there(package: ModuleType) -> None:
    found = StepTypes.in_package(package)
    assert list(found) == ["Lower", "Upper"]
    assert found["Lower"].__module__ == f"{package.__name__}.inner.lower"


def test_two_step_types_of_one_name_are_refused_naming_both(package: ModuleType) -> None:
    __import__(f"{package.__name__}.upper")
    lower = StepTypes.in_package(package)["Lower"]
    lower.name = "Upper"
    with pytest.raises(ValueError, match=r'upper\.Upper and .*inner\.lower\.Lower are both named "Upper"'):
        StepTypes.in_package(package)
    assert lower.__module__ in sys.modules


def test_a_step_type_without_a_name_is_refused_saying_what_it_lacks() -> None:
    class Nameless(StepType[Settings]):
        settings_type = Settings

        def plan(self, context: object) -> tuple[()]:
            return ()

        def run(self, context: object, item: object) -> None: ...

    with pytest.raises(TypeError, match="Nameless has no name and no summary"):
        StepTypes([Nameless])


def test_the_mapping_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        StepTypes([])["new"] = StepType
