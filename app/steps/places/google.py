"""Google Places API (New): https://developers.google.com/maps/documentation/places/web-service."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from app.steps.outside.client import Request
from app.steps.outside.untrusted import listed, names, number, table, words
from app.steps.places.place import Asking, Place, Wish, position

ENDPOINT = "https://places.googleapis.com/v1"
TOLD = "Google Places"
PAGE = 20
"""Places per answer; also all that a nearby search has."""
MOST = {True: 20, False: 60}
"""Places that a search has at all, nearby or by text."""
_FIELDS = (
    "id",
    "displayName",
    "formattedAddress",
    "location",
    "rating",
    "userRatingCount",
    "types",
    "websiteUri",
    "nationalPhoneNumber",
    "editorialSummary",
)
_MASK = ",".join(f"places.{field}" for field in _FIELDS)


async def google_places(wish: Wish, asking: Asking, endpoint: str, key: str) -> list[Place]:
    search = "searchNearby" if wish.nearby else "searchText"
    mask = _MASK if wish.nearby else f"{_MASK},nextPageToken"
    headers = {"X-Goog-Api-Key": key, "X-Goog-FieldMask": mask, "Content-Type": "application/json"}
    question = _nearby(wish) if wish.nearby else _by_text(wish)
    places: dict[str, Place] = {}
    for _ in range(1 if wish.nearby else MOST[False] // PAGE):
        request = Request(f"{endpoint}/places:{search}", "POST", headers, json.dumps(question).encode())
        answer = (await asking.send(request)).json()
        for entry in listed(answer, "places", TOLD):
            _take(entry, places, asking)
        token = words(answer.get("nextPageToken"))
        if len(places) >= wish.most or not token:
            break
        question["pageToken"] = token
    return list(places.values())


def _nearby(wish: Wish) -> dict[str, Any]:
    question: dict[str, Any] = {
        "maxResultCount": min(wish.most, PAGE),
        "rankPreference": "DISTANCE",
        "locationRestriction": _circle(wish),
    }
    if wish.kind:
        question["includedTypes"] = [wish.kind]
    return question | _language(wish)


def _by_text(wish: Wish) -> dict[str, Any]:
    question: dict[str, Any] = {"textQuery": wish.query, "pageSize": min(wish.most, PAGE)}
    if wish.lat is not None:
        question["locationBias"] = _circle(wish)
    if wish.kind:
        question |= {"includedType": wish.kind, "strictTypeFiltering": True}
    if wish.min_rating:
        question["minRating"] = int(wish.min_rating * 2) / 2  # it knows halves; the rest is filtered here
    return question | _language(wish)


def _circle(wish: Wish) -> dict[str, Any]:
    return {"circle": {"center": {"latitude": wish.lat, "longitude": wish.lng}, "radius": wish.radius}}


def _language(wish: Wish) -> dict[str, str]:
    return {"languageCode": wish.language} if wish.language else {}


def _take(entry: Any, places: dict[str, Place], asking: Asking) -> None:
    entry = table(entry)
    identity, name = words(entry.get("id")), words(table(entry.get("displayName")).get("text"))
    where, count = table(entry.get("location")), number(entry.get("userRatingCount"))
    try:
        lat, lng = position(where.get("latitude"), where.get("longitude"))
        if not identity or not name:
            raise ValueError("it has no id or no name")
    except ValueError as error:
        asking.warn(f"a place of {TOLD} is left out: {error}")
        return
    places[identity] = Place(
        address=f"https://www.google.com/maps/place/?q=place_id:{quote(identity, safe='')}",
        name=name,
        lat=lat,
        lng=lng,
        types=names(entry.get("types")),
        rating=number(entry.get("rating")),
        ratings=None if count is None else int(count),
        street=words(entry.get("formattedAddress")),
        website=words(entry.get("websiteUri")),
        phone=words(entry.get("nationalPhoneNumber")),
        description=words(table(entry.get("editorialSummary")).get("text")),
    )
