"""What failed in a run, grouped by what the failures say."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from app.queue.records import FailureGroup, RunRecord
from app.web import dom
from app.web.pieces import Painter, Piece


def paint_failures(painter: Painter, run: RunRecord, groups: Sequence[FailureGroup]) -> Piece:
    """The groups with the newest failures first. Without any, a place that is hidden."""
    entries = [painter.once(paint_group, group) for group in groups]
    shown = sum(group.count for group in groups)
    children = {"groups": painter.list("failure_groups.html", dom.job(run.id, "failure-groups"), entries)}
    return painter.piece("run_failures.html", dom.job(run.id, "failures"), children, run=run, shown=shown)


def paint_group(painter: Painter, group: FailureGroup) -> Piece:
    group_id = dom.job(group.step_id, f"failure-{crc32(group.pattern.encode()):08x}")
    return painter.piece("failure_group.html", group_id, group=group, url=dom.job_url(group.step_id))
