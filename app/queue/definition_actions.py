"""What people do to a definition, in the words in which it is recorded: by these its record is found again."""

from __future__ import annotations

from app.queue.pauses import Scope

_WHOLE = ("disabled", "enabled", "paused", "resumed")
_OF_IT = ("paused the schedule", "resumed the schedule")


def said_of_definition(done: str, definition: str) -> str:
    """paused definition news; paused the schedule of definition news"""
    return f"{done}{' of' if done in _OF_IT else ''} {Scope(definition).words}"


def all_said_of_definition(definition: str) -> list[str]:
    return [said_of_definition(done, definition) for done in (*_WHOLE, *_OF_IT)]
