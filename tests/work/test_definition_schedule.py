"""The `[schedule]` of a definition: what it may say, and what a person is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import steps
from app.queue.ticks import Cron, Missed
from app.work.definition_schedule import Schedule
from app.work.definitions import load_definition
from app.work.problems import DefinitionError
from app.work.registry import StepTypes

STEP_TYPES = StepTypes.in_package(steps)
HEAD = 'id = "trial"\n[parameters.folder]\ntype = "folder"\n[parameters.many]\ntype = "integer"\ndefault = 1\n'
STEP = '\n[step.one]\ntype = "test_job_generator"\n'


def schedule(tmp_path: Path, text: str) -> Schedule | None:
    file = tmp_path / "trial.toml"
    file.write_text(HEAD + text + STEP)
    return load_definition(file, STEP_TYPES).schedule


def test_a_definition_need_not_have_one(tmp_path: Path) -> None:
    assert schedule(tmp_path, "") is None


def test_it_has_an_expression_and_defaults(tmp_path: Path) -> None:
    found = schedule(tmp_path, '[schedule]\ncron = "0 3 * * *"\nparameters = { folder = "/srv" }')
    assert found == Schedule(Cron("0 3 * * *", "UTC"), Missed.ONCE, {"folder": "/srv"})


def test_everything_can_be_said(tmp_path: Path) -> None:
    found = schedule(
        tmp_path,
        '[schedule]\ncron = "*/15 8-18 * * MON-FRI"\ntime_zone = "Europe/Berlin"\nmissed = "all"\n'
        '[schedule.parameters]\nfolder = "/srv"\nmany = 3',
    )
    cron = Cron("*/15 8-18 * * MON-FRI", "Europe/Berlin")
    assert found == Schedule(cron, Missed.ALL, {"folder": "/srv", "many": 3})


WELL = 'parameters = { folder = "/srv" }\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[schedule]\n{WELL}", "7: schedule.cron: is missing; add it"),
        (
            f'[schedule]\n{WELL}cron = "0 25 * * *"',
            "9: schedule.cron: '0 25 * * *' is not a cron expression (Bad hour)",
        ),
        (
            f'[schedule]\n{WELL}cron = "@daily"',
            "9: schedule.cron: must have five fields, not 1: '@daily'; write \"0 0 * *",
        ),
        (f"[schedule]\n{WELL}cron = 5", "9: schedule.cron: must be a valid string, not 5"),
        (
            f'[schedule]\n{WELL}cron = "0 3 * * *"\ntime_zone = "Europe/Berln"',
            "10: schedule.time_zone: 'Europe/Berln' is not a time zone; did you mean 'Europe/Berlin'?",
        ),
        (
            f'[schedule]\n{WELL}cron = "0 3 * * *"\nmissed = "never"',
            "10: schedule.missed: must be 'skip', 'once' or 'all', not 'never'",
        ),
        (f'[schedule]\n{WELL}cron = "0 3 * * *"\nzone = "UTC"', "10: schedule.zone: is not a known key; did you mean"),
        (
            '[schedule]\ncron = "0 3 * * *"\n[schedule.parameters]\nfoldr = "/srv"',
            "10: schedule.parameters.foldr: is not a parameter; did you mean 'folder'?",
        ),
        (
            '[schedule]\ncron = "0 3 * * *"',
            "schedule.parameters: has no value for 'folder', which a run needs; give it under [schedule.parameters]",
        ),
        (
            '[schedule]\ncron = "0 3 * * *"\nparameters = { folder = "/srv", many = "x" }',
            "9: schedule.parameters.many: must be an integer such as 5, not 'x'",
        ),
        ("[[schedule]]\ncron = 1", "7: schedule: must be a table"),
    ],
)
def test_what_is_wrong_is_told_with_line_key_and_way_out(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        schedule(tmp_path, text)
    assert told in str(refused.value)
