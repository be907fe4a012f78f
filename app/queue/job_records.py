"""Runs and steps as lists of jobs show them."""

from __future__ import annotations

from app.queue.models import Kind
from app.queue.records import JobRecord, RunRecord, StepRecord
from app.queue.status import Status


def manager_record(run: RunRecord) -> JobRecord:
    """A run as a list of jobs shows it."""
    return JobRecord(
        id=run.id,
        kind=Kind.MANAGER,
        name=run.name,
        status=run.status,
        reason=run.reason,
        definition=run.definition,
        manager_id=run.id,
        step_id=None,
        step_name=None,
        attempt=0,
        error=run.reason if run.status is Status.FAILED else None,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        document_count=run.document_count,
        counts=run.counts,
        priority=run.priority,
        held_by=run.held_by,
        open_failures=run.open_failures,
    )


def step_record(run: RunRecord, step: StepRecord) -> JobRecord:
    """A step as a list of jobs shows it."""
    return JobRecord(
        id=step.id,
        kind=Kind.STEP,
        name=step.name,
        status=step.status,
        reason=step.reason,
        definition=run.definition,
        manager_id=run.id,
        step_id=step.id,
        step_name=step.name,
        attempt=0,
        error=step.reason if step.status is Status.FAILED else None,
        created_at=step.created_at,
        started_at=step.started_at,
        finished_at=step.finished_at,
        document_count=step.document_count,
        counts=step.counts,
        held_by=step.held_by,
        open_failures=step.open_failures,
        acknowledgement=step.acknowledgement,
    )
