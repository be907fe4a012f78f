"""stepglass worker: works on a PostgreSQL database, without a page and a data directory, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import click
import uvloop

from app.cli.log_setup import log_to_stderr
from app.cli.options import read_settings, setting
from app.cli.refusals import refusals
from app.cli.stopping import Stopping
from app.cli.terminal_text import plain
from app.settings import Settings
from app.work.runner import Runner
from app.working import Worker, open_worker


@click.command
@setting("database", "URL")
@setting("engine", "ENGINE")
@setting("step_types", "TYPE,...")
@setting("slots", "N")
@setting("name", "NAME")
@setting("steps", "PATH")
@setting("limits", "TYPE=LIMIT,...")
@setting("definitions", "DIR")
@setting("lease", "SECONDS")
@setting("grace", "SECONDS")
def worker(**options: str | None) -> None:
    """Work on a PostgreSQL database that servers share, on this or any other machine.

    It has no page and no data directory. SIGTERM or Ctrl-C lets what runs end within its grace, and gives the rest
    back; a second signal gives it back at once. Bulk actions are carried out by servers, and by workers that are given
    the definitions.
    """
    log_to_stderr()
    settings = read_settings(**options)
    with (
        refusals(),
        open_worker(settings) as opened,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_work(opened, settings))


async def _work(worker: Worker, settings: Settings) -> None:
    told, runners, beginning = asyncio.Event(), list[Runner](), asyncio.current_task()

    def stop(hurry: bool) -> None:
        told.set()
        for runner in runners:
            runner.told_to_stop(hurry)
        if not (runners or hurry) and beginning:
            beginning.cancel()  # it may wait for a database that has just gone away

    stopping, loop = Stopping(stop), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.signalled, number)
    try:
        await _work_until(told, runners, worker, settings)
    except asyncio.CancelledError:
        if runners or not told.is_set():
            raise
        click.echo(f"Worker {_name(settings)} has ended before it began to work")


async def _work_until(told: asyncio.Event, runners: list[Runner], worker: Worker, settings: Settings) -> None:
    name = _name(settings)
    async with worker.working() as runner:
        runners.append(runner)
        offers = f"all {len(worker.step_types)}" if not settings.step_types else ", ".join(worker.step_types)
        click.echo(f"Worker {name} works on {worker.database}: {settings.slots} slots; step types: {plain(offers)}")
        await told.wait()
    click.echo(f"Worker {name} has ended: {_said(runner.given_back)}")


def _name(settings: Settings) -> str:
    return plain(settings.name or f"{socket.gethostname()}, process {os.getpid()}")


def _said(given_back: int | None) -> str:
    if given_back is None:
        return "what it ran could not be given back, and will be taken over"
    if not given_back:
        return "nothing had to be given back"
    return f"{given_back:,} work item{'s' if given_back != 1 else ''} given back"
