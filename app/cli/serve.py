"""stepglass serve: the server in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import click
import uvicorn

from app.cli.log_setup import log_to_stderr
from app.cli.options import parameter_option, read_settings, setting, switch
from app.cli.plans import plan_or_refuse
from app.cli.refusals import Refusal, refusals
from app.cli.stopping import Stopping
from app.main import create_app, open_stepglass
from app.queue.actor import Actor, Place
from app.queue.ownership import SERVER
from app.queue.run_plan import RunPlan
from app.queue.store.control import start_as
from app.queue.store.start import AlreadyRunning, StartRefused
from app.settings import Settings
from app.web.access import Access

GRACEFUL_SHUTDOWN = 5
"""Seconds that open requests get to end."""
PATIENCE = 120
"""Seconds for which a reader may take nothing of what was sent to it before its connection is given up."""


@click.command
@setting("host", "ADDRESS")
@setting("port", "N")
@setting("data", "DIR")
@setting("database", "URL")
@setting("engine", "ENGINE")
@setting("slots", "N")
@setting("step_types", "TYPE,...")
@setting("name", "NAME")
@setting("grace", "SECONDS")
@setting("limits", "TYPE=LIMIT,...")
@setting("synchronous", "NORMAL|FULL")
@setting("allowed_hosts", "NAME,...")
@setting("definitions", "DIR")
@setting("steps", "PATH")
@setting("keep_days", "N")
@setting("keep_runs", "N")
@switch("edit_definitions")
@switch("edit_unsafe_steps")
@click.option("--run", "definition", metavar="DEFINITION", help="A definition to start once the server is ready.")
@parameter_option
def serve(definition: str | None, parameters: dict[str, str], **options: str | None) -> None:
    """Run the server: the page, the API, and the work."""
    if parameters and not definition:
        raise click.UsageError("--set is for the definition that --run names.")
    log_to_stderr()
    gc.disable()  # until the app is up: what is made till then stays
    settings = read_settings(**options)
    _exit_calmly_on_signals()
    with refusals(), open_stepglass(settings, SERVER) as stepglass:
        plan = plan_or_refuse(stepglass, definition, parameters) if definition else None
        listener = _listen(settings)
        url = _url(listener)
        app = create_app(settings, stepglass)

        async def ready() -> None:
            stepglass.ownership.announce(url)
            click.echo(f"Stepglass is at {url}/queue")
            if plan:
                await _begin(app.state.access, plan, url)

        def told_to_stop(hurry: bool) -> None:
            app.state.access.told_to_stop(hurry)

        _Server(_config(app), ready, told_to_stop).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is ready, and when it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], Awaitable[None]], told_to_stop: Callable[[bool], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._told_to_stop = told_to_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping = Stopping(self._stop)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.signalled(sig)
        if not self.force_exit:
            super().handle_exit(sig, frame)

    def _stop(self, hurry: bool) -> None:
        self.force_exit = hurry  # does not wait for open connections; see shutdown for what else it does
        if self._loop:
            self._loop.call_soon_threadsafe(self._told_to_stop, hurry)
        elif self._starting:  # it may wait for a database that has just gone away
            self._starting.get_loop().call_soon_threadsafe(self._starting.cancel)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:  # then uvicorn has left this out, and what runs would not be given back
            await self.lifespan.shutdown()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._starting = asyncio.create_task(super().startup(sockets))
        await asyncio.wait([self._starting])
        if self._starting.cancelled():
            self.lifespan.logger.disabled = True  # it would tell at length what was left, and that is of no interest
            click.echo("Stepglass has ended before it served")
            return
        self._starting.result()
        if self.started:
            self._loop = asyncio.get_running_loop()
            await self._ready()


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
    )


async def _begin(access: Access, plan: RunPlan, url: str) -> None:
    try:
        job_id = await access.writer(start_as, plan, Actor(Place.COMMAND_LINE))
        click.echo(f"{plan.definition} is job {job_id}: {url}/jobs/{job_id}")
    except AlreadyRunning as running:
        click.echo(f"{plan.definition} is still running from before: {url}/jobs/{running.manager_id}")
    except StartRefused as refusal:
        click.echo(f"{plan.definition} was not started: {refusal}")


def _listen(settings: Settings) -> socket.socket:
    """Takes the port before anything else begins. Raises Refusal."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Handed down to every connection. A stream whose reader is stuck is cut long before, but what it was sent waits
        # in its socket, which would stay open for as long as the reader does.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * PATIENCE)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise Refusal(
            f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}. Choose another one with "
            f"--port or STEPGLASS_PORT (0 takes any free one), or stop the program that has it."
        ) from error
    listener.set_inheritable(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit_calmly_on_signals() -> None:
    """Uvicorn stops gracefully on these signals, then raises them again: that is the moment to exit, with success."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
