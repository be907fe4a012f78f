"""The stream of facts for programs: against a real server, since it never ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.queue.changes import RunChanged
from app.queue.status import Status
from app.queue.step_monitor import StepMonitor
from app.queue.writer import Commit
from app.web import api_events
from app.web.api_events import BACKLOG, KEPT, FactStream, Follower, JobEvents
from tests.stepglass import Server, definitions, serving


class Event(msgspec.Struct):
    name: str
    id: str
    data: Any


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """What a browser's EventSource would hear."""
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield Event(fields.get("event", "message"), fields.get("id", ""), msgspec.json.decode(fields["data"]))
            fields = {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder / "data", "--definitions", definitions(folder / "definitions")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def start(client: httpx.Client, definition: str) -> int:
    response = client.post("/api/jobs", json={"definition": definition})
    assert response.status_code == 202, response.text
    job_id: int = response.json()["job_id"]
    return job_id


def until_the_end(events: Iterator[Event], job_id: int) -> list[Event]:
    heard = []
    for event in events:
        heard.append(event)
        if event.data.get("context") == "job" and event.data["job_id"] == job_id and event.data["status"] in END:
            return heard
    raise AssertionError(f"the stream ended before job {job_id} did: {heard}")


END = ("completed", "failed", "cancelled")


def test_a_run_is_heard_from_its_start_to_its_end(client: httpx.Client) -> None:
    with client.stream("GET", "/api/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers
        assert "content-encoding" not in response.headers
        events = events_of(response.iter_lines())
        job_id = start(client, "quick")
        heard = until_the_end(events, job_id)
    assert {event.name for event in heard} == {"job_update"}
    assert all(
        event.data.keys() == {"context", "job_id", "step_name", "status", "refresh_logs", "deleted"} for event in heard
    )
    steps = [event.data for event in heard if event.data["context"] == "job_step"]
    assert {step["step_name"] for step in steps} == {"work"}
    assert any(step["refresh_logs"] for step in steps)
    assert [step["status"] for step in steps][-1] == "completed"
    assert heard[-1].data["status"] == "completed"
    numbers = [int(event.id.rpartition("-")[2]) for event in heard]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_one_run_can_be_followed_alone(client: httpx.Client) -> None:
    followed = start(client, "endless")
    with client.stream("GET", "/api/events", params={"job_id": followed}) as response:
        events = events_of(response.iter_lines())
        start(client, "quick")
        client.post(f"/api/jobs/{followed}/cancellation")
        heard = until_the_end(events, followed)
    assert {event.data["job_id"] for event in heard} == {followed}


def test_who_comes_back_hears_what_was_missed(client: httpx.Client) -> None:
    with client.stream("GET", "/api/events") as response:
        job_id = start(client, "quick")
        everything = until_the_end(events_of(response.iter_lines()), job_id)
    heard = [event for event in everything if event.data["job_id"] == job_id]  # the run of another test may go on
    for break_at in (0, len(heard) // 2, len(heard) - 2):
        headers = {"Last-Event-ID": heard[break_at].id}
        with client.stream("GET", "/api/events", params={"job_id": job_id}, headers=headers) as response:
            missed = until_the_end(events_of(response.iter_lines()), job_id)
        assert missed == heard[break_at + 1 :]


@pytest.mark.parametrize("unknown", ["1-1", "", "x", "99999999999999999999-99999999999999999999", "1-\u0661"])
def test_who_cannot_be_brought_up_to_date_is_told(client: httpx.Client, unknown: str) -> None:
    headers = {"Last-Event-ID": unknown.encode("utf-8")}
    with client.stream("GET", "/api/events", headers=headers) as response:
        first = next(events_of(response.iter_lines()))
    assert first.name == "reset"
    assert first.id


def test_a_job_that_does_not_exist_cannot_be_followed(client: httpx.Client) -> None:
    response = client.get("/api/events", params={"job_id": 4711})
    assert response.status_code == 404
    assert response.json()["error"] == "no_such_job"


def test_when_the_server_stops_the_stream_ends_properly(tmp_path: Path) -> None:
    with serving(tmp_path) as server, httpx.stream("GET", f"{server.url}/api/events", trust_env=False) as response:
        lines = response.iter_lines()
        assert next(lines) == ": following"
        assert server.stop() == 0
        assert all(line == "" or line.startswith(("retry:", "id:")) for line in lines)  # raises if it was broken off


async def test_a_reader_that_is_too_slow_is_cut_off_and_nobody_else() -> None:
    monitor = StepMonitor()
    async with JobEvents(monitor).flowing() as job_events:
        slow, quick, elsewhere = Follower(None), Follower(None), Follower(2)
        streams = [job_events.stream(follower, None) for follower in (slow, quick, elsewhere)]
        for stream in streams:
            await anext(stream)
        for revision in range(BACKLOG + 1):
            monitor.hear(Commit(revision, [RunChanged(1, Status.RUNNING)]))
            await anext(streams[1])
        assert [follower.cut.is_set() for follower in (slow, quick, elsewhere)] == [True, False, False]
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]


async def test_only_so_many_facts_are_kept() -> None:
    monitor = StepMonitor()
    async with JobEvents(monitor).flowing() as job_events:
        beginning = (await anext(job_events.stream(Follower(None), None))).decode()
        first_id = next(line.removeprefix("id: ") for line in beginning.splitlines() if line.startswith("id: "))
        for revision in range(KEPT):
            monitor.hear(Commit(revision, [RunChanged(1, Status.RUNNING)]))
        caught_up = await anext(job_events.stream(Follower(None), first_id))
        assert caught_up.count(b"event: job_update") == KEPT
        monitor.hear(Commit(KEPT, [RunChanged(1, Status.COMPLETED)]))
        assert b"event: reset" in await anext(job_events.stream(Follower(None), first_id))


async def test_an_idle_stream_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_events, "HEARTBEAT", 0.01)
    beaten = asyncio.Event()

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b": ping"):
            beaten.set()

    async def receive() -> Any:
        await beaten.wait()
        return {"type": "http.disconnect"}

    follower = Follower(None)
    stream = FactStream(follower, JobEvents(StepMonitor()).stream(follower, None))
    await stream({"type": "http", "method": "GET"}, receive, send)
    assert beaten.is_set()
