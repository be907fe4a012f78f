"""Step types of one's own: found in files, packages and entry points, and no harm when they are broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import app.steps
from app.work import own_step_types
from app.work.own_step_types import LoadedStepTypes, load_step_types
from app.work.process_work import place_of
from app.work.registry import StepTypes

BUNDLED = set(StepTypes.in_package(app.steps))

SOURCE = """
from app.work.step_type import Settings, StepType, WorkItem

class Own(StepType[Settings]):
    name = "{name}"
    summary = "Is somebody's own."
    settings_type = Settings
    def plan(self, context): yield WorkItem("one")
    def run(self, context, item): ...
"""


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def own(loaded: LoadedStepTypes) -> list[str]:
    assert set(loaded.types) >= BUNDLED
    return sorted(set(loaded.types) - BUNDLED)


def only_trouble(loaded: LoadedStepTypes) -> str:
    (trouble,) = loaded.troubles
    return str(trouble)


def test_a_file_and_a_package_bring_theirs_beside_the_bundled_ones(tmp_path: Path) -> None:
    file = written(tmp_path / "own_file.py", SOURCE.format(name="from_file"))
    package = written(tmp_path / "own_package/__init__.py", "").parent
    written(package / "one.py", SOURCE.format(name="from_module"))
    written(package / "inner/__init__.py", SOURCE.format(name="from_inner"))
    written(package / "inner/two.py", "from .. import one\n" + SOURCE.format(name="from_inner_module"))
    loaded = load_step_types(app.steps, [file, package])
    assert loaded.troubles == ()
    assert own(loaded) == ["from_file", "from_inner", "from_inner_module", "from_module"]
    assert place_of(loaded.types["from_inner_module"]) == "own_package.inner.two:Own"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n1 / 0\n", ":2: ZeroDivisionError: division by zero"),
        ("def f(:\n", ":1: SyntaxError: "),
        ("import no_such_module\n", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys\n\nsys.exit(3)\n", ":3: sys.exit was called: 3"),
        ("x = 1\n", ": has no step type; one is a class that extends StepType"),
        (SOURCE.format(name="import_files"), 'both named "import_files"'),
        (SOURCE.replace("summary", "about"), "broken.Own has no summary"),
    ],
)
def test_a_broken_file_is_told_with_its_line_and_stops_nothing_else(tmp_path: Path, text: str, says: str) -> None:
    broken = written(tmp_path / "broken.py", text)
    fine = written(tmp_path / "fine.py", SOURCE.format(name="fine"))
    loaded = load_step_types(app.steps, [broken, fine])
    assert own(loaded) == ["fine"]
    assert only_trouble(loaded).startswith(str(broken)) and says in only_trouble(loaded)


def test_a_broken_module_leaves_the_rest_of_its_package(tmp_path: Path) -> None:
    package = written(tmp_path / "half/__init__.py", "").parent
    written(package / "bad.py", "\n\nraise RuntimeError('out of order')\n")
    written(package / "good.py", SOURCE.format(name="good"))
    loaded = load_step_types(app.steps, [package])
    assert own(loaded) == ["good"]
    assert only_trouble(loaded) == f"{package}/bad.py:3: RuntimeError: out of order"


@pytest.mark.parametrize("name", ["json", "app", "wave"])
def test_a_file_hides_no_other_module(tmp_path: Path, name: str) -> None:
    file = written(tmp_path / f"{name}.py", SOURCE.format(name="hidden"))
    loaded = load_step_types(app.steps, [file])
    assert own(loaded) == []
    assert f"there is another module named '{name}'" in only_trouble(loaded)


def test_a_file_that_cannot_be_a_module_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "my-steps.py", SOURCE.format(name="dashed"))
    assert "'my-steps.py' is no name of a module" in only_trouble(load_step_types(app.steps, [file]))


def test_entry_points_bring_classes_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path / "published.py", SOURCE.format(name="published") + "word = 'no step type'\n")
    written(tmp_path / "published_too.py", SOURCE.format(name="published_too"))
    values = {"a": "published:Own", "b": "published_too", "c": "published:word", "d": "not_there:Own"}
    points = [EntryPoint(name, value, own_step_types.GROUP) for name, value in values.items()]
    monkeypatch.setattr(own_step_types, "entry_points", lambda group: points)
    loaded = load_step_types(app.steps)
    assert own(loaded) == ["published", "published_too"]
    assert list(map(str, loaded.troubles)) == [
        "stepglass.steps c: is neither a class that extends StepType nor a module",
        "stepglass.steps d: ModuleNotFoundError: No module named 'not_there'",
    ]
