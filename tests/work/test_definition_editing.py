"""Editing definitions: a file is written as a whole or not at all, and never over what nobody has read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

import app.steps
from app.catalog import DefinitionCatalog
from app.queue.changes import MuchChanged
from app.queue.database import ReadFailed
from app.queue.retention import NO_LIMIT
from app.queue.storage_faults import Fault
from app.queue.writer import Commit
from app.work import definition_editing
from app.work.definition_editing import LARGEST, Changed, Editing, NotEditable, base_of
from app.work.definitions import BUNDLED, Definitions
from app.work.page_rules import PageRules, digest_of
from app.work.registry import StepTypes

STEP_TYPES = StepTypes.in_package(app.steps)
TEXT = 'id = "notes"\n\n[step.one]\ntype = "test_job_generator"\n'


class Office:
    """A folder of one's own, the bundled definitions, and the editing of both."""

    def __init__(self, folder: Path, *, digests: frozenset[str] = frozenset(), allow_all: bool = False) -> None:
        self.folder = folder
        rules = PageRules(STEP_TYPES, digests, allow_all)
        self.definitions = Definitions(STEP_TYPES, folder, BUNDLED, rule=rules.of_file)
        self.editing = Editing(self.definitions, STEP_TYPES, rules, (folder,))

    def save(self, text: str, id: str | None = None, base: str = "") -> Path:
        checked = self.editing.check(text, id)
        assert checked.problems == ()
        self.editing.save(checked, text, base)
        return checked.path

    def problems(self, text: str, id: str | None = None) -> list[tuple[int | None, str, str]]:
        return [(each.line, each.key, each.message) for each in self.editing.check(text, id).problems]

    def only_problem(self, text: str, id: str | None = None) -> tuple[int | None, str, str]:
        (problem,) = self.problems(text, id)
        return problem

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_new_definition_is_saved_under_its_id(office: Office) -> None:
    assert office.save(TEXT) == office.folder / "notes.toml"
    assert (office.folder / "notes.toml").read_text() == TEXT
    assert office.files == ["notes.toml"]
    assert office.definitions.get("notes").text == TEXT


def test_an_edited_one_stays_in_its_file_with_its_mode_and_line_ends(office: Office) -> None:
    path = office.folder / "other name.toml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    opened = office.editing.open("notes")
    assert opened and opened.path == path
    assert office.save(f'{TEXT}description = "new"\n', "notes", opened.base) == path
    assert path.read_bytes().endswith(b'\r\ndescription = "new"\r\n')
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("happened", ["changed", "removed", "made"])
def test_what_nobody_has_read_is_not_written_over(office: Office, happened: str) -> None:
    path = office.folder / "notes.toml"
    if happened != "made":
        path.write_text(TEXT)
    base = base_of(TEXT) if happened != "made" else ""
    checked = office.editing.check(TEXT + "# mine\n", None if happened == "made" else "notes")
    theirs = None if happened == "removed" else TEXT + "# theirs\n"
    if theirs is None:
        path.unlink()
    else:
        path.write_text(theirs)
    with pytest.raises(Changed) as raised:
        office.editing.save(checked, TEXT + "# mine\n", base)
    assert raised.value.now == theirs
    assert (path.read_text() if path.exists() else None) == theirs
    office.editing.save(checked, TEXT + "# mine\n", raised.value.base)  # now they have read it
    assert path.read_text() == TEXT + "# mine\n"


def test_of_two_that_make_the_same_file_at_once_one_is_told(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = office.editing.check(TEXT)
    monkeypatch.setattr(definition_editing, "_text_or_none", lambda path: None)  # both have looked
    office.editing.save(checked, TEXT, "")
    with pytest.raises(Changed):
        office.editing.save(checked, TEXT + "# second\n", "")
    assert (office.folder / "notes.toml").read_text() == TEXT
    assert office.files == ["notes.toml"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_as_it_was(
    office: Office, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = office.save(TEXT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), full)
    checked = office.editing.check(TEXT + "# more\n", "notes")
    with pytest.raises(OSError, match="No space left"):
        office.editing.save(checked, TEXT + "# more\n", base_of(TEXT))
    assert path.read_text() == TEXT
    assert office.files == ["notes.toml"]


def test_a_copy_takes_the_place_of_a_bundled_one_until_it_is_deleted(office: Office) -> None:
    opened = office.editing.open("test_job_generator")
    assert opened and opened.copied_from == BUNDLED / "test_job_generator.toml"
    text = opened.text.replace("Test job generator", "Ours")
    assert office.save(text, "test_job_generator", opened.base) == office.folder / "test_job_generator.toml"
    (entry,) = [each for each in office.definitions.all() if each.id == "test_job_generator"]
    assert entry.definition and entry.definition.name == "Ours"
    entry.path.write_text("broken")  # then it is not the bundled one that runs instead
    (entry,) = [each for each in office.definitions.all() if each.id == "test_job_generator"]
    assert not entry.valid
    office.editing.delete("test_job_generator", base_of("broken"))
    assert office.definitions.get("test_job_generator").path.parent == BUNDLED


def test_a_bundled_one_is_not_deleted(office: Office) -> None:
    with pytest.raises(NotEditable, match="disable it"):
        office.editing.delete("test_job_generator", "")
    assert (BUNDLED / "test_job_generator.toml").is_file()


def test_a_definition_that_was_changed_meanwhile_is_not_deleted(office: Office) -> None:
    path = office.save(TEXT)
    path.write_text(TEXT + "# theirs\n")
    with pytest.raises(Changed):
        office.editing.delete("notes", base_of(TEXT))
    assert path.is_file()
    office.editing.delete("notes", base_of(path.read_text()))
    assert office.files == []


@pytest.mark.parametrize(
    "id", ["../evil", "/etc/evil", "a/b", ".hidden", "..", "a\\nb", "x" * 101, "", "nul\\u0000", "-option", "a b"]
)
def test_an_id_that_would_lead_elsewhere_is_no_id(office: Office, id: str) -> None:
    found = office.editing.check(TEXT.replace("notes", id))
    assert found.problems
    assert office.files == []


def test_an_id_stays_and_belongs_to_one_file(office: Office) -> None:
    office.save(TEXT)
    line, key, message = office.only_problem(TEXT.replace("notes", "others"), "notes")
    assert (line, key) == (1, "id") and "make a new definition" in message
    line, key, message = office.only_problem(TEXT)
    assert (line, key) == (1, "id") and str(office.folder / "notes.toml") in message


def test_a_link_is_neither_followed_nor_replaced(office: Office, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "real.toml"
    elsewhere.write_text(TEXT)
    (office.folder / "notes.toml").symlink_to(elsewhere)
    with pytest.raises(NotEditable, match=r"is a link to .*real\.toml"):
        office.editing.open("notes")
    with pytest.raises(NotEditable, match="is a link"):
        office.save(TEXT + "# x\n", "notes", base_of(TEXT))
    with pytest.raises(NotEditable, match="is a link"):
        office.editing.delete("notes", base_of(TEXT))
    assert elsewhere.read_text() == TEXT


@pytest.mark.parametrize(
    ("text", "says"),
    [("x" * (LARGEST + 1), "the most that the page takes"), (TEXT + "# \ud800\n", "half a character")],
    ids=["too long", "no text"],
)
def test_what_cannot_be_a_file_is_refused(office: Office, text: str, says: str) -> None:
    assert says in office.only_problem(text)[2]


# --- What came through the page --------------------------------------------------------------------------------------

COMMAND = 'id = "shell"\n[step.run]\ntype = "command"\nprogram = "true"\n'
UNSAFE = {
    "command": (3, "step.run.type", COMMAND),
    "http_request": (3, "step.x.type", 'id = "x"\n[step.x]\ntype = "http_request"\nurl = "https://example.org/"\n'),
    "email": (
        3,
        "step.x.type",
        'id = "x"\n[step.x]\ntype = "email"\nhost = "x"\nsender = "a@example.org"\nto = ["b@example.org"]\n'
        'subject = "s"\nbody = "b"\n',
    ),
    "private hosts": (
        5,
        "step.x.allow_hosts",
        'id = "x"\n[step.x]\ntype = "crawler"\nstart_urls = ["http://localhost/"]\nallow_hosts = ["localhost"]\n',
    ),
    "private hosts by a parameter": (
        6,
        "step.x.allow_hosts",
        'id = "x"\nparameters.h.default = ""\n[step.x]\ntype = "crawler"\nstart_urls = ["http://localhost/"]\n'
        'allow_hosts = ["{h}"]\n',
    ),
    "keys of the server's user": (
        4,
        "step.x.url",
        'id = "x"\n[step.x]\ntype = "git_repo"\nurl = "git@example.org:x.git"\n',
    ),
    "an address that a parameter makes another": (
        5,
        "step.x.url",
        'id = "x"\nparameters.u.default = "https://example.org/"\n[step.x]\ntype = "git_repo"\nurl = "{u}"\n',
    ),
    "secrets": (
        5,
        "step.x.token_variable",
        'id = "x"\n[step.x]\ntype = "git_repo"\nurl = "https://example.org/x.git"\ntoken_variable = "HOME"\n',
    ),
}


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_text_of_the_page_is_refused_what_reaches_beyond(tmp_path: Path, unsafe: str) -> None:
    line, key, text = UNSAFE[unsafe]
    found = Office(tmp_path).only_problem(text)
    assert found[:2] == (line, key)
    assert "--edit-unsafe-steps" in found[2]
    assert Office(tmp_path, allow_all=True).problems(text) == []


def test_a_file_written_by_hand_may_do_all_that_but_not_be_edited_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "shell.toml").write_text(COMMAND)
    office = Office(tmp_path)
    assert office.definitions.get("shell").text == COMMAND
    assert office.only_problem(COMMAND, "shell")[1] == "step.run.type"


def test_what_the_page_wrote_is_known_again_after_a_restart_and_in_another_file(tmp_path: Path) -> None:
    office = Office(tmp_path, allow_all=True)
    checked = office.editing.check(COMMAND)
    office.save(COMMAND)
    assert office.definitions.get("shell").steps
    digests = frozenset({checked.digest})
    later = Office(tmp_path, digests=digests)
    (entry,) = [each for each in later.definitions.all() if each.id == "shell"]
    assert [(each.line, each.key) for each in entry.problems] == [(3, "step.run.type")]
    (tmp_path / "shell.toml").rename(tmp_path / "renamed.toml")
    (tmp_path / "renamed.toml").write_text("# a comment\r\n" + COMMAND.replace("\n", "\r\n"))
    assert not Office(tmp_path, digests=digests).definitions.all()[0].valid
    # Whoever changes by hand what it does has written it.
    (tmp_path / "renamed.toml").write_text(COMMAND.replace('"true"', '"false"'))
    assert Office(tmp_path, digests=digests).definitions.get("shell").steps


def test_what_another_server_wrote_unheard_is_asked_for_until_it_can_be_read(tmp_path: Path) -> None:
    answers = iter(
        [ReadFailed("cannot be read", Fault.AWAY, "the connection is lost"), [digest_of(tomllib.loads(TEXT))]]
    )

    def page_texts() -> list[str]:
        if isinstance(answer := next(answers), ReadFailed):
            raise answer
        return answer

    rules = PageRules(STEP_TYPES)
    catalog = DefinitionCatalog(STEP_TYPES, rules, page_texts, NO_LIMIT, tmp_path)
    with pytest.raises(ReadFailed):
        catalog.hear(Commit(1, [MuchChanged()], "others"))
    assert not rules.wrote(TEXT)
    catalog.hear(Commit(2, []))
    assert rules.wrote(TEXT)
    catalog.hear(Commit(3, []))


def test_the_digest_is_of_what_a_definition_says_in_its_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"a": 1, "b": 2}) != digest_of({"b": 2, "a": 1})
