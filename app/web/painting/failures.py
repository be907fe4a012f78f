"""What failed in a run, grouped by what the failures say."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from app.queue.models import Kind
from app.queue.records import FailureGroup, RunRecord
from app.queue.status import Status
from app.web import dom
from app.web.painting.counts import Count, Scope
from app.web.pieces import Painter, Piece


def paint_failures(painter: Painter, run: RunRecord, groups: Sequence[FailureGroup]) -> Piece:
    """The groups with the newest failures first. Without any, a place that is hidden."""
    entries = [painter.once(paint_group, group) for group in groups]
    shown = sum(group.count for group in groups)
    failed = Count(Scope.of_run(run), Kind.WORKER, Status.FAILED, run.counts.failed)
    children = {"groups": painter.list("failure_groups.html", dom.job(run.id, "failure-groups"), entries)}
    return painter.piece("run_failures.html", dom.job(run.id, "failures"), children, failed=failed, shown=shown)


def paint_group(painter: Painter, group: FailureGroup) -> Piece:
    key = f"{crc32(group.pattern.encode()):08x}"
    alike = dom.jobs_url(
        kind=Kind.WORKER,
        status=Status.FAILED,
        manager_id=group.manager_id,
        step=group.step_name,
        failure=dom.failure(group.pattern),
    )
    open_alike = dom.jobs_url(
        kind=Kind.WORKER,
        manager_id=group.manager_id,
        step=group.step_name,
        failure=dom.failure(group.pattern),
        open="true",
    )
    return painter.piece(
        "failure_group.html",
        dom.job(group.step_id, f"failure-{key}"),
        group=group,
        scope=f"failure:{group.step_id}:{key}",
        url=dom.job_url(group.step_id),
        alike=alike,
        open_alike=open_alike,
        acknowledge=dom.acknowledgement_url(group.step_id, group.pattern),
        retry=dom.with_query(f"{dom.job_url(group.step_id)}/retries/new", {"failure": dom.failure(group.pattern)}),
    )
