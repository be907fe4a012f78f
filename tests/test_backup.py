"""stepglass backup and restore."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.queue import audit
from app.queue.backup import BackupTrouble, back_up, restore
from app.queue.database import Database
from app.queue.ownership import SERVER, owning
from app.queue.run_plan import StepPlan
from app.queue.schema import bring_up_to_date
from tests.queue.conftest import Queue
from tests.queue.storage_faults import damaged_file
from tests.stepglass import COMMAND, serving, stepglass

STEP = StepPlan("one", "trial")


def called(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], env={"STEPGLASS_DATA": None})


def a_queue(directory: Path) -> Database:
    directory.mkdir(exist_ok=True)
    database = Database.in_directory(directory)
    bring_up_to_date(database)
    return database


def definitions_in(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / "stepglass.db")) as connection:
        return [name for (name,) in connection.execute("SELECT definition FROM manager_job ORDER BY id")]


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_a_backup_under_load_has_everything_acknowledged_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.backup.PAGES_AT_ONCE", 1)
    database, elsewhere = a_queue(tmp_path / "data"), tmp_path / "elsewhere"
    queue = Queue(database)
    before = [f"before {number}" for number in range(50)]
    for name in before:
        await queue.start(STEP, definition=name)
    backing_up = asyncio.create_task(asyncio.to_thread(back_up, tmp_path / "data" / "stepglass.db", tmp_path / "copy"))
    started = 0
    while not backing_up.done():
        await queue.start(STEP, definition=f"meanwhile {started}")
        started += 1
    made = await backing_up
    await queue.write.close()
    database.close()
    assert started > 3  # nobody was held up
    elsewhere.mkdir()
    restored, kept = restore(made.file, elsewhere / "stepglass.db")
    assert (restored.revision, kept) == (made.revision, None)
    again = Database.in_directory(elsewhere)
    assert audit.check(again) == []
    again.close()
    names = definitions_in(elsewhere)
    assert names[:50] == before
    assert names[50:] == [f"meanwhile {number}" for number in range(len(names) - 50)]  # one moment, no gap


def test_the_command_backs_up_a_server_that_runs_and_restores_when_it_has_stopped(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "monday.db"
    with serving(data):
        made = stepglass("backup", file, "--data", data, program=COMMAND)
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.startswith(f"{file}: revision 1, ")
        refused = called("restore", file, "--data", data)
        assert refused.exit_code == 2
        assert "is in use by stepglass serve" in refused.output
    with closing(sqlite3.connect(data / "stepglass.db")) as changed, changed:
        changed.execute("UPDATE sequence SET value = 77 WHERE name = 'revision'")
    restored = called("restore", file, "--data", data)
    assert restored.exit_code == 0, restored.output
    assert "restored from" in restored.output
    (kept,) = [name for name in names_in(data) if name.startswith("stepglass.db.2")]
    assert kept in restored.output
    with closing(sqlite3.connect(data / kept)) as before:
        assert before.execute("SELECT value FROM sequence WHERE name = 'revision'").fetchone() == (77,)
    assert called("check", "--data", data).exit_code == 0


def test_a_backup_does_not_take_the_place_of_a_file_unless_told_to(tmp_path: Path) -> None:
    a_queue(tmp_path / "data").close()
    file = tmp_path / "copy"
    file.write_text("precious")
    refused = called("backup", file, "--data", tmp_path / "data")
    assert refused.exit_code == 2
    assert "exists. Name another file, or say --overwrite." in " ".join(refused.output.split())
    assert file.read_text() == "precious"
    assert called("backup", file, "--overwrite", "--data", tmp_path / "data").exit_code == 0
    assert restore(file, tmp_path / "stepglass.db")[0].file == file


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("data/stepglass.db", "is the database itself"),
        ("data", "is a folder"),
        ("nowhere/copy", "nowhere cannot be written: No such file or directory"),
    ],
)
def test_where_no_backup_can_be_made_is_told(tmp_path: Path, file: str, words: str) -> None:
    a_queue(tmp_path / "data").close()
    refused = called("backup", tmp_path / file, "--overwrite", "--data", tmp_path / "data")
    assert refused.exit_code == 2
    assert words in " ".join(refused.output.split())


def test_a_full_disk_leaves_no_half_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_queue(tmp_path / "data").close()
    connect = sqlite3.connect

    def small(*arguments: object, **named: object) -> sqlite3.Connection:
        connection = connect(*arguments, **named)  # type: ignore[call-overload]
        if "part" in str(arguments[0]):
            connection.execute("PRAGMA max_page_count = 5")
        return connection  # type: ignore[no-any-return]

    monkeypatch.setattr(sqlite3, "connect", small)
    (tmp_path / "there").mkdir()
    with pytest.raises(BackupTrouble, match=r"There is no room for it in .*there"):
        back_up(tmp_path / "data" / "stepglass.db", tmp_path / "there" / "copy")
    assert names_in(tmp_path / "there") == []


async def test_a_damaged_database_makes_no_backup_and_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    database = a_queue(tmp_path / "data")
    queue = Queue(database)
    for number in range(20):
        await queue.start(STEP, definition=f"run {number}")
    await queue.write.close()
    source, file = tmp_path / "data" / "stepglass.db", tmp_path / "copy"
    with damaged_file(database), pytest.raises(BackupTrouble, match="is damaged"):
        back_up(source, file)
    assert names_in(tmp_path) == ["data"]
    back_up(source, file)
    database.close()
    before = source.read_bytes()
    file.write_bytes(file.read_bytes()[:8192] + b"\xa5" * 4096 + file.read_bytes()[12288:])
    with pytest.raises(BackupTrouble, match=r"copy is damaged"):
        restore(file, source)
    file.write_text("not a database")
    with pytest.raises(BackupTrouble, match=r"copy is damaged"):
        restore(file, source)
    assert source.read_bytes() == before
    assert names_in(tmp_path / "data") == ["stepglass.db"]


async def test_numbers_that_do_not_agree_make_no_backup(tmp_path: Path) -> None:
    queue = Queue(a_queue(tmp_path / "data"))
    await queue.start(STEP)
    await queue.write.close()
    queue.database.close()
    with closing(sqlite3.connect(tmp_path / "data" / "stepglass.db")) as database, database:
        database.execute("UPDATE step_counter SET number = number + 1 WHERE status = 'completed'")
    with pytest.raises(BackupTrouble, match="the counter says 1 completed, there are 0"):
        back_up(tmp_path / "data" / "stepglass.db", tmp_path / "copy")
    assert names_in(tmp_path) == ["data"]


def test_a_backup_takes_the_place_of_a_damaged_database(tmp_path: Path) -> None:
    database = a_queue(tmp_path / "data")
    database.close()
    back_up(tmp_path / "data" / "stepglass.db", tmp_path / "copy")
    (tmp_path / "data" / "stepglass.db").write_bytes(b"rubbish")
    assert called("restore", tmp_path / "copy", "--data", tmp_path / "data").exit_code == 0
    assert called("check", "--data", tmp_path / "data").exit_code == 0


def test_a_backup_of_a_newer_stepglass_is_refused(tmp_path: Path) -> None:
    a_queue(tmp_path / "data").close()
    with closing(sqlite3.connect(tmp_path / "data" / "stepglass.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BackupTrouble, match="written by a newer Stepglass"), owning(tmp_path / "other", SERVER):
        restore(tmp_path / "data" / "stepglass.db", tmp_path / "other" / "stepglass.db")
    assert names_in(tmp_path / "other") == ["owner.json"]
