"""Places in a GeoJSON file (RFC 7946): one of one's own, one of a URL, or the bundled sample."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.steps.outside.client import Answer, Request
from app.steps.outside.untrusted import names, number, table, words
from app.steps.places.place import Asking, Place, position
from app.steps.source_tree import printable, read_file
from app.steps.text_decoding import decode
from app.work.step_type import PermanentError

SAMPLE = Path(__file__).with_name("sample.geojson")
MAX_FILE = 50 << 20
_TOLD_FAULTS = 5


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


async def places_of_url(url: str, asking: Asking) -> list[Place]:
    answer: Answer = await asking.send(Request(url, headers={"Accept": "application/geo+json, application/json"}))
    return await _in_a_thread(lambda: _read_places(answer.json(), url.partition("#")[0]), asking)


async def places_of_file(source: str, asking: Asking) -> list[Place]:
    """`source`: a path, or "" for the sample."""
    return await _in_a_thread(lambda: _read_file(source), asking)


async def _in_a_thread(reading: Callable[[], tuple[list[Place], list[str]]], asking: Asking) -> list[Place]:
    """So that nothing waits for a large one."""
    places, faults = await asyncio.to_thread(reading)
    for fault in faults[:_TOLD_FAULTS]:
        asking.warn(fault)
    if len(faults) > _TOLD_FAULTS:
        asking.warn(f"{len(faults) - _TOLD_FAULTS:,} more features are left out")
    return places


def _read_file(source: str) -> tuple[list[Place], list[str]]:
    path = Path(source).expanduser().resolve() if source else SAMPLE
    return _read_places(_loaded(path), f"file:{path}" if source else "sample:places")


def _read_places(document: Any, source: str) -> tuple[list[Place], list[str]]:
    """The named points of a FeatureCollection, the middle of what is no point; and what is wrong with the features that
    are left out. Raises PermanentError for what is no FeatureCollection."""
    kind = table(document).get("type")
    features = table(document).get("features")
    if kind != "FeatureCollection" or not isinstance(features, list):
        found = f"a {kind!r}" if isinstance(kind, str) else "something else"
        raise PermanentError(
            f"{printable(source[:200])} is not a GeoJSON FeatureCollection, but {printable(found[:80])}"
        )
    places: dict[str, Place] = {}
    faults: list[str] = []
    for index, feature in enumerate(features):
        try:
            place = _place(table(feature), source)
        except (ValueError, RecursionError) as error:
            faults.append(f"feature {index} is left out: {error}")
        else:
            places[place.address] = place
    return list(places.values()), faults


def _loaded(path: Path) -> Any:
    try:
        content = read_file(str(path), MAX_FILE)
    except OSError as error:
        raise PermanentError(f"the file {str(path)!r} cannot be read ({error.strerror}); check the path") from None
    if len(content) > MAX_FILE:
        raise PermanentError(f"the file {str(path)!r} is larger than {MAX_FILE:,} bytes")
    text = decode(content)
    try:
        return json.loads(text.text if text else "")
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"the file {str(path)!r} is not JSON ({error})") from None


def _place(feature: dict[str, Any], source: str) -> Place:
    """Raises ValueError saying what is wrong."""
    facts = table(feature.get("properties"))
    name = words(facts.get("name"))
    if not name:
        raise ValueError("it has no name")
    lat, lng = _middle(table(feature.get("geometry")))
    identity = feature.get("id")
    if not isinstance(identity, str | int):
        identity = sha256(f"{name} {lat} {lng}".encode("utf-8", "replace")).hexdigest()[:16]
    kinds = [kind for key in ("type", "types", "amenity", "category") for kind in names(facts.get(key))]
    rating, ratings = number(facts.get("rating")), number(facts.get("ratings"))
    return Place(
        address=f"{source}#{str(identity)[:200]}",
        name=name,
        lat=lat,
        lng=lng,
        types=tuple(dict.fromkeys(kinds)),
        rating=rating if rating is not None and 0 <= rating <= 5 else None,
        ratings=None if ratings is None else int(ratings),
        street=words(facts.get("address")),
        website=words(facts.get("website")),
        phone=words(facts.get("phone")),
        description=words(facts.get("description")),
        sample=facts.get("sample") is True,
    )


def _middle(geometry: dict[str, Any]) -> tuple[float, float]:
    coordinates = geometry.get("coordinates")
    if geometry.get("type") == "Point":
        return _position(coordinates)
    corners = [_position(each) for each in _positions(coordinates)]
    if not corners:
        raise ValueError("it has no geometry with a position")
    lats, lngs = zip(*corners, strict=True)
    return (min(lats) + max(lats)) / 2, (min(lngs) + max(lngs)) / 2


def _positions(coordinates: Any) -> Iterator[Any]:
    """The positions in lists of lists, as deep as polygons have them."""
    if isinstance(coordinates, list) and coordinates and not isinstance(coordinates[0], list):
        yield coordinates
    elif isinstance(coordinates, list):
        for inner in coordinates:
            yield from _positions(inner)


def _position(coordinates: Any) -> tuple[float, float]:
    """GeoJSON has the longitude first."""
    if not isinstance(coordinates, list) or len(coordinates) < 2:
        raise ValueError("its coordinates are not a longitude and a latitude")
    return position(coordinates[1], coordinates[0])
