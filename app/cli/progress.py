"""How a followed run is shown: live on a terminal, as plain lines elsewhere, as one JSON object, each to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

import click
import msgspec

from app.cli.terminal_text import plain
from app.queue.status import Status
from app.web.json_shapes import Line, StepTree, Tree

REMINDER = 5.0
"""Seconds between two plain lines about a step that goes on."""


class Progress(AbstractContextManager["Progress"]):
    """Shows a run while it goes on, and how it ended. This one waits for the end and prints JSON."""

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, tree: Tree, tail: Sequence[Line]) -> None:
        """Called whenever the run has changed."""

    def end(self, tree: Tree) -> None:
        """Called once, with the run as it ended."""
        shape = msgspec.to_builtins(tree)
        click.echo(msgspec.json.encode({**shape.pop("job"), **shape}))


class PlainProgress(Progress):
    """A line whenever a step changes its status, and now and then while it goes on."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[Status, float]] = {}

    def show(self, tree: Tree, tail: Sequence[Line]) -> None:
        for step in tree.steps:
            status, said_at = self._said.get(step.id, (Status.PENDING, 0.0))
            now = time.monotonic()
            if step.status is not status or (step.status is Status.RUNNING and now - said_at > REMINDER):
                click.echo(plain(sentence(step)))
                self._said[step.id] = (step.status, now)

    def end(self, tree: Tree) -> None:
        for failure in tree.failures:
            click.echo(plain(f"{failure.count:,} failed in {failure.step_name}: {failure.message}"))
        click.echo(plain(f"{tree.job.definition} {tree.job.status}: {tree.job.reason}"))


class LiveProgress(PlainProgress):
    """The steps with their counts, and the newest log lines, painted over and over."""

    def __init__(self) -> None:
        super().__init__()
        from rich.live import Live

        self._live = Live(auto_refresh=False, transient=False)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, tree: Tree, tail: Sequence[Line]) -> None:
        from app.cli.picture import picture

        self._live.update(picture(tree, tail), refresh=True)


def progress_for(as_json: bool) -> Progress:
    """The one that suits where stdout goes."""
    if as_json:
        return Progress()
    return LiveProgress() if sys.stdout.isatty() else PlainProgress()


def sentence(step: StepTree) -> str:
    """A step in one line, with its counts while it runs and its reason when it has ended."""
    counts = step.counts
    if step.status is not Status.RUNNING:
        return f"{step.name} {step.status}: {step.reason}"
    if not counts.total:
        return f"{step.name} running: {step.reason}"
    done = counts.total - counts.pending - counts.running
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{step.name} running: {done:,} of {counts.total:,} done{failed}"
