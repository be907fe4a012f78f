"""Streams over HTTP, from a server process."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.theatre import Theatre


@contextmanager
def stream(theatre: Theatre, path: str, **headers: str) -> Iterator[Iterator[str]]:
    """The messages of a stream, as they come."""
    with httpx.stream("GET", theatre.url + path, headers=headers, timeout=30) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        yield _messages(response)


def _messages(response: httpx.Response) -> Iterator[str]:
    gathered = ""
    for text in response.iter_text():
        gathered += text
        *messages, gathered = gathered.split("\n\n")
        yield from messages


def until(messages: Iterator[str], text: str) -> str:
    return next(message for message in messages if text in message)


@pytest.mark.parametrize("path", ["/queue", "/jobs?kind=manager", "/jobs/1", "/jobs/1/steps/one", "/jobs/3"])
def test_every_page_has_a_stream_that_begins_with_the_present(theatre: Theatre, path: str) -> None:
    theatre.play("start", steps=["one"])
    theatre.play("plan", items=["item"])
    page, _, query = path.partition("?")
    with stream(theatre, f"{page}/stream?{query}") as messages:
        assert 'hx-target="#view" hx-swap="outerMorph"' in until(messages, 'hx-target="#view"')


def test_the_stream_of_a_page_just_loaded_sends_only_what_follows(theatre: Theatre) -> None:
    theatre.play("start", steps=["one"], name="First")
    address = re.search(r'hx-sse:connect="([^"]*)"', theatre.html("/queue"))
    assert address
    with stream(theatre, address.group(1).replace("&amp;", "&")) as messages:
        until(messages, "#liveness")
        theatre.play("start", steps=["one"], name="Second")
        message = next(messages)
        assert "Second" in message
        assert "First" not in message


def test_a_status_is_never_behind_its_logs(theatre: Theatre) -> None:
    theatre.play("start", steps=["one"])
    (step_id,) = theatre.play("plan", items=["item"])
    with stream(theatre, "/queue/stream") as messages:
        until(messages, "#view")
        theatre.play("claim", step_id=step_id)
        theatre.play("log", step_id=step_id, messages=["said at the end"])
        theatre.play("complete", step_id=step_id)
        seen = ""
        while "said at the end" not in seen:
            seen += next(messages)
        if "completed" not in seen:
            until(messages, "completed")


def test_the_header_wins_over_the_query_after_a_reconnect(theatre: Theatre) -> None:
    with stream(theatre, "/queue/stream") as messages:
        until(messages, "#view")
        theatre.play("start", steps=["one"], name="First")
        last = re.search(r"^id: (\S+)$", until(messages, "First"), re.MULTILINE)
        assert last
        theatre.play("start", steps=["one"], name="Second")
        until(messages, "Second")
        with stream(theatre, "/queue/stream?since=0", **{"Last-Event-ID": last.group(1)}) as again:
            message = until(again, "Second")
            assert "First" not in message


def test_after_a_restart_everybody_gets_the_present(theatre: Theatre) -> None:
    with stream(theatre, "/queue/stream") as messages:
        until(messages, "#view")
        theatre.play("start", steps=["one"], name="Before")
        last = re.search(r"^id: (\S+)$", until(messages, "Before"), re.MULTILINE)
        assert last
        theatre.end()
        theatre.begin()
    with stream(theatre, "/queue/stream?since=0", **{"Last-Event-ID": last.group(1)}) as messages:
        assert "Before" in until(messages, 'hx-target="#view"')


def test_streams_end_cleanly_when_the_server_stops(theatre: Theatre) -> None:
    with stream(theatre, "/queue/stream") as messages:
        until(messages, "#view")
        theatre.end()
        for _ in messages:  # a stream that is cut instead of ended raises here
            pass
    theatre.begin()


def test_a_heartbeat_renews_the_sign_of_life_and_reads_nothing(tmp_path: Path) -> None:
    with Theatre(tmp_path, heartbeat=0.05) as theatre, stream(theatre, "/queue/stream") as messages:
        until(messages, "#view")
        before = theatre.play("reads")
        for _ in range(10):
            assert 'hx-target="#liveness" hx-swap="outerHTML"' in next(messages)
        assert theatre.play("reads") == before


def test_a_reader_that_never_reads_is_cut_and_harms_nobody(tmp_path: Path) -> None:
    with Theatre(tmp_path, heartbeat=0.05) as theatre:
        (host, port) = theatre.url.removeprefix("http://").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            theatre.play("start", steps=["one"])
            (step_id,) = theatre.play("plan", items=["item"])
            deaf.sendall(b"GET /jobs/1/steps/one/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with stream(theatre, "/queue/stream") as messages:
                until(messages, "#view")
                while theatre.play("watchers") > 1:
                    theatre.play("log", step_id=step_id, messages=["x" * 50_000] * 10)
                theatre.play("log", step_id=step_id, messages=["still heard"])
                until(messages, "still heard")
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            deaf.settimeout(30)
            while deaf.recv(1 << 20):  # ends when the server has closed the connection
                pass
