"""What the documentation says is so."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from app import steps
from app.settings import Settings, variable
from app.work.definitions import load_definition
from app.work.registry import StepTypes
from tests.stepglass import COMMAND, stepglass

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DEFINITIONS = (ROOT / "docs" / "definitions.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", README + DEFINITIONS + OPERATIONS, re.DOTALL)
STEP_TYPES = StepTypes.in_package(steps)


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    section = text.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_lists_every_setting_with_its_default() -> None:
    listed = {row[0].strip("`"): (row[2].strip("`"), row[3]) for row in rows(README, "## Settings")}
    assert listed == {
        variable(each.name): (str(each.default) if each.default not in ((), None) else "", each.metadata["help"])
        for each in fields(Settings)
    }


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"`stepglass ([a-z]+)", README))
    assert named
    helped = stepglass("--help", program=COMMAND).stdout
    assert {name for name in named if not re.search(rf"^  {name}\b", helped, re.MULTILINE)} == set()


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_definitions_are_valid(example: str, tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(example)
    definition = load_definition(file, STEP_TYPES)
    assert definition.steps


def test_every_step_type_is_documented_with_its_settings() -> None:
    listed = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows(DEFINITIONS, "## Bundled step types")}
    assert listed == {name: list(step_type.settings_type.model_fields) for name, step_type in STEP_TYPES.items()}


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_target_of_the_makefile_that_the_documents_name_exists() -> None:
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(
        re.findall(r"^make ([a-z]+)|`make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    )
    assert {name for pair in named for name in pair if name} <= set(re.findall(r"^make ([a-z]+)", helped, re.MULTILINE))


def test_every_test_that_a_scenario_names_exists() -> None:
    named = re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", (ROOT / "docs" / "scenarios.md").read_text())
    assert named
    assert [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()] == []


def test_every_scenario_is_held_by_a_test() -> None:
    """So many there are of each letter."""
    there = {"S": 5, "B": 18, "C": 7, "D": 34, "E": 10, "F": 25}
    held = re.findall(
        r"^\| ([A-Z]\d+) \|.*`[a-z0-9_/]+\.py::\w+` \|$", (ROOT / "docs" / "scenarios.md").read_text(), re.M
    )
    assert sorted(held) == sorted(f"{letter}{n + 1}" for letter, number in there.items() for n in range(number))


def test_every_fragment_is_documented() -> None:
    written = (ROOT / "app" / "web" / "fragments.py").read_text()
    served = set(re.findall(r'"(/fragments/[^"]*)"', written))
    listed = set(re.findall(r"^\| `(/fragments/[^`]*)`", (ROOT / "docs" / "fragments.md").read_text(), re.MULTILINE))
    assert {re.sub(r"{[^}]*}", "{id}", each) for each in served} == listed
