"""Several servers on one PostgreSQL: each shows what the others did, and all of them work."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from app.queue.database import Database
from tests.stepglass import definitions, serving, stepglass
from tests.work.runners import engine_option


@pytest.fixture
def address(postgres_database: str) -> str:
    return postgres_database.replace("postgresql+psycopg", "postgresql")


def test_who_sleeps_in_the_midst_of_a_transaction_holds_the_others_up_for_its_lease_at_most(
    postgres_database: str,
) -> None:
    sleeper, other = Database(postgres_database, lease=0.5), Database(postgres_database)
    with sa.create_engine(postgres_database, poolclass=sa.NullPool).begin() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.execute(sa.text(f"ALTER DATABASE {name} SET lock_timeout = '5s'"))  # less than what is usual
    with sleeper.writing.connect() as asleep:
        asleep.begin()
        with other.writing.begin():
            pass
        with pytest.raises(sa.exc.DBAPIError, match="idle-in-transaction timeout"):
            asleep.execute(sa.text("SELECT 1"))
    sleeper.close()
    other.close()


def test_a_viewer_of_one_server_sees_what_another_one_did(tmp_path: Path, address: str) -> None:
    ours = definitions(tmp_path / "definitions")
    options = ("--database", address, "--definitions", ours, *engine_option())
    with (
        serving(tmp_path / "a", *options, "--slots", "0") as a,
        serving(tmp_path / "b", *options) as b,
        httpx.Client(base_url=a.url, timeout=20) as client,
        client.stream("GET", "/api/events") as events,
    ):
        lines = events.iter_lines()
        assert next(lines) == ": following"
        started = httpx.post(f"{b.url}/api/jobs", json={"definition": "quick"}).raise_for_status().json()
        updates = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        for update in updates:
            if update["context"] == "job" and update["status"] == "completed":
                break
        job = client.get(f"/api/jobs/{started['job_id']}").json()
        assert (job["status"], job["counts"]["completed"]) == ("completed", 3)
    checked = stepglass("check", "--database", address)
    assert checked.returncode == 0, checked.stdout + checked.stderr
