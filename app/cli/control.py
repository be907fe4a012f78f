"""stepglass cancel, retry, rerun, pause, resume, priority, acknowledge, delete: what the page can do, on the command
line.

Each is one call of the API: of the server that owns the data directory, or, where none does, of one that answers in
this process, without a port and without anybody who works.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

import click
import httpx
import msgspec

from app.cli.log_setup import log_to_stderr
from app.cli.options import PRIORITY, read_settings, setting
from app.cli.owner import here_or_there
from app.cli.plans import not_startable
from app.cli.refusals import Refusal, refusals
from app.cli.terminal_text import plain
from app.main import create_app
from app.queue.database import Database
from app.queue.ownership import Owner
from app.queue.places import LARGEST
from app.queue.store.delete import delete_run
from app.settings import Settings
from app.web.json_shapes import Error
from app.web.who import COMMAND_LINE, NAME, PLACE

F = TypeVar("F", bound=Callable[..., Any])
JOB = click.IntRange(1, LARGEST)
WAITS = "Nothing works here now: it goes on when a server owns the data directory."


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API. `begins`: whether it lets work begin, for which somebody has to work."""

    method: str
    path: str
    query: Mapping[str, str]
    begins: bool = False
    deletes: int | None = None
    """The run whose rows have to go."""
    body: Mapping[str, Any] | None = None


def common_options(command: F) -> F:
    command = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")(command)
    for name, metavar in (("steps", "PATH"), ("definitions", "DIR"), ("data", "DIR")):
        command = setting(name, metavar)(command)
    return command


@click.command
@click.argument("job", type=JOB)
@common_options
def cancel(job: int, as_json: bool, **options: str | None) -> None:
    """Cancel JOB: a run or a step with everything in it that has not ended, or one work item."""
    carry_out(Call("POST", f"/api/jobs/{job}/cancellation", {}), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--pattern", metavar="TEXT", help="Only the failure group of this pattern, of a step.")
@click.option("--cancelled", is_flag=True, help="Also what a person cancelled.")
@common_options
def retry(job: int, pattern: str | None, cancelled: bool, as_json: bool, **options: str | None) -> None:
    """Let what failed of JOB run again: of a run or a step, or one work item. What succeeded is kept."""
    query = {"pattern": pattern or "", "cancelled": "true" if cancelled else ""}
    carry_out(Call("POST", f"/api/jobs/{job}/retries", query, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--from", "first", metavar="STEP", help="Start from this step; what those before it made is taken.")
@click.option("--now", is_flag=True, help="With the definition as it is now, not as it was.")
@common_options
def rerun(job: int, first: str | None, now: bool, as_json: bool, **options: str | None) -> None:
    """Start a new run that repeats run JOB, with its parameters."""
    query = {"from_step": first or "", "as_now": "true" if now else ""}
    carry_out(Call("POST", f"/api/jobs/{job}/reruns", query, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB, required=False)
@click.option("--definition", metavar="ID", help="All runs of this definition.")
@click.option("--queue", is_flag=True, help="All runs.")
@common_options
def pause(job: int | None, definition: str | None, queue: bool, as_json: bool, **options: str | None) -> None:
    """Begin nothing more of run JOB, of a definition, or of the whole queue. What runs finishes."""
    carry_out(Call("POST", _pause_path(job, definition, queue), {}), as_json, options)


@click.command
@click.argument("job", type=JOB, required=False)
@click.option("--definition", metavar="ID", help="All runs of this definition.")
@click.option("--queue", is_flag=True, help="All runs.")
@common_options
def resume(job: int | None, definition: str | None, queue: bool, as_json: bool, **options: str | None) -> None:
    """Go on with run JOB, with a definition, or with the whole queue, after a pause."""
    carry_out(Call("DELETE", _pause_path(job, definition, queue), {}, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB)
@common_options
def delete(job: int, as_json: bool, **options: str | None) -> None:
    """Delete run JOB, which is over, with its work items and logs. The documents that it made stay."""
    carry_out(Call("DELETE", f"/api/jobs/{job}", {}, deletes=job), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--note", default="", help="Why these failures need no more looking at.")
@click.option("--pattern", metavar="TEXT", help="Only the failure group of this pattern, of a step.")
@click.option("--reopen", is_flag=True, help="Take the acknowledgement back.")
@common_options
def acknowledge(job: int, note: str, pattern: str | None, reopen: bool, as_json: bool, **options: str | None) -> None:
    """Acknowledge the failures of JOB, a run, a step or a work item, so that they are open no more."""
    path, query = f"/api/jobs/{job}/acknowledgement", {"pattern": pattern or ""}
    call = Call("DELETE", path, query) if reopen else Call("POST", path, query, body={"note": note})
    carry_out(call, as_json, options)


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5 is a number
@click.argument("job", type=JOB)
@click.argument("to", metavar="PRIORITY", type=PRIORITY)
@common_options
def priority(job: int, to: int, as_json: bool, **options: str | None) -> None:
    """Let run JOB go before those of a lower PRIORITY, and after those of a higher one."""
    carry_out(Call("POST", f"/api/jobs/{job}/priority", {"priority": str(to)}), as_json, options)


def _pause_path(job: int | None, definition: str | None, queue: bool) -> str:
    if (job is not None) + (definition is not None) + queue != 1:
        raise click.UsageError("Name one: a run, --definition ID, or --queue.")
    if job is not None:
        return f"/api/jobs/{job}/pause"
    return "/api/queue/pause" if queue else f"/api/definitions/{quote(definition or '', safe='')}/pause"


def carry_out(call: Call, as_json: bool, options: Mapping[str, str | None]) -> None:
    """Makes the call and tells what it did. Raises Refusal, with exit status 2, if it was not granted."""
    answer, is_here = carried_out(call, options)
    if as_json:
        tell_json(answer)
        return
    click.echo(plain(answer["detail"]))
    if is_here and call.begins:
        click.echo(WAITS)


def tell_json(answer: Mapping[str, Any]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def carried_out(call: Call, options: Mapping[str, str | None]) -> tuple[dict[str, Any], bool]:
    """The answer to the call, and whether this process gave it itself. Raises Refusal."""
    log_to_stderr(logging.WARNING)
    settings = replace(read_settings(**options), slots=0)
    database = Database.in_directory(settings.data)
    if not (database.path and database.path.is_file()):
        raise Refusal(f"There is no database in {settings.data.absolute()}. Name the data directory with --data.")
    database.close()
    with refusals():
        response, is_here = asyncio.run(_call(settings, call))
    return _granted(response), is_here


async def _call(settings: Settings, call: Call) -> tuple[httpx.Response, bool]:
    with ExitStack() as stack:
        place = await here_or_there(settings, stack, "stepglass on the command line")
        if isinstance(place, Owner):
            async with _client(place.url) as client:
                try:
                    return await _send(client, call), False
                except httpx.TransportError as error:
                    raise Refusal(f"{place} does not answer: {error}") from error
        app: Any = create_app(settings, place)
        async with app.lifespan(), _client("http://127.0.0.1", httpx.ASGITransport(app=app)) as client:
            response = await _send(client, call)
            while response.is_success and call.deletes and await app.state.access.writer(delete_run, call.deletes):
                pass  # there is no server that would delete the rest
            return response, True


@asynccontextmanager
async def _client(url: str, transport: httpx.AsyncBaseTransport | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {PLACE: COMMAND_LINE, NAME: quote(_login_name())}
    # Without trust_env: a proxy of the environment is not the way to this machine.
    async with httpx.AsyncClient(
        base_url=url, transport=transport, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client


async def _send(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    query = {name: value for name, value in call.query.items() if value}
    try:
        return await client.request(call.method, call.path, params=query, json=call.body)
    except UnicodeEncodeError as error:
        raise Refusal(f"{error.object!r} is not text in UTF-8") from None


def _granted(response: httpx.Response) -> dict[str, Any]:
    """The answer. Raises Refusal with what the server says against it."""
    if response.is_success:
        answer: dict[str, Any] = msgspec.json.decode(response.content)
        return answer
    try:
        error = msgspec.json.decode(response.content, type=Error)
    except msgspec.DecodeError:
        raise Refusal(f"{response.url} answered {response.status_code}") from None
    if error.problems:
        raise not_startable("it", error.problems)
    raise Refusal(error.detail)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user of whom the machine knows no name
        return ""
