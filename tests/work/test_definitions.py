"""Definitions: what they may say, and what a person is told when they say something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import app.steps
from app.queue.limits import Limits
from app.queue.run_plan import FailureAction, OnError, Retry
from app.work.definitions import BUNDLED, Definition, Definitions, UnknownDefinition, load_definition
from app.work.problems import DefinitionError, ParameterError
from app.work.registry import StepTypes
from app.work.step_type import Settings, StepType

HEAD = 'id = "nightly"\n'


class EchoSettings(Settings):
    text: str = ""
    count: int = 1
    ratio: float = 1.0
    loud: bool = False
    texts: list[str] = []  # noqa: RUF012
    table: dict[str, Any] = {}  # noqa: RUF012


class Echo(StepType[EchoSettings]):
    name = "echo"
    summary = "Says it again."
    settings_type = EchoSettings
    timeout = 7.0

    def plan(self, context: object) -> tuple[()]:
        return ()

    def run(self, context: object, item: object) -> None: ...


STEP_TYPES = StepTypes([Echo])


def load(tmp_path: Path, text: str | bytes, name: str = "nightly.toml") -> Definition:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_definition(path, STEP_TYPES)


def problems(tmp_path: Path, text: str | bytes) -> list[tuple[int | None, str, str]]:
    with pytest.raises(DefinitionError) as raised:
        load(tmp_path, text)
    assert all(problem.file == tmp_path / "nightly.toml" for problem in raised.value.problems)
    return [(problem.line, problem.key, problem.message) for problem in raised.value.problems]


def only_problem(tmp_path: Path, text: str | bytes) -> tuple[int | None, str, str]:
    (problem,) = problems(tmp_path, text)
    return problem


def settings(tmp_path: Path, text: str, **parameters: Any) -> dict[str, Any]:
    return load(tmp_path, text).resolve(parameters).steps[0].settings


# --- What a definition says -------------------------------------------------------------------------------------------


def test_a_definition_becomes_a_plan_with_its_steps_in_file_order(tmp_path: Path) -> None:
    plan = load(
        tmp_path,
        HEAD + 'name = "Nightly"\ntags = ["a"]\ntimeout = "4h"\nconcurrency = 2\n'
        '[error_tolerance]\nmax_child_failures = 5\nfailure_action = "mark_warning"\n'
        '[step.zebra]\ntype = "echo"\ndescription = "first"\n'
        '[step.apple]\ntype = "echo"\non_error = "retry"\nalways_run = true\ntimeout = 90\n'
        '[step.mango]\ntype = "echo"\ndepends = []\n'
        '[step.fig]\ntype = "echo"\ndepends = "zebra, mango"\n',
    ).resolve({})
    assert (plan.definition, plan.name, plan.tags, plan.timeout, plan.concurrency) == (
        "nightly",
        "Nightly",
        ("a",),
        14400.0,
        2,
    )
    assert (plan.tolerance.max_child_failures, plan.tolerance.failure_action) == (5, FailureAction.MARK_WARNING)
    assert [(step.name, step.depends) for step in plan.steps] == [
        ("zebra", ()),
        ("apple", ("zebra",)),
        ("mango", ()),
        ("fig", ("zebra", "mango")),
    ]
    zebra, apple = plan.steps[:2]
    assert (zebra.on_error, zebra.always_run, zebra.timeout) == (OnError.FAIL, False, 7.0)
    assert (apple.on_error, apple.always_run, apple.timeout) == (OnError.RETRY, True, 90.0)
    assert plan.text.startswith(HEAD)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"90s"', 90.0), ('"5m"', 300.0), ('"4h"', 14400.0), ('"1.5h"', 5400.0), ("12", 12.0), ("0.5", 0.5)],
)
def test_a_duration_is_a_text_with_a_unit_or_seconds(tmp_path: Path, written: str, seconds: float) -> None:
    assert load(tmp_path, f'{HEAD}timeout = {written}\n[step.a]\ntype = "echo"\n').timeout == seconds


@pytest.mark.parametrize("written", ['"5 parsecs"', '""', "0", "-1", "true", "inf", '"-5m"', "[]"])
def test_anything_else_is_no_duration(tmp_path: Path, written: str) -> None:
    line, key, message = problems(tmp_path, f'{HEAD}timeout = {written}\n[step.a]\ntype = "echo"\n')[0]
    assert (line, key) == (2, "timeout")
    assert '"5m"' in message


class Patient(Echo):
    name = "patient"
    retry = Retry(attempts=5, first_delay=10.0, jitter=0.5)


RETRIES = """id = "nightly"
[retry]
first_delay = "2m"
factor = 3
[step.plain]
type = "echo"
[step.again]
type = "echo"
on_error = "retry"
step_timeout = "1h"
[step.patient]
type = "patient"
[step.own]
type = "patient"
[step.own.retry]
attempts = 9
first_delay = 0
longest_delay = "1h"
"""


def test_what_a_step_says_of_retries_comes_before_the_definition_and_that_before_the_step_type(tmp_path: Path) -> None:
    (tmp_path / "nightly.toml").write_text(RETRIES)
    definition = load_definition(tmp_path / "nightly.toml", StepTypes([Echo, Patient]))
    steps = {step.name: step for step in definition.resolve({}).steps}
    assert steps["plain"].retry == Retry(attempts=1, first_delay=120.0, factor=3.0)
    assert steps["again"].retry == Retry(attempts=3, first_delay=120.0, factor=3.0)
    assert steps["patient"].retry == Retry(attempts=5, first_delay=120.0, factor=3.0, jitter=0.5)
    assert steps["own"].retry == Retry(attempts=9, first_delay=0.0, factor=3.0, longest_delay=3600.0, jitter=0.5)
    assert (steps["again"].step_timeout, steps["plain"].step_timeout) == (3600.0, None)
    assert steps["again"].settings == {}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("attempts = 0", "must be greater than or equal to 1, not 0"),
        ("attempts = 101", "must be less than or equal to 100, not 101"),
        ("attempts = 2.5", "must be a valid integer, not 2.5"),
        (
            'first_delay = "-1s"',
            'must be a duration such as "5s", "2m" or a number of seconds, up to a day, not \'-1s\'',
        ),
        (
            'longest_delay = "2d"',
            'must be a duration such as "5s", "2m" or a number of seconds, up to a day, not \'2d\'',
        ),
        ("factor = 0.5", "must be greater than or equal to 1, not 0.5"),
        ("jitter = 1.5", "must be less than or equal to 1, not 1.5"),
        ("jitter = true", "must be a valid number, not True"),
        ("atempts = 2", "is not a known key; did you mean 'attempts'?"),
    ],
)
@pytest.mark.parametrize(("table", "line"), [("retry", 5), ("step.a.retry", 5)])
def test_a_wrong_rule_for_retries_is_refused_with_its_key(
    tmp_path: Path, table: str, line: int, written: str, message: str
) -> None:
    found = only_problem(tmp_path, f'{HEAD}[step.a]\ntype = "echo"\n[{table}]\n{written}\n')
    assert found == (line, f"{table}.{written.partition(' ')[0]}", message)


def test_a_number_is_no_rule_for_retries(tmp_path: Path) -> None:
    found = only_problem(tmp_path, f'{HEAD}[step.a]\ntype = "echo"\nretry = 3\n')
    assert found == (4, "step.a.retry", "must be a table, not 3")


# --- Placeholders and parameters --------------------------------------------------------------------------------------

PARAMETERS = (
    HEAD + '[parameters.word]\ndefault = "hi"\n[parameters.many]\ntype = "integer"\ndefault = 3\n'
    '[parameters.share]\ntype = "number"\ndefault = 0.5\n[parameters.really]\ntype = "boolean"\ndefault = false\n'
    '[step.a]\ntype = "echo"\n'
)


def test_a_placeholder_alone_takes_the_typed_value_and_inside_a_text_its_spelling(tmp_path: Path) -> None:
    text = PARAMETERS + 'count = "{many}"\nloud = "{really}"\nratio = "{share}"\ntext = "{word}, {many}x: {really}"\n'
    assert settings(tmp_path, text, many="5", really="TRUE", share="2") == {
        "count": 5,
        "loud": True,
        "ratio": 2.0,
        "text": "hi, 5x: true",
    }


def test_placeholders_reach_into_lists_and_tables(tmp_path: Path) -> None:
    text = PARAMETERS + 'texts = ["{word}", "-{word}"]\ntable = { deep = { n = ["{many}"] } }\n'
    assert settings(tmp_path, text) == {"texts": ["hi", "-hi"], "table": {"deep": {"n": [3]}}}


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (r"\d{3}x{1,2}", r"\d{3}x{1,2}"),
        ("{{word}}", "{word}"),
        ("{{word}} {word}", "{word} hi"),
        ("{}", "{}"),
        ("{a b}", "{a b}"),
    ],
)
def test_only_a_name_in_single_braces_is_a_placeholder(tmp_path: Path, written: str, becomes: str) -> None:
    assert settings(tmp_path, f"{PARAMETERS}text = '{written}'\n")["text"] == becomes


def test_a_value_that_looks_like_a_placeholder_is_left_alone(tmp_path: Path) -> None:
    assert settings(tmp_path, PARAMETERS + 'text = "<{word}>"\n', word="{many}")["text"] == "<{many}>"


def test_an_unknown_placeholder_is_refused_naming_it(tmp_path: Path) -> None:
    line, key, message = only_problem(tmp_path, PARAMETERS + 'texts = [\n  "{wrod}",\n]\n')
    assert (line, key) == (15, "step.a.texts")
    assert message == "{wrod} names no parameter; did you mean 'word'? (for the text itself write {{wrod}})"


@pytest.mark.parametrize(
    ("parameters", "key", "message"),
    [
        ({"wrod": "x"}, "wrod", "is not a parameter; did you mean 'word'?"),
        ({"many": "five"}, "many", "must be an integer such as 5, not 'five'"),
        ({"many": 5.0}, "many", "must be an integer such as 5, not 5.0"),
        ({"many": True}, "many", "must be an integer such as 5, not True"),
        ({"share": "nan"}, "share", "must be a number such as 0.5, not 'nan'"),
        ({"really": "yes"}, "really", "must be true or false, not 'yes'"),
        ({"word": 5}, "word", "must be a string, not 5"),
        ({"word": "a\0b"}, "word", "must be a string of valid characters, not 'a\\x00b'"),
        ({"word": "\udcff"}, "word", "must be a string of valid characters, not '\\udcff'"),
        ({"evil\n\u202ename": 1}, "'evil\\n\\u202ename'", "is not a parameter"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    tmp_path: Path, parameters: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ParameterError) as raised:
        load(tmp_path, PARAMETERS).resolve(parameters)
    (problem,) = raised.value.problems
    assert problem.key == key
    assert problem.message.startswith(message)


def test_all_wrong_parameters_are_told_at_once(tmp_path: Path) -> None:
    text = HEAD + '[parameters.a]\n[parameters.b]\ntype = "integer"\n[step.x]\ntype = "echo"\n'
    with pytest.raises(ParameterError) as raised:
        load(tmp_path, text).resolve({"b": "x", "c": 1})
    assert sorted(problem.key for problem in raised.value.problems) == ["a", "b", "c"]
    assert "a: is missing; give a value of type string" in str(raised.value)


def test_a_value_that_the_step_type_refuses_is_told_by_the_parameter_that_brought_it(tmp_path: Path) -> None:
    definition = load(tmp_path, HEAD + '[parameters.size]\n[step.x]\ntype = "echo"\ncount = "{size}"\n')
    with pytest.raises(ParameterError) as raised:
        definition.resolve({"size": "big"})
    (problem,) = raised.value.problems
    assert problem.key == "size"
    assert problem.message == "must be a valid integer, not 'big' (it becomes step.x.count)"


FOLDER = HEAD + '[parameters.folder]\ntype = "folder"\n[step.a]\ntype = "echo"\ntext = "{folder}"\n'


def test_a_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settings(tmp_path, FOLDER, folder="code/../code") == {"text": str(tmp_path / "code")}


def test_a_missing_folder_a_file_and_a_loop_are_refused(tmp_path: Path) -> None:
    definition = load(tmp_path, FOLDER)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for folder, message in [
        (str(tmp_path / "no\nwhere"), "does not exist"),
        (str(tmp_path / "nightly.toml"), "is not a folder"),
        (str(tmp_path / "loop"), "loop"),
        ("", "empty"),
    ]:
        with pytest.raises(ParameterError, match=message) as raised:
            definition.resolve({"folder": folder})
        (problem,) = raised.value.problems
        assert problem.key == "folder"
        assert "\n" not in problem.message


def test_an_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(ParameterError, match="cannot be read; check its permissions"):
        load(tmp_path, FOLDER).resolve({"folder": str(tmp_path)})


# --- What is wrong with a file ----------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        'id = "x y"\n'
        'naem = "n"\n'
        'description = """\nseveral\n[step.a]\nlines"""\n'
        "[parameters.n]\n"
        'type = "integer"\n'
        'default = "many"\n'
        "[error_tolerance]\n"
        'failure_action = "stop"\n'
        "[step.a]\n"
        'type = "ehco"\n'
        '[step."b"]\n'
        'type = "echo"\n'
        'depends = ["a", "d"]\n'
        'cuont = "{n}"\n'
        'on_error = "ignore"\n'
        "count = 1.5\n",
    )
    assert [(line, key) for line, key, _ in found] == [
        (1, "id"),
        (2, "naem"),
        (9, "parameters.n.default"),
        (11, "error_tolerance.failure_action"),
        (13, "step.a.type"),
        (16, "step.b.depends"),
        (17, "step.b.cuont"),
        (18, "step.b.on_error"),
        (19, "step.b.count"),
    ]
    messages = {key: message for _, key, message in found}
    assert messages["naem"] == "is not a known key; did you mean 'name'?"
    assert messages["step.a.type"] == "'ehco' is not a step type; did you mean 'echo'?"
    assert messages["step.b.depends"] == "'d' is not a step here; known are: a, b"
    assert messages["step.b.cuont"] == "is not a known key; did you mean 'count'?"
    assert messages["step.b.on_error"] == "must be 'fail', 'continue' or 'retry', not 'ignore'"
    assert messages["step.b.count"] == "must be a valid integer, not 1.5"


def test_priority_and_limits_are_part_of_the_plan(tmp_path: Path) -> None:
    text = (
        f'{HEAD}priority = -5\n[limits]\nwork_items = 4\nrate = "500 / hour"\n'
        '[step.a]\ntype = "echo"\nlimits = { work_items = 1 }\n[step.b]\ntype = "echo"\n[step.b.limits]\n'
        'rate = "60/minute"\n'
    )
    definition = load(tmp_path, text)
    plan = definition.resolve({})
    assert (plan.priority, plan.limits) == (-5, Limits(4, "500/hour"))
    assert [step.limits for step in plan.steps] == [Limits(1), Limits(None, "60/minute")]
    assert definition.limits_told == (
        "all its runs: at most 4 work items at once and 500/hour",
        "step a: at most 1 work item at once",
        "step b: at most 60/minute",
    )


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ("priority = 1001", "priority", "must be less than or equal to 1000, not 1001"),
        ("limits.work_items = 0", "limits.work_items", "must be greater than or equal to 1, not 0"),
        ('limits.rate = "10/day"', "limits.rate", 'must be a rate such as "10/second"'),
        ("limits.rate = 10", "limits.rate", 'must be a rate such as "10/second", "60/minute" or "500/hour", not 10'),
        ("limits.workitems = 2", "limits.workitems", "is not a known key; did you mean 'work_items'?"),
        ('step.a.limits.rate = "0/hour"', "step.a.limits.rate", "must be a rate such as"),
    ],
)
def test_a_wrong_priority_or_limit_is_told_with_the_way_out(
    tmp_path: Path, written: str, key: str, message: str
) -> None:
    _, found, said = only_problem(tmp_path, f'{HEAD}{written}\nstep.a.type = "echo"\n')
    assert (found, said[: len(message)]) == (key, message)


def test_an_error_reads_as_a_place_a_key_and_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as raised:
        load(tmp_path, HEAD + '[step.a]\ntype = "ehco"\n', "right-to-left \u202e.toml")
    file = repr(str(tmp_path / "right-to-left \u202e.toml"))
    assert str(raised.value) == f"{file}:3: step.a.type: 'ehco' is not a step type; did you mean 'echo'?"


def test_values_in_messages_cannot_break_the_line(tmp_path: Path) -> None:
    _, _, message = only_problem(tmp_path, HEAD + '[step.a]\ntype = "<b>\\n\\u202e"\n')
    assert message.startswith("'<b>\\n\\u202e' is not a step type")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "x = \n", 2, "is not valid TOML: Invalid value"),
        (HEAD + 'a = 1\nid = "again"\n', 3, "is not valid TOML: Cannot overwrite a value"),
        (HEAD + "x = [1,\n2", 3, "is not valid TOML: Unclosed array"),
        (HEAD + "x = " + "[" * 5000, None, "is not valid TOML: its arrays or tables are nested too deeply"),
        (b'id = "caf\xe9"\n', 1, "byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("\ufeff".encode("utf-16-le") + HEAD.encode("utf-16-le"), None, "is UTF-16; save it as UTF-8"),
        (b"# " + b"x" * (1 << 20), None, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, text: str | bytes, line: int | None, message: str) -> None:
    found_line, key, found = only_problem(tmp_path, text)
    assert (found_line, key) == (line, "")
    assert found.startswith(message)


def test_the_mark_that_some_editors_put_before_utf_8_is_ignored(tmp_path: Path) -> None:
    text = HEAD + '[step.a]\r\ntype = "echo"\r\n'
    assert load(tmp_path, b"\xef\xbb\xbf" + text.encode()).id == "nightly"


def test_directories_pipes_missing_and_unreadable_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "locked.toml").touch()
    (tmp_path / "dangling.toml").symlink_to("nowhere")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    for path, message in [
        (tmp_path, "is a directory; name a TOML file in it"),
        (tmp_path / "pipe.toml", "is not a regular file"),
        (tmp_path / "none.toml", "does not exist; check the path"),
        (tmp_path / "dangling.toml", "does not exist; check the path"),
        (tmp_path / "locked.toml", r"cannot be read \(Permission denied\); check its permissions"),
    ]:
        with pytest.raises(DefinitionError, match=message):
            load_definition(path, STEP_TYPES)


def test_a_definition_needs_an_id_and_a_step(tmp_path: Path) -> None:
    assert [(key, message) for _, key, message in problems(tmp_path, "")] == [
        ("id", "is missing; add it"),
        ("step", "is missing; add it"),
    ]


@pytest.mark.parametrize("text", ["step = 1\n", "[step]\na = 1\n", "parameters = []\n", "[[step]]\n", "[step.a]\n"])
def test_a_value_where_a_table_belongs_is_a_problem_and_no_crash(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, HEAD + text)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"a\\u0000b"', "'a\\x00b' has a null character; take it out"),
        ("2020-01-01", '2020-01-01 is a date or time; write it as a string: "2020-01-01"'),
        ("nan", "nan is not a number that can be stored; give a finite one"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, written: str, message: str) -> None:
    found = only_problem(tmp_path, f'{HEAD}[step.a]\ntype = "echo"\n[step.a.table]\nx = [{written}]\n')
    assert found == (5, "step.a.table.x[0]", message)


def test_a_cycle_is_named_with_the_line_that_closes_it(tmp_path: Path) -> None:
    text = HEAD + "".join(
        f'[step.{name}]\ntype = "echo"\ndepends = {depends}\n'
        for name, depends in [("a", '"c"'), ("b", '"a"'), ("c", '"b"'), ("self", '"self"')]
    )
    first, second = problems(tmp_path, text)
    assert first[:2] in {(4, "step.a.depends"), (7, "step.b.depends"), (10, "step.c.depends")}
    assert any(way in first[2] for way in ("a -> c -> b -> a", "c -> b -> a -> c", "b -> a -> c -> b"))
    assert second[:2] == (13, "step.self.depends")
    assert "self -> self" in second[2]


def test_a_cycle_through_a_step_without_depends_says_so(tmp_path: Path) -> None:
    text = HEAD + '[step.a]\ntype = "echo"\ndepends = "b"\n[step.b]\ntype = "echo"\n'
    line, key, message = only_problem(tmp_path, text)
    assert (line, key) == (4, "step.a.depends")
    assert "'b' has no depends, so it waits for the step before it; depends = [] starts it at once" in message


def test_lines_are_found_in_arrays_of_tables_dotted_and_quoted_keys(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        HEAD + 'step.a.type = "echo"\nstep."a".nope = 1\n[[step.b.list]]\nx = 1\n[[step.b.list]]\n"y z" = nan\n',
    )
    assert [(line, key) for line, key, _ in found] == [
        (3, "step.a.nope"),
        (4, "step.b.type"),
        (7, 'step.b.list[1]."y z"'),
    ]


# --- The set of definitions -------------------------------------------------------------------------------------------


def write(path: Path, id: str) -> None:
    path.write_text(f'id = "{id}"\n[step.a]\ntype = "echo"\n')


def test_an_invalid_file_is_listed_with_its_problem_and_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "good.toml", "good")
    (tmp_path / "broken.toml").write_text("id = ")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "notes.txt").write_text("no definition")
    definitions = Definitions(STEP_TYPES, tmp_path)
    assert [(entry.id, entry.valid) for entry in definitions.all()] == [
        ("broken", False),
        ("folder", False),
        ("good", True),
    ]
    assert definitions.get("good").id == "good"
    with pytest.raises(DefinitionError, match="is not valid TOML"):
        definitions.get("broken")


def test_an_id_used_twice_stays_with_the_first_and_the_second_names_both(tmp_path: Path) -> None:
    bundled, own = tmp_path / "bundled", tmp_path / "own"
    bundled.mkdir()
    own.mkdir()
    write(bundled / "z.toml", "twin")
    write(own / "a.toml", "twin")
    definitions = Definitions(STEP_TYPES, bundled, own)
    assert definitions.get("twin").path == bundled / "z.toml"
    (problem,) = definitions.all()[1].problems
    assert (problem.file, problem.line, problem.key) == (own / "a.toml", 1, "id")
    assert str(bundled / "z.toml") in problem.message


def test_an_unknown_definition_is_told_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "good.toml", "nightly")
    with pytest.raises(UnknownDefinition, match=r"no definition is called 'nighty'; did you mean 'nightly'\?"):
        Definitions(STEP_TYPES, tmp_path).get("nighty")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", "first")
    definitions = Definitions(STEP_TYPES, tmp_path)
    assert definitions.get("first") is definitions.get("first")
    write(tmp_path / "a.toml", "changed")
    assert [entry.id for entry in definitions.all()] == ["changed"]


def test_a_missing_folder_of_definitions_is_itself_a_problem(tmp_path: Path) -> None:
    (entry,) = Definitions(STEP_TYPES, tmp_path / "gone").all()
    assert not entry.valid
    assert "is not a folder of definitions" in str(entry.problems[0])


# --- The definitions that come with Stepglass -------------------------------------------------------------------------


def test_the_bundled_definitions_are_valid() -> None:
    definitions = Definitions(StepTypes.in_package(app.steps), BUNDLED)
    assert [(entry.id, list(entry.problems)) for entry in definitions.all()] == [
        ("codebase_assess", []),
        ("codebase_classify", []),
        ("nearby_restaurants_keywords", []),
        ("news_crawler", []),
        ("test_job_generator", []),
    ]


def test_codebase_classify_runs_its_three_steps_on_the_folder(tmp_path: Path) -> None:
    bundled = Definitions(StepTypes.in_package(app.steps), BUNDLED)
    plan = bundled.get("codebase_classify").resolve({"folder": str(tmp_path)})
    assert [step.name for step in plan.steps] == ["code_map", "import_files", "rule_classify_files"]
    assert {step.settings["folder"] for step in plan.steps} == {str(tmp_path)}


def test_codebase_assess_has_nine_steps_that_wait_for_what_they_need(tmp_path: Path) -> None:
    bundled = Definitions(StepTypes.in_package(app.steps), BUNDLED)
    plan = bundled.get("codebase_assess").resolve({"folder": str(tmp_path)})
    assert {step.name: list(step.depends) for step in plan.steps} == {
        "code_map": [],
        "import_files": ["code_map"],
        "classify_files": ["import_files"],
        "extract_build_info": ["import_files"],
        "identify_components": ["classify_files"],
        "build_graph": ["identify_components"],
        "generate_index": ["classify_files", "code_map"],
        "generate_summary": ["extract_build_info", "identify_components"],
        "generate_map": ["code_map", "build_graph"],
    }
    assert {step.settings["folder"] for step in plan.steps} == {str(tmp_path)}
    classify = bundled.get("codebase_classify").resolve({"folder": str(tmp_path)})
    assert plan.steps[2].settings["rules"] == classify.steps[2].settings["rules"], "the two classify alike"


def test_the_test_job_generator_has_the_documented_four_steps() -> None:
    plan = Definitions(StepTypes.in_package(app.steps), BUNDLED).get("test_job_generator").resolve({})
    keys = ("worker_count", "log_count", "log_delay_ms", "failure_rate", "child_count", "recursion_depth")
    assert {step.name: tuple(step.settings.get(key, 0) for key in keys) for step in plan.steps} == {
        "fast": (5, 50, 10, 0.1, 0, 0),
        "high_volume": (3, 1200, 5, 0.05, 0, 0),
        "slow": (2, 300, 500, 0.0, 0, 0),
        "recursive": (3, 20, 10, 0.2, 2, 2),
    }
    assert {step.on_error for step in plan.steps} == {OnError.CONTINUE}
