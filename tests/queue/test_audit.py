"""The audit finds whatever is made wrong behind the store's back."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.queue import audit
from app.queue.database import Database
from app.queue.run_plan import StepPlan
from app.queue.store.logging import Line, log
from tests.bench.filled import fill
from tests.queue.conftest import Queue


@pytest.mark.parametrize(
    ("wrong", "drift"),
    [
        (
            "UPDATE step_counter SET number = 7 WHERE status = 'completed'",
            "step 2: the counter says 7 completed, there are 1",
        ),
        ("DELETE FROM step_counter WHERE status = 'failed'", "step 2: no counter for failed"),
        ("DELETE FROM failure_group", "step 2: 0 failures are grouped as 'boom', there are 1"),
        ("UPDATE failure_group SET number = 2", "step 2: 2 failures are grouped as 'boom', there are 1"),
        (
            "UPDATE worker_job SET failure_pattern = 'bang' WHERE status = 'failed'",
            "step 2: 1 failures are counted as 'boom', 0 are noted",
        ),
        ("DELETE FROM open_failure", "step 2: 0 failures are counted as open, 1 are"),
        (
            "UPDATE failure_group SET acknowledged = 1",
            "step 2: 1 failures of 'boom' are counted as acknowledged, 0 are",
        ),
        ("INSERT INTO planning_failure (step_id) VALUES (2)", "step 2: it is noted among those whose planning failed"),
        ("UPDATE step_job SET document_count = 2", "step 2: it says 2 documents, there are 0"),
        ("UPDATE minute_counter SET number = 0", "minute "),
        ("DELETE FROM log_entry WHERE line = 2", "step 2: it says 4 log lines, there are 3"),
        ("UPDATE log_entry SET line = 9 WHERE line = 2", "step 2: 4 log lines are numbered 1..9"),
        (
            "UPDATE log_counter SET number = 7 WHERE level = 'info'",
            "step 2: the counter says 7 info lines, there are 3",
        ),
        ("DELETE FROM log_counter WHERE level = 'warn'", "step 2: no counter for warn lines"),
        (
            "UPDATE worker_job SET finished_at = NULL WHERE status = 'completed'",
            "work item 3: completed, but has no end",
        ),
        ("UPDATE worker_job SET finished_at = 1 WHERE id = 3", "work item 3: it ended before it started"),
        ("UPDATE manager_job SET status = 'running'", "job 1: all its steps are final, but it is still running"),
        ("UPDATE manager_job SET finished_at = NULL", "job 1: completed, but has no end"),
        ("UPDATE step_job SET status = 'pending'", "job 1: completed, but not all of its steps are final"),
        ("UPDATE step_job SET status = 'running'", "step 2: all its work items are final, but it is still running"),
        ("UPDATE step_job SET reason = ''", "step 2: completed, but does not say why"),
        ("UPDATE sequence SET value = 2 WHERE name = 'job'", "work item 4: its id was never handed out"),
    ],
)
async def test_a_drift_is_found(database: Database, wrong: str, drift: str) -> None:
    queue = Queue(database)
    await queue.start(StepPlan("one", "trial"))
    (step_id,) = await queue.plan_all("a", "b")
    first, second = await queue.claim(step_id)
    await queue.write(log, [Line(step_id, first.id, 0.0, "info", "one"), Line(step_id, None, 0.0, "info", "two")])
    await queue.complete(first)
    await queue.fail(second)
    await queue.write.close()
    assert audit.check(database) == []
    with database.writing.begin() as connection:
        connection.execute(sa.text(wrong))
    assert any(found.startswith(drift) for found in audit.check(database))


def test_what_the_benchmarks_fill_in_is_sound(tmp_path: Path) -> None:
    """They do without the store, and would not be run for months while the tables change."""
    fill(tmp_path, 200)
    database = Database.in_directory(tmp_path)
    assert audit.check(database) == []
    database.close()
