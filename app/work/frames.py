"""What a worker process and its parent say to each other: frames of msgpack over one socket, each with its length
first.

The parent sends a `Task` and waits for its `Done`. In between the process says what its work says; the frames of
one work item are sent, at the latest, together with its `Ended`, before the next one starts: so the first item of a
task that has not ended is the one that the process was at when it died.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec


class Item(msgspec.Struct, array_like=True):
    id: int
    name: str
    input: Any
    attempt: int


class Task(msgspec.Struct, array_like=True):
    """Run these items of a step, one after the other; or, if there are none and `plan` is set, plan the step."""

    type: str
    """Where the step type is, as `module:Class`."""
    step_id: int
    manager_id: int
    settings: dict[str, Any]
    parameters: dict[str, Any]
    database_address: str
    plan: bool
    items: list[Item]


class Said(msgspec.Struct, array_like=True, tag="said"):
    """A log line of item number `index` of the task; -1: of the step."""

    index: int
    at: float
    level: str
    message: str


class Saved(msgspec.Struct, array_like=True, tag="saved"):
    """A document, saved by the planning (index -1) or by the item of that index."""

    index: int
    address: str
    title: str
    body: str
    source_type: str
    tags: list[str]
    metadata: dict[str, Any]
    content_hash: str


class Removed(msgspec.Struct, array_like=True, tag="removed"):
    address: str


class Added(msgspec.Struct, array_like=True, tag="added"):
    """Amounts, by name, for the totals of the step."""

    amounts: dict[str, float | int]


class Found(msgspec.Struct, array_like=True, tag="found"):
    """One more work item: planned (index -1), or spawned by the item of that index."""

    index: int
    name: str
    input: Any
    at_most: int | None = None


class Ended(msgspec.Struct, array_like=True, tag="ended"):
    """Item number `index` ended; with an error, or with a result. For a plan, index -1. `retry_after`: the seconds
    that the error asks to wait. `told`: its process had been told to end by then; nothing else comes."""

    index: int
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    permanent: bool = False
    retry_after: float | None = None
    told: bool = False


class Done(msgspec.Struct, array_like=True, tag="done"):
    """The process is free: it has started, or its task is over."""


Frame = Said | Saved | Removed | Added | Found | Ended | Done

LENGTH = struct.Struct("!I")
_encoder = msgspec.msgpack.Encoder()
_task = msgspec.msgpack.Decoder(Task)
_frames = msgspec.msgpack.Decoder(list[Frame])


def encode(message: Task | list[Frame]) -> bytes:
    """One packet: the length in four bytes, then the message. Raises TypeError or ValueError for what it cannot
    hold."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def decode_task(body: bytes | memoryview) -> Task:
    return _task.decode(body)


def decode_frames(body: bytes | memoryview) -> list[Frame]:
    return _frames.decode(body)
