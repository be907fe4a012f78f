"""The tables as SQLAlchemy Core sees them, for the statements of the store and the snapshot."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlmodel import SQLModel

from app.queue import (
    bulk_models,
    control_models,
    document_index,
    failure_models,
    limit_models,
    models,
    owner_models,
    postgres_document_index,
)

metadata = SQLModel.metadata


def _table(model: type[SQLModel]) -> sa.Table:
    return metadata.tables[str(model.__tablename__)]


step_type_limit = _table(limit_models.StepTypeLimit)
limit_state = _table(limit_models.LimitRow)
step_wait = _table(limit_models.StepWait)
manager_job = _table(models.ManagerJob)
run_tag = _table(models.RunTag)
step_job = _table(models.StepJob)
worker_job = _table(models.WorkerJob)
attempt = _table(models.Attempt)
step_counter = _table(models.StepCounter)
log_counter = _table(models.LogCounter)
failure_group = _table(models.FailureGroupRow)
minute_counter = _table(models.MinuteCounter)
log_entry = _table(models.LogEntry)
document = _table(models.DocumentRow)
document_tag = _table(models.DocumentTag)
switched_off_definition = _table(control_models.SwitchedOffDefinition)
page_text = _table(control_models.PageText)
schedule = _table(control_models.ScheduleRow)
schedule_tick = _table(control_models.ScheduleTick)
sequence = _table(models.Sequence)
acknowledgement = _table(failure_models.AcknowledgementRow)
open_failure = _table(failure_models.OpenFailureCounter)
planning_failure = _table(failure_models.PlanningFailure)
frozen_set = _table(bulk_models.FrozenSet)
frozen_job = _table(bulk_models.FrozenJob)
action = _table(control_models.ActionRow)
pause = _table(control_models.PauseRow)
owner = _table(owner_models.OwnerRow)


def _ddl(statement: str, dialect: str) -> Any:
    made: Any = sa.DDL(statement)  # type: ignore[no-untyped-call]
    return made.execute_if(dialect=dialect)


for _statement in document_index.CREATE:
    sa.event.listen(document, "after_create", _ddl(_statement, "sqlite"))
for _statement in (*postgres_document_index.TABLE, *postgres_document_index.INDEXES):
    sa.event.listen(document, "after_create", _ddl(_statement, "postgresql"))
for _dialect in ("sqlite", "postgresql"):
    sa.event.listen(document, "before_drop", _ddl(document_index.DROP, _dialect))
