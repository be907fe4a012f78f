"""A run in the server that owns the data directory, started and followed through its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from app import steps
from app.cli.plans import absolute, not_startable
from app.cli.refusals import Refusal
from app.cli.running import PACE, TAIL
from app.queue.ownership import Owner
from app.web.json_definitions import DefinitionAnswer, JobStarted, StartJob
from app.web.json_shapes import Error, Line, Logs, Tree
from app.web.who import COMMAND_LINE, PLACE
from app.work.definitions import load_definition
from app.work.own_step_types import load_step_types

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that a server may be away, as when it is started anew, before the run is no longer followed."""


@asynccontextmanager
async def started_there(
    owner: Owner,
    definition: str,
    parameters: Mapping[str, str],
    own_steps: Sequence[Path] = (),
    priority: int | None = None,
) -> AsyncIterator[RunningThere]:
    """Hands the definition to the server. Raises Refusal."""
    # Without trust_env: a proxy of the environment is not the way to this machine.
    headers = {PLACE: COMMAND_LINE}
    async with httpx.AsyncClient(base_url=owner.url, headers=headers, timeout=30, trust_env=False) as client:
        try:
            types = await _parameter_types(client, definition, own_steps)
            request = StartJob(definition, _located(parameters, types), priority)
            response = await client.post("/api/jobs", content=msgspec.json.encode(request))
        except httpx.TransportError as error:
            raise Refusal(f"{owner} does not answer: {error}") from error
        except UnicodeEncodeError as error:
            raise Refusal(f"{error.object!r} cannot be told to {owner}: it is not text in UTF-8") from None
        started = _granted(response, JobStarted, definition)
        yield RunningThere(client, owner, started.job_id)


class RunningThere:
    def __init__(self, client: httpx.AsyncClient, owner: Owner, job_id: int) -> None:
        self._client = client
        self._owner = owner
        self._job_id = job_id
        self._away_since: float | None = None

    async def watch(self) -> AsyncIterator[tuple[Tree, Sequence[Line]]]:
        changed = asyncio.Event()
        listening = asyncio.create_task(self._listen(changed))
        try:
            while True:
                await changed.wait()
                changed.clear()
                if look := await self._look():
                    yield look
                    if look[0].job.is_final:
                        return
                await asyncio.sleep(PACE)
        finally:
            listening.cancel()

    async def cancel(self) -> None:
        try:
            response = await self._client.post(f"/api/jobs/{self._job_id}/cancellation")
        except httpx.TransportError as error:
            raise Refusal(f"{self._owner} does not answer, so the run was not cancelled: {error}") from error
        if not response.is_success and response.status_code != httpx.codes.CONFLICT:  # it has just ended by itself
            raise Refusal(f"the run was not cancelled: {response.text}")

    async def _listen(self, changed: asyncio.Event) -> None:
        """Sets `changed` when the stream of events begins, says something, or breaks off; then listens again."""
        while True:
            try:
                async with self._client.stream("GET", "/api/events", params={"job_id": self._job_id}) as stream:
                    async for _ in stream.aiter_raw():
                        changed.set()
            except httpx.TransportError:
                await asyncio.sleep(PACE)
            changed.set()

    async def _look(self) -> tuple[Tree, list[Line]] | None:
        """The run and its tail; None while the server is away. Raises Refusal when it stays away."""
        try:
            tree = await self._client.get(f"/api/jobs/{self._job_id}/tree")
            logs = await self._client.get(f"/api/jobs/{self._job_id}/logs", params={"limit": TAIL})
        except httpx.TransportError as error:
            now = asyncio.get_running_loop().time()
            self._away_since = self._away_since or now
            if now - self._away_since > PATIENCE:
                raise Refusal(
                    f"{self._owner} has gone away; the run goes on as soon as a server owns its data directory again."
                ) from error
            return None
        self._away_since = None
        return _granted(tree, Tree, "the run"), _granted(logs, Logs, "the log").lines


def _granted(response: httpx.Response, answer: type[T], what: str) -> T:
    """The decoded answer. Raises Refusal with what the server says against it."""
    if response.is_success:
        return msgspec.json.decode(response.content, type=answer)
    try:
        error = msgspec.json.decode(response.content, type=Error)
    except msgspec.DecodeError:
        raise Refusal(f"{response.url} answered {response.status_code}") from None
    if error.problems:
        raise not_startable(what, error.problems)
    raise Refusal(f"{error.detail} ({response.url.join(error.url)})" if error.url else error.detail)


async def _parameter_types(client: httpx.AsyncClient, definition: str, own_steps: Sequence[Path]) -> dict[str, str]:
    if definition.endswith(".toml"):
        loaded = load_definition(Path(definition), load_step_types(steps, own_steps).types)
        return {each.name: each.type for each in loaded.parameters}
    response = await client.get(f"/api/definitions/{quote(definition, safe='')}")
    found = _granted(response, DefinitionAnswer, definition).definition
    return {each.name: each.type for each in found.parameters}


def _located(parameters: Mapping[str, str], types: Mapping[str, str]) -> dict[str, str]:
    """The parameters with relative paths made absolute: the server has another working directory."""
    return {
        name: str(absolute(value)) if value and types.get(name) in ("folder", "file") else value
        for name, value in parameters.items()
    }
