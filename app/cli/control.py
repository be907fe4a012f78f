"""stepglass cancel, retry, rerun, pause, resume, priority, acknowledge, delete, bulk: what the page can do, on the
command line.

Each is one call of the API: of the server that owns the data directory, or, where none does, of one that answers in
this process, without a port and without anybody who works.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from secrets import token_urlsafe
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
from app.queue.bulk_rules import BulkAction
from app.queue.database import FILE_NAME
from app.queue.models import Kind
from app.queue.ownership import Owner
from app.queue.places import LARGEST
from app.queue.status import Status
from app.queue.store.delete import delete_run
from app.settings import Settings
from app.web.json_shapes import Error
from app.web.who import COMMAND_LINE, NAME, PLACE

F = TypeVar("F", bound=Callable[..., Any])
JOB = click.IntRange(1, LARGEST)
_CHOSEN_BY = ("kind", "status", "manager_id", "step", "definition", "tag", "q", "failure", "from", "to", "open")
"""Options of `bulk` that choose jobs, by the names that the API has for them."""
_PREVIEW = click.option("--preview", is_flag=True, help="Only say what would be done.")
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


def _options(command: F) -> F:
    command = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")(command)
    for name, metavar in (("steps", "PATH"), ("definitions", "DIR"), ("database", "URL"), ("data", "DIR")):
        command = setting(name, metavar)(command)
    return command


@click.command
@click.argument("job", type=JOB)
@_options
def cancel(job: int, as_json: bool, **options: str | None) -> None:
    """Cancel JOB: a run or a step with everything in it that has not ended, or one work item."""
    _carry_out(Call("POST", f"/api/jobs/{job}/cancellation", {}), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--pattern", metavar="TEXT", help="Only the failure group of this pattern, of a step.")
@click.option("--cancelled", is_flag=True, help="Also what a person cancelled.")
@_PREVIEW
@_options
def retry(job: int, pattern: str | None, cancelled: bool, preview: bool, as_json: bool, **options: str | None) -> None:
    """Let what failed of JOB run again: of a run or a step, or one work item. What succeeded is kept."""
    query = {"pattern": pattern or "", "cancelled": "true" if cancelled else ""}
    if preview:
        _preview(f"/api/jobs/{job}/retries/preview", query, as_json, options)
        return
    once = {"key": token_urlsafe(12)}  # however often the request is sent
    _carry_out(Call("POST", f"/api/jobs/{job}/retries", query | once, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--from", "first", metavar="STEP", help="Start from this step; what those before it made is taken.")
@click.option("--now", is_flag=True, help="With the definition as it is now, not as it was.")
@_options
def rerun(job: int, first: str | None, now: bool, as_json: bool, **options: str | None) -> None:
    """Start a new run that repeats run JOB, with its parameters."""
    query = {"from_step": first or "", "as_now": "true" if now else ""}
    _carry_out(Call("POST", f"/api/jobs/{job}/reruns", query, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB, required=False)
@click.option("--definition", metavar="ID", help="All runs of this definition.")
@click.option("--queue", is_flag=True, help="All runs.")
@_options
def pause(job: int | None, definition: str | None, queue: bool, as_json: bool, **options: str | None) -> None:
    """Begin nothing more of run JOB, of a definition, or of the whole queue. What runs finishes."""
    _carry_out(Call("POST", _pause_path(job, definition, queue), {}), as_json, options)


@click.command
@click.argument("job", type=JOB, required=False)
@click.option("--definition", metavar="ID", help="All runs of this definition.")
@click.option("--queue", is_flag=True, help="All runs.")
@_options
def resume(job: int | None, definition: str | None, queue: bool, as_json: bool, **options: str | None) -> None:
    """Go on with run JOB, with a definition, or with the whole queue, after a pause."""
    _carry_out(Call("DELETE", _pause_path(job, definition, queue), {}, begins=True), as_json, options)


@click.command
@click.argument("job", type=JOB)
@_PREVIEW
@_options
def delete(job: int, preview: bool, as_json: bool, **options: str | None) -> None:
    """Delete run JOB, which is over, with its work items and logs. The documents that it made stay."""
    if preview:
        _preview(f"/api/jobs/{job}/deletion/preview", {}, as_json, options)
        return
    _carry_out(Call("DELETE", f"/api/jobs/{job}", {}, deletes=job), as_json, options)


@click.command
@click.argument("job", type=JOB)
@click.option("--note", default="", help="Why these failures need no more looking at.")
@click.option("--pattern", metavar="TEXT", help="Only the failure group of this pattern, of a step.")
@click.option("--reopen", is_flag=True, help="Take the acknowledgement back.")
@_options
def acknowledge(job: int, note: str, pattern: str | None, reopen: bool, as_json: bool, **options: str | None) -> None:
    """Acknowledge the failures of JOB, a run, a step or a work item, so that they are open no more."""
    path, query = f"/api/jobs/{job}/acknowledgement", {"pattern": pattern or ""}
    call = Call("DELETE", path, query) if reopen else Call("POST", path, query, body={"note": note})
    _carry_out(call, as_json, options)


@click.command
@click.argument("action", type=click.Choice([each.value for each in BulkAction]))
@click.option("--kind", type=click.Choice([each.value for each in Kind]), help="Runs, steps or work items.")
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Only those of this status.")
@click.option("--open", is_flag=True, help="Only failures that nobody has acknowledged.")
@click.option("--run", "manager_id", type=JOB, metavar="JOB", help="Only those of this run.")
@click.option("--step", metavar="NAME", help="Only those of steps of this name.")
@click.option("--definition", metavar="ID", help="Only those of runs of this definition.")
@click.option("--tag", metavar="TAG", help="Only those of runs with this tag.")
@click.option("--name", "q", metavar="TEXT", help="Only those with this text in their name.")
@click.option("--pattern", "failure", metavar="TEXT", help="Only work items that failed in this failure group.")
@click.option("--from", "from", metavar="TIME", help="Only those of runs created then or later: 2026-11-21T12:00.")
@click.option("--to", "to", metavar="TIME", help="Only those of runs created before.")
@click.option("--token", metavar="TOKEN", help="Do it to the list that a preview has frozen.")
@click.option("--note", default="", help="Why; an acknowledgement shows it.")
@click.option("--yes", is_flag=True, help="Do it at once.")
@_options
def bulk(action: str, token: str | None, note: str, yes: bool, as_json: bool, **options: Any) -> None:
    """Do ACTION to every job that the options choose.

    Their list is frozen, and what would be done with it is said. With --yes, or later with the --token of that preview,
    a run is started that does it. What comes after the preview is not touched, and what has changed is left alone.
    """
    chosen = {name: value for name in _CHOSEN_BY if (value := options.pop(name))}
    if (token is not None) == bool(chosen):
        raise click.UsageError("Name the jobs, by --kind and other options, or the --token of a preview.")
    if token is None:
        preview, _ = _carried_out(Call("POST", "/api/bulk", {}, body=chosen), options)
        token = str(preview["token"])
        if as_json and not yes:
            _tell_json(preview)
        elif not as_json:
            click.echo("\n".join(map(plain, _bulk_words(preview, action))))
        if not yes:
            if not as_json:
                click.echo(f"Nothing was done. To do it: stepglass bulk {action} --token {token}")
            return
    path = f"/api/bulk/{token}/confirmation"
    _carry_out(Call("POST", path, {}, begins=True, body={"action": action, "note": note}), as_json, options)


def _bulk_words(preview: Mapping[str, Any], action: str) -> Iterator[str]:
    for choice in preview["choices"]:
        if choice["action"] == action:
            yield f"{choice['acts']:,} of {preview['total']:,} {preview['jobs']}: {action}"
            yield from (f"{each['jobs']:,} are left alone: {each['reason']}" for each in choice["skipped"])


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5 is a number
@click.argument("job", type=JOB)
@click.argument("to", metavar="PRIORITY", type=PRIORITY)
@_options
def priority(job: int, to: int, as_json: bool, **options: str | None) -> None:
    """Let run JOB go before those of a lower PRIORITY, and after those of a higher one."""
    _carry_out(Call("POST", f"/api/jobs/{job}/priority", {"priority": str(to)}), as_json, options)


def _pause_path(job: int | None, definition: str | None, queue: bool) -> str:
    if (job is not None) + (definition is not None) + queue != 1:
        raise click.UsageError("Name one: a run, --definition ID, or --queue.")
    if job is not None:
        return f"/api/jobs/{job}/pause"
    return "/api/queue/pause" if queue else f"/api/definitions/{quote(definition or '', safe='')}/pause"


def _preview(path: str, query: Mapping[str, str], as_json: bool, options: Mapping[str, str | None]) -> None:
    """Tells what would be done, which is not. Raises Refusal."""
    _carry_out(Call("GET", path, query), as_json, options)
    if not as_json:
        click.echo("Nothing was done.")


def _carry_out(call: Call, as_json: bool, options: Mapping[str, str | None]) -> None:
    """Makes the call and tells what it did. Raises Refusal, with exit status 2, if it was not granted."""
    answer, is_here = _carried_out(call, options)
    if as_json:
        _tell_json(answer)
        return
    click.echo(plain(answer["detail"]))
    if is_here and call.begins:
        click.echo(WAITS)


def _tell_json(answer: Mapping[str, Any]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def _carried_out(call: Call, options: Mapping[str, str | None]) -> tuple[dict[str, Any], bool]:
    """The answer to the call, and whether this process gave it itself. Raises Refusal."""
    log_to_stderr(logging.WARNING)
    settings = replace(read_settings(**options), slots=0)
    if not settings.database and not (settings.data / FILE_NAME).is_file():
        raise Refusal(f"There is no database in {settings.data.absolute()}. Name the data directory with --data.")
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
