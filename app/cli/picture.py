"""The picture of a run on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.cli.terminal_text import plain
from app.queue.models import Level
from app.queue.status import Status
from app.web.json_shapes import Line, StepTree, Tree

_SIGNS = {
    Status.PENDING: ("○", "dim"),
    Status.RUNNING: ("▶", "cyan"),
    Status.COMPLETED: ("✔", "green"),
    Status.FAILED: ("✘", "red"),
    Status.CANCELLED: ("■", "yellow"),
    Status.SKIPPED: ("»", "dim"),
}
_STYLES = {Level.DEBUG: "dim", Level.INFO: "", Level.WARN: "yellow", Level.ERROR: "red"}


def picture(tree: Tree, tail: Sequence[Line]) -> RenderableType:
    """The run, its steps with their counts, and the newest log lines."""
    job = tree.job
    head = Text.assemble(
        _sign(job.status), f" {plain(job.name)} (job {job.id}) {job.status}", (f"  {plain(job.reason)}", "dim")
    )
    return Group(head, _steps(tree.steps), *(_line(each) for each in tail))


def _steps(steps: Sequence[StepTree]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for title in ("", "step", "done", "running", "pending", "failed", "why"):
        numeric = title in ("done", "running", "pending", "failed")
        table.add_column(title, justify="right" if numeric else "left", header_style="dim", no_wrap=title != "why")
    for step in steps:
        counts = step.counts
        shown = (counts.completed, counts.running, counts.pending, counts.failed)
        numbers = [f"{each:,}" if each else "" for each in shown]
        table.add_row(_sign(step.status), Text(plain(step.name)), *numbers, Text(plain(step.reason), "dim"))
    return table


def _line(line: Line) -> Text:
    said = f"{line.at.astimezone():%H:%M:%S} {line.level:5} {line.step_name}  {line.message}"
    text = Text(plain(said), _STYLES[line.level], no_wrap=True, overflow="ellipsis")
    text.truncate(500)
    return text


def _sign(status: Status) -> Text:
    return Text(*_SIGNS[status])
