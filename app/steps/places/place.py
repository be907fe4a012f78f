"""A place, as every provider tells it, and what is asked for."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from app.steps.outside.client import Answer, Request
from app.steps.outside.untrusted import number

_EARTH = 6_371_008.8
"""Mean radius in metres."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is searched for. Distances in metres, ratings from 0 to 5; 0 and "" mean any."""

    nearby: bool
    query: str
    lat: float | None
    lng: float | None
    radius: float
    kind: str
    min_rating: float
    most: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    address: str
    """Of the document: a URL, or the file and the id in it."""
    name: str
    lat: float
    lng: float
    types: tuple[str, ...] = ()
    rating: float | None = None
    ratings: int | None = None
    """How many people gave it."""
    street: str = ""
    website: str = ""
    phone: str = ""
    description: str = ""
    sample: bool = False
    """True for a made-up place."""

    def facts(self) -> dict[str, Any]:
        facts = asdict(self)
        del facts["address"], facts["description"]
        return facts | {"types": list(self.types)}

    def body(self) -> str:
        """Markdown."""
        rating = "" if self.rating is None else f"{self.rating:g} of 5"
        if rating and self.ratings is not None:
            rating += f" ({self.ratings:,} ratings)"
        facts = {
            "Type": ", ".join(self.types),
            "Address": self.street,
            "Rating": rating,
            "Website": self.website,
            "Phone": self.phone,
            "Position": f"{self.lat:.5f}, {self.lng:.5f}",
            "Note": "made up, of the bundled sample" if self.sample else "",
        }
        lines = [
            f"# {self.name}",
            self.description,
            "\n".join(f"- {key}: {fact}" for key, fact in facts.items() if fact),
        ]
        return "\n\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a provider needs: a way to send requests, which raises PassingError or PermanentError, and one to warn."""

    send: Callable[[Request], Awaitable[Answer]]
    warn: Callable[[str], None]


def distance(lat: float, lng: float, place: Place) -> float:
    """In metres, along a great circle (haversine)."""
    here, there = math.radians(lat), math.radians(place.lat)
    half = math.sin((there - here) / 2) ** 2
    half += math.cos(here) * math.cos(there) * math.sin(math.radians(place.lng - lng) / 2) ** 2
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(half)))


def position(lat: Any, lng: Any) -> tuple[float, float]:
    """Raises ValueError for what is no position."""
    north, east = number(lat), number(lng)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        raise ValueError(f"{str(lat)[:40]}, {str(lng)[:40]} is not a latitude and longitude")
    return north, east
