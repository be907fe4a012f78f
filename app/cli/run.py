"""stepglass run: one run of a definition, from its start to its end.

Where a server owns the data directory the run is handed to it and followed from outside; otherwise it runs right here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import click
import uvloop

from app import steps
from app.cli.log_setup import log_to_stderr
from app.cli.options import PRIORITY, parameter_option, read_settings, setting
from app.cli.owner import here_or_there
from app.cli.plans import absolute
from app.cli.progress import Progress, progress_for
from app.cli.refusals import Refusal, refusals
from app.cli.running import Running
from app.cli.running_here import started_here
from app.cli.running_there import started_there
from app.cli.terminal_text import plain
from app.queue.ownership import Owner
from app.queue.status import Status
from app.settings import Settings
from app.web.json_shapes import Tree
from app.work.definitions import read_entry
from app.work.own_step_types import load_step_types

EXIT_STATUS = {Status.COMPLETED: 0, Status.FAILED: 1, Status.CANCELLED: 3}


@click.command
@click.argument("definition")
@parameter_option
@setting("data", "DIR")
@setting("database", "URL")
@setting("slots", "N")
@setting("limits", "TYPE=LIMIT,...")
@setting("synchronous", "NORMAL|FULL")
@setting("definitions", "DIR")
@setting("steps", "PATH")
@click.option("--priority", type=PRIORITY, metavar="N", help="Instead of the definition's; the higher goes first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else.")
def run(
    definition: str, parameters: dict[str, str], priority: int | None, as_json: bool, **options: str | None
) -> None:
    """Run DEFINITION, an id or the path of a .toml file, and follow it to its end.

    Exit status: 0 completed, 1 failed, 2 could not be started, 3 cancelled. Ctrl-C cancels the run.
    """
    log_to_stderr(logging.WARNING)
    settings = read_settings(**options)
    if settings.slots == 0:
        raise click.UsageError("--slots 0 runs nothing; give it at least 1")
    definition = _checked(definition, settings)
    with refusals(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tree = runner.run(_follow(settings, definition, parameters, priority, progress_for(as_json)))
    raise click.exceptions.Exit(EXIT_STATUS[tree.job.status])


def _checked(definition: str, settings: Settings) -> str:
    """An id as it is. A file has to be valid; its path is made absolute, for a reader in another working directory."""
    if not definition.endswith(".toml"):
        return definition
    path = absolute(definition)
    if problems := read_entry(path, load_step_types(steps, settings.steps).types).problems:
        raise Refusal("\n".join(map(str, problems)))
    return str(path)


async def _follow(
    settings: Settings, definition: str, parameters: dict[str, str], priority: int | None, progress: Progress
) -> Tree:
    async with _started(settings, definition, parameters, priority) as running:
        watching = asyncio.create_task(_watch(running, progress))
        cancelling = _cancel_on_signals(running, watching)
        try:
            tree = await watching
        except asyncio.CancelledError:
            await asyncio.gather(*cancelling)  # raises why the run could not be cancelled
            raise
        progress.end(tree)
        return tree


async def _watch(running: Running, progress: Progress) -> Tree:
    with progress:
        async for tree, tail in running.watch():
            progress.show(tree, tail)
    return tree


@asynccontextmanager
async def _started(
    settings: Settings, definition: str, parameters: dict[str, str], priority: int | None
) -> AsyncIterator[Running]:
    with ExitStack() as stack:
        place = await here_or_there(settings, stack, plain(f"stepglass run {definition}"))
        if isinstance(place, Owner):
            async with started_there(place, definition, parameters, settings.steps, priority) as running_there:
                yield running_there
        else:
            async with started_here(place, definition, parameters, priority) as running_here:
                yield running_here


def _cancel_on_signals(running: Running, watching: asyncio.Task[Tree]) -> list[asyncio.Task[None]]:
    """The first Ctrl-C cancels the run; if that cannot be done nobody waits for its end. Another one ends this program
    at once."""
    loop = asyncio.get_running_loop()
    cancelling: list[asyncio.Task[None]] = []

    def cancelled(task: asyncio.Task[None]) -> None:
        if task.exception():
            watching.cancel()

    def cancel() -> None:
        task = loop.create_task(running.cancel())
        task.add_done_callback(cancelled)
        cancelling.append(task)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
    return cancelling
