"""places_search: finds places near a point or by a text, and makes a document of each."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Literal, Self

from pydantic import Field, model_validator

from app.steps.document_facts import with_facts
from app.steps.outside.addresses import AllowHosts
from app.steps.outside.client import Answer, Limits, Outside, Request
from app.steps.outside.secrets import SecretName, secret
from app.steps.outside.trouble import patiently
from app.steps.outside.untrusted import table, words
from app.steps.places import google, overpass
from app.steps.places.geojson import is_url, places_of_file, places_of_url
from app.steps.places.google import google_places
from app.steps.places.overpass import overpass_places
from app.steps.places.place import Asking, Place, Wish, distance
from app.work.step_type import Context, Document, Obstacle, PermanentError, Settings, StepType, WorkItem

SOURCE_TYPE = "places"
_LIMITS_SIZE = 50 << 20


class PlacesSearchSettings(Settings):
    provider: Literal["google", "overpass", "geojson"] = "geojson"
    source: str = ""
    """For geojson: a file or URL with a FeatureCollection; none means the bundled sample of made-up places."""
    search_type: Literal["nearby_search", "text_search"] = "nearby_search"
    search_query: str = Field("", max_length=500)
    """Words that a text search looks for."""
    lat: float | None = Field(None, ge=-90, le=90)
    lng: float | None = Field(None, ge=-180, le=180)
    radius: float = Field(2000, gt=0, le=50_000)
    """In metres around lat and lng."""
    filter_type: str = Field("", pattern=r"^[a-z0-9_]*$", max_length=100)
    """Such as "restaurant", in the words of the provider."""
    filter_min_rating: float = Field(0, ge=0, le=5)
    """Places with a lower rating, or none, are left out. OpenStreetMap has no ratings."""
    max_results: int = Field(20, ge=1, le=10_000)
    """Google has 20 at most for a nearby search, 60 for a text search."""
    language: str = Field("", pattern=r"^[A-Za-z-]*$", max_length=20)
    """Such as "de"; for google."""
    api_key: SecretName = "GOOGLE_PLACES_API_KEY"
    """The environment variable that holds the key for google."""
    endpoint: str = ""
    """Another address of the provider, such as an Overpass server of your own."""
    tags: list[str] = Field(default_factory=list)
    request_seconds: float = Field(60.0, gt=0, le=3600)
    retries: int = Field(2, ge=0, le=10)
    max_wait: float = Field(60.0, ge=0, le=3600)
    """The longest wait, in seconds, that a provider may ask for with Retry-After."""
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.lat is None) != (self.lng is None):
            raise ValueError("lat and lng belong together; give both")
        if self.lat is None and (self.search_type == "nearby_search" or self.provider == "overpass"):
            raise ValueError("lat and lng are missing; say around which point to search")
        if self.search_type == "text_search" and not self.search_query.strip():
            raise ValueError("search_query is missing; a text search needs words to look for")
        if self.provider == "overpass" and self.filter_min_rating:
            raise ValueError("filter_min_rating cannot be had from overpass, since OpenStreetMap has no ratings")
        if self.provider != "geojson" and self.source:
            raise ValueError("source is for the provider geojson only")
        return self

    def wish(self) -> Wish:
        return Wish(
            self.search_type == "nearby_search",
            " ".join(self.search_query.split()),
            self.lat,
            self.lng,
            self.radius,
            self.filter_type,
            self.filter_min_rating,
            self.max_results,
            self.language,
        )


class PlacesSearch(StepType[PlacesSearchSettings]):
    """One work item: the search."""

    name = "places_search"
    summary = "Finds places around a point or by a text, and makes a document of each."
    settings_type = PlacesSearchSettings
    timeout = 3600.0

    @classmethod
    def obstacle(cls, settings: PlacesSearchSettings) -> Obstacle | None:
        if settings.provider == "google":
            try:
                secret(settings.api_key)
            except PermanentError as error:
                return Obstacle(f"Google Places wants a key: {error}", ("provider", "api_key"))
        return None

    async def plan(self, context: Context[PlacesSearchSettings]) -> AsyncIterator[WorkItem]:
        settings = context.settings
        if settings.provider == "google":
            secret(settings.api_key)  # one that is not set fails the step before anything is asked
        what = settings.filter_type or "places"
        where = "" if settings.lat is None else f" near {settings.lat:g}, {settings.lng:g}"
        yield WorkItem(f'"{settings.search_query}"{where}' if settings.search_type == "text_search" else what + where)

    async def run(self, context: Context[PlacesSearchSettings], item: WorkItem) -> dict[str, int]:
        """How many places were found, and how many of them are wanted and saved."""
        settings, wish = context.settings, context.settings.wish()
        async with Outside(settings.allow_hosts) as outside:
            found = await _found(context, wish, outside)
        if settings.provider == "geojson" and not wish.nearby:  # the others search by themselves
            found = [place for place in found if _holds_words(place, wish.query)]
        wanted = _wanted(found, wish)
        for place in wanted:
            _save(context, place)
        context.log(f"{len(found):,} places found, {len(wanted):,} of them as wanted: {item.name}")
        return {"found": len(found), "saved": len(wanted)}


async def _found(context: Context[PlacesSearchSettings], wish: Wish, outside: Outside) -> list[Place]:
    settings = context.settings
    limits = Limits(settings.request_seconds, _LIMITS_SIZE)

    def warn(message: str) -> None:
        context.log(message, "warn")

    async def send(request: Request) -> Answer:
        async def attempt() -> Answer:
            answer = await outside.fetch(request, limits)
            return answer.check(detail=_told_fault(answer))

        # A search changes nothing, whatever its method is.
        return await patiently(attempt, warn, retries=settings.retries, longest_wait=settings.max_wait)

    asking = Asking(send, warn)
    match settings.provider:
        case "google":
            endpoint = (settings.endpoint or google.ENDPOINT).rstrip("/")
            return await google_places(wish, asking, endpoint, secret(settings.api_key))
        case "overpass":
            return await overpass_places(wish, asking, settings.endpoint or overpass.ENDPOINT)
        case "geojson" if is_url(settings.source):
            return await places_of_url(settings.source, asking)
        case "geojson":
            if not settings.source:
                context.log("the places are made up: they are the bundled sample")
            return await places_of_file(settings.source, asking)


def _told_fault(answer: Answer) -> str:
    """What a provider says about a refusal, as Google does: {"error": {"message": ...}}."""
    if answer.status < 400:
        return ""
    try:
        return words(table(table(answer.json()).get("error")).get("message"))[:300]
    except Exception:
        return ""


def _wanted(found: list[Place], wish: Wish) -> list[Place]:
    """Those that fit, the nearest first (of a text search the best first, where it is not around a point)."""
    near = {place.address: _distance(place, wish) for place in found}
    fitting = [place for place in found if _fits(place, near[place.address], wish)]
    if wish.lat is not None:
        fitting.sort(key=lambda place: (near[place.address], place.address))
    return fitting[: wish.most]


def _distance(place: Place, wish: Wish) -> float:
    return 0.0 if wish.lat is None or wish.lng is None else distance(wish.lat, wish.lng, place)


def _fits(place: Place, far: float, wish: Wish) -> bool:
    if far > wish.radius * 1.001:  # providers and we do not round alike
        return False
    if wish.kind and wish.kind not in (kind.lower().replace(" ", "_") for kind in place.types):
        return False
    return not wish.min_rating or (place.rating is not None and place.rating >= wish.min_rating)


def _holds_words(place: Place, query: str) -> bool:
    text = f"{place.name} {' '.join(place.types)} {place.street} {place.description}".casefold()
    return all(word in text for word in re.findall(r"\w+", query.casefold()))


def _save(context: Context[PlacesSearchSettings], place: Place) -> None:
    settings = context.settings
    stored = context.document(place.address)
    document = Document(
        address=place.address,
        title=place.name,
        body=place.body(),
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
    )
    facts = {"provider": settings.provider, **place.facts()}
    context.save_document(with_facts(document, PlacesSearch.name, facts, settings.tags))
