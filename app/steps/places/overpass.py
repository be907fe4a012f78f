"""OpenStreetMap through an Overpass server: https://wiki.openstreetmap.org/wiki/Overpass_API. It needs no key, and has
no ratings."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from app.steps.outside.client import Request, shown
from app.steps.outside.trouble import PassingError
from app.steps.outside.untrusted import listed, names, table, words
from app.steps.places.place import Asking, Place, Wish, position

ENDPOINT = "https://overpass-api.de/api/interpreter"
TOLD = "Overpass"
_SECONDS = 25
_KINDS = ("amenity", "shop", "tourism", "leisure", "office", "healthcare", "craft")
_ELEMENTS = ("node", "way", "relation")


async def overpass_places(wish: Wish, asking: Asking, endpoint: str) -> list[Place]:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = Request(endpoint, "POST", headers, urlencode({"data": question(wish)}).encode())
    answer = (await asking.send(request)).json()
    remark = words(table(answer).get("remark"))
    if "error" in remark.lower():  # it says 200 and answers with a part, or with nothing
        raise PassingError(f"{shown(endpoint)} gave up: {remark}")
    places: dict[str, Place] = {}
    for element in listed(answer, "elements", TOLD):
        _take(element, places, asking)
    return list(places.values())


def question(wish: Wish) -> str:
    """In Overpass QL."""
    around = f"(around:{wish.radius:.0f},{wish.lat:.6f},{wish.lng:.6f})"
    kind = f'[~"^({"|".join(_KINDS)})$"~"^{wish.kind}$"]' if wish.kind else ""
    named = "[name]" if wish.nearby else f'["name"~{_quoted(wish.query)},i]'
    kind = kind or ("" if not wish.nearby else f'[~"^({"|".join(_KINDS)})$"~"."]')
    return f"[out:json][timeout:{_SECONDS}];nwr{around}{named}{kind};out center;"


def _quoted(text: str) -> str:
    """A text as a regular expression (of POSIX) that matches just that, in quotes."""
    return json.dumps(re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", text), ensure_ascii=False)


def _take(element: Any, places: dict[str, Place], asking: Asking) -> None:
    element = table(element)
    tags, centre = table(element.get("tags")), table(element.get("center"))
    kind, identity, name = element.get("type"), element.get("id"), words(tags.get("name"))
    if not name:
        return
    try:
        lat, lng = position(centre.get("lat", element.get("lat")), centre.get("lon", element.get("lon")))
        if kind not in _ELEMENTS or not isinstance(identity, int):
            raise ValueError("it has no type or no id")
    except ValueError as error:
        asking.warn(f"an element of {TOLD} is left out: {error}")
        return
    street = " ".join(filter(None, (words(tags.get("addr:housenumber")), words(tags.get("addr:street")))))
    places[f"{kind}/{identity}"] = Place(
        address=f"https://www.openstreetmap.org/{kind}/{identity}",
        name=name,
        lat=lat,
        lng=lng,
        types=names([tags[key] for key in (*_KINDS, "cuisine") if key in tags]),
        street=", ".join(filter(None, (street, words(tags.get("addr:city"))))),
        website=words(tags.get("website") or tags.get("contact:website")),
        phone=words(tags.get("phone") or tags.get("contact:phone")),
        description=words(tags.get("description")),
    )
