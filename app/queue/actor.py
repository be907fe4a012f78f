"""Who wants something done: a person with a name, or whoever is at the page, the API or the command line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.queue.text import storable

LONGEST_NAME = 80


class Place(StrEnum):
    """Where something was asked for."""

    PAGE = "a person at the page"
    API = "the API"
    COMMAND_LINE = "the command line"
    RETENTION = "retention"
    SCHEDULE = "the schedule"


_BY = {
    Place.PAGE: "by a person at the page",
    Place.API: "through the API",
    Place.COMMAND_LINE: "from the command line",
    Place.RETENTION: "by retention",
    Place.SCHEDULE: "by the schedule",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """`name`: as it was given, which nobody has verified; empty if none was."""

    place: Place
    name: str = ""

    @classmethod
    def named(cls, place: Place, name: str | None) -> Actor:
        """With as much of the name as fits on a line."""
        return cls(place, " ".join(storable(name or "").split())[:LONGEST_NAME])

    @property
    def who(self) -> str:
        """ann, or: a person at the page"""
        return self.name or self.place.value

    @property
    def by(self) -> str:
        """After "cancelled": by ann, through the API"""
        return f"by {self.name}" if self.name else _BY[self.place]
