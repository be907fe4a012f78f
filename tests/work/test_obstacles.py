"""What keeps a definition from running here is said before anything starts, whoever wrote the step type."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.work.definitions import Definition, load_definition
from app.work.problems import ParameterError
from app.work.registry import StepTypes
from app.work.step_type import Obstacle, Settings, StepType
from tests.stepglass import stepglass

SENTENCE = "no wind: set the sails"


class SailSettings(Settings):
    boat: str = "sloop"
    crew: int = 1


class Sail(StepType[SailSettings]):
    name = "sail"
    summary = "Sails."
    settings_type = SailSettings

    @classmethod
    def obstacle(cls, settings: SailSettings) -> Obstacle | None:
        if settings.boat == "wreck":
            raise RuntimeError("sunk")
        return Obstacle(SENTENCE, ("boat",)) if settings.boat == "sloop" else None

    def plan(self, context):  # type: ignore[no-untyped-def]
        return []

    def run(self, context, item):  # type: ignore[no-untyped-def]
        return None


def definition(folder: Path, settings: str = "", parameters: str = "") -> Definition:
    path = folder / "trip.toml"
    path.write_text(f'id = "trip"\n{parameters}\n[step.out]\ntype = "sail"\n{settings}')
    return load_definition(path, StepTypes([Sail]))


def told(definition: Definition) -> list[str]:
    return [str(each) for each in definition.obstacles()]


def test_an_obstacle_is_told_and_refuses_the_start(tmp_path: Path) -> None:
    found = definition(tmp_path)
    assert told(found) == [f"step.out: {SENTENCE}"]
    with pytest.raises(ParameterError, match=SENTENCE):
        found.resolve({})


def test_what_others_run_nothing_here_can_keep_from_it(tmp_path: Path) -> None:
    definition(tmp_path)
    found = load_definition(tmp_path / "trip.toml", StepTypes([Sail], run_elsewhere=["sail"]))
    assert told(found) == [] and found.resolve({}).steps


def test_without_one_it_starts(tmp_path: Path) -> None:
    found = definition(tmp_path, 'boat = "steamer"')
    assert told(found) == [] and found.resolve({}).steps


def test_a_parameter_that_may_remove_it_leaves_the_start_open(tmp_path: Path) -> None:
    found = definition(tmp_path, 'boat = "{boat}"', '[parameters.boat]\ndefault = "sloop"')
    assert told(found) == []
    assert found.resolve({"boat": "steamer"}).steps
    with pytest.raises(ParameterError, match=SENTENCE):
        found.resolve({})


def test_any_other_parameter_does_not(tmp_path: Path) -> None:
    assert told(definition(tmp_path, 'crew = "{crew}"', '[parameters.crew]\ntype = "integer"'))


def test_one_that_cannot_be_found_out_is_an_obstacle_and_takes_nothing_along(tmp_path: Path) -> None:
    found = definition(tmp_path, 'boat = "wreck"')
    assert told(found) == ["step.out: whether it can run here cannot be found out: RuntimeError: sunk"]


def test_the_command_line_says_it_and_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "moods.toml"
    file.write_text('id = "moods"\n[step.look]\ntype = "agent"\nagent_type = "sentiment"\n')
    sentence = "step.look: sentiment: no language model is configured"
    checked = stepglass("definitions", "check", file)
    assert checked.returncode == 0 and f"cannot run here: {sentence}" in checked.stdout
    refused = stepglass("run", file, "--data", tmp_path / "data")
    assert (refused.returncode, refused.stdout) == (2, "") and sentence in " ".join(refused.stderr.split())
