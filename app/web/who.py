"""Who is asking: the name that a request gives, and where it comes from.

A proxy that knows its people, or a program that acts for one, names them in a header. Nobody verifies the name: who may
send requests at all may send any.
"""

from __future__ import annotations

from urllib.parse import unquote

from app.queue.actor import Actor, Place
from app.web.dependencies import AnyRequest

NAME = "x-stepglass-actor"
"""A person's name, as it is or percent-encoded in UTF-8."""
PLACE = "x-stepglass-place"
COMMAND_LINE = "command-line"


def at_the_page(request: AnyRequest) -> Actor:
    return Actor.named(Place.PAGE, _name(request))


def at_the_api(request: AnyRequest) -> Actor:
    """Also whoever is at the command line, which asks through the API."""
    place = Place.COMMAND_LINE if request.headers.get(PLACE) == COMMAND_LINE else Place.API
    return Actor.named(place, _name(request))


def _name(request: AnyRequest) -> str:
    return unquote(request.headers.get(NAME, ""), errors="replace")
