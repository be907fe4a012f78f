"""Places of each provider become documents, one for each, from answers as the providers send them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from app.steps.outside.trouble import PassingError
from app.steps.places.geojson import SAMPLE
from app.steps.places.overpass import question
from app.steps.places.place import Place, distance
from app.steps.places_search import PlacesSearch, PlacesSearchSettings
from app.work.step_type import PermanentError

from .conftest import MakeStage, RecordingContext
from .loopback import Asked, Reply, Site, serving, to

HERE = {"lat": -37.9167, "lng": 145.1833}
JSON = {"Content-Type": "application/json; charset=UTF-8"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


async def searched(stage: MakeStage, **settings: Any) -> tuple[Any, RecordingContext]:
    """What came of the one work item, and the context."""
    on_stage = stage(PlacesSearch, allow_hosts=["127.0.0.1"], **settings)
    (result,) = (await on_stage.run()).values()
    return result, on_stage.context


def titles(context: RecordingContext) -> list[str]:
    return [document.title for document in context.stored.values()]


def metres_north(metres: float) -> dict[str, float]:
    return {"latitude": HERE["lat"] + metres / 111_195, "longitude": HERE["lng"]}


def google_place(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"ChIJ{number}",
        "displayName": {"text": f"Place {number}", "languageCode": "en"},
        "location": metres_north(number * 10),
        "types": ["thai_restaurant", "restaurant", "food"],
        **more,
    }


def answered(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(value), status, {**JSON, **headers})


@pytest.fixture
def google(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings for a Google of our own."""
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "s3cret")
    return {"provider": "google", "endpoint": site.url("/v1")}


# The bundled sample, and other GeoJSON


async def test_the_sample_has_twenty_good_restaurants_nearby_and_says_it_is_made_up(stage: MakeStage) -> None:
    wish = {**HERE, "filter_type": "restaurant", "filter_min_rating": 3.5, "tags": ["food"]}
    result, context = await searched(stage, **wish, max_results=20)
    assert result == {"found": 32, "saved": 20} and len(context.stored) == 20
    document = next(iter(context.stored.values()))
    assert document.source_type == "places" and document.tags == ("food",)
    assert document.body.startswith(f"# {document.title}\n") and "- Note: made up" in document.body
    facts = document.metadata["places_search"]
    assert facts["sample"] is True and facts["rating"] >= 3.5 and "restaurant" in facts["types"]
    assert "the places are made up: they are the bundled sample" in context.messages("info")


async def test_places_are_filtered_by_distance_type_and_rating_the_nearest_first(stage: MakeStage) -> None:
    everything, _ = await searched(stage, **HERE, radius=50_000, max_results=1000)
    assert everything["saved"] == 32 == len(json.loads(SAMPLE.read_text())["features"])
    result, context = await searched(stage, **HERE, radius=400, filter_type="restaurant")
    places = [document.metadata["places_search"] for document in context.stored.values()]
    far = [distance(HERE["lat"], HERE["lng"], Place("", "", place["lat"], place["lng"])) for place in places]
    assert result["saved"] == 5 and far == sorted(far) and far[-1] <= 401
    rated, _ = await searched(stage, **HERE, filter_type="restaurant", max_results=1000)
    good, _ = await searched(stage, **HERE, filter_type="restaurant", filter_min_rating=3.2, max_results=1000)
    assert rated["saved"] - good["saved"] == 3


async def test_a_text_search_looks_for_all_its_words(stage: MakeStage) -> None:
    result, context = await searched(stage, search_type="text_search", search_query="Pizza fired")
    assert result["saved"] == 4 and all("pizza" in document.body for document in context.stored.values())


async def test_searching_again_updates_the_same_documents_and_keeps_what_others_found(stage: MakeStage) -> None:
    on_stage = stage(PlacesSearch, **HERE)
    await on_stage.run()
    document = next(iter(on_stage.context.stored.values()))
    document.metadata["agent"] = {"keywords": ["curry"]}
    await on_stage.run()
    assert len(on_stage.context.stored) == 20
    assert on_stage.context.stored[document.address].metadata["agent"] == {"keywords": ["curry"]}


async def test_geojson_of_ones_own_file_or_url(stage: MakeStage, site: Site, tmp_path: Path) -> None:
    square = [[[145.18, -37.91], [145.19, -37.91], [145.19, -37.92], [145.18, -37.92]]]
    features = [
        {"type": "Feature", "id": 7, "geometry": {"type": "Point", "coordinates": [145.1833, -37.9167, 30]},
         "properties": {"name": " A\n b ", "amenity": "cafe", "rating": 4, "ratings": 3, "website": "http://a"}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}, "properties": {"name": "Park"}},
    ]  # fmt: skip
    content = json.dumps({"type": "FeatureCollection", "features": features})
    (tmp_path / "places.geojson").write_text(content)
    _, context = await searched(stage, **HERE, source=str(tmp_path / "places.geojson"))
    assert titles(context) == ["A b", "Park"]
    assert context.stored[f"file:{tmp_path}/places.geojson#7"].body == (
        "# A b\n\n- Type: cafe\n- Rating: 4 of 5 (3 ratings)\n- Website: http://a\n- Position: -37.91670, 145.18330"
    )
    site.routes["/p.geojson"] = Reply(content, headers={"Content-Type": "application/geo+json"})
    _, context = await searched(stage, **HERE, source=site.url("/p.geojson"))
    assert site.url("/p.geojson#7") in context.stored and len(context.stored) == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "is not a GeoJSON FeatureCollection, but something else"),
        ('{"type": "Feature"}', "is not a GeoJSON FeatureCollection, but a 'Feature'"),
        ('{"type": "FeatureCollection", "features": {}}', "is not a GeoJSON FeatureCollection"),
        ('{"type": "Topology", "objects": {}}', "but a 'Topology'"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("\0\1", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("NaN", "is not a GeoJSON"),
    ],
)
async def test_a_file_of_the_wrong_shape_is_a_reason(stage: MakeStage, tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "x.json").write_text(content)
    result, context = await searched(stage, **HERE, source=str(tmp_path / "x.json"))
    assert isinstance(result, PermanentError) and why in str(result) and not context.stored


async def test_a_file_that_is_not_there_is_a_reason(stage: MakeStage, tmp_path: Path) -> None:
    result, _ = await searched(stage, **HERE, source=str(tmp_path / "gone.json"))
    assert isinstance(result, PermanentError) and "cannot be read (No such file or directory)" in str(result)


async def test_wrong_features_are_left_out_with_a_warning_each_up_to_five(stage: MakeStage, tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [145.1833, -37.9167]}
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    wrong = [
        None,
        5,
        {"geometry": point},
        {"properties": {"name": 5}, "geometry": point},
        {"properties": {"name": "a"}},
        {"properties": {"name": "a"}, "geometry": {"type": "Point", "coordinates": ["1", 2]}},
        {"properties": {"name": "a"}, "geometry": {"type": "Point", "coordinates": [200, 2]}},
        {"properties": {"name": "a"}, "geometry": {"type": "Point", "coordinates": 7}},
        {"properties": {"name": "a"}, "geometry": {"type": "Point", "coordinates": [1e400, 2]}},
        {"properties": {"name": "a"}, "geometry": {"type": "GeometryCollection", "geometries": []}},
        {"properties": {"name": "a"}, "geometry": {"type": "Polygon", "coordinates": deep}},
    ]
    right = {"properties": {"name": "Right", "rating": "five", "types": {"a": 1}, "address": []}, "geometry": point}
    (tmp_path / "x.json").write_text(json.dumps({"type": "FeatureCollection", "features": [*wrong, right]}))
    result, context = await searched(stage, **HERE, source=str(tmp_path / "x.json"))
    assert result == {"found": 1, "saved": 1} and titles(context) == ["Right"]
    assert len(context.messages("warn")) == 6
    assert context.messages("warn")[-1] == f"{len(wrong) - 5} more features are left out"


# Google Places API (New)


async def test_google_is_asked_for_what_is_nearby(stage: MakeStage, site: Site, google: dict[str, Any]) -> None:
    described = google_place(
        1,
        rating=4.4,
        userRatingCount=1234,
        formattedAddress="1 Street",
        websiteUri="https://a.example/",
        nationalPhoneNumber="(03) 1",
        editorialSummary={"text": "Curries"},
    )
    site.routes["/v1/places:searchNearby"] = answered({"places": [described, google_place(2)]})
    result, context = await searched(
        stage, **google, **HERE, radius=500, filter_type="restaurant", max_results=5, language="en"
    )
    sent = site.asked[0]
    assert sent.method == "POST" and sent.headers["x-goog-api-key"] == "s3cret"
    assert "places.displayName" in sent.headers["x-goog-fieldmask"].split(",")
    assert "nextPageToken" not in sent.headers["x-goog-fieldmask"], "a nearby search knows no such field"
    assert json.loads(sent.body) == {
        "maxResultCount": 5,
        "rankPreference": "DISTANCE",
        "locationRestriction": {
            "circle": {"center": {"latitude": HERE["lat"], "longitude": HERE["lng"]}, "radius": 500}
        },
        "includedTypes": ["restaurant"],
        "languageCode": "en",
    }
    assert result == {"found": 2, "saved": 2}
    document = context.stored["https://www.google.com/maps/place/?q=place_id:ChIJ1"]
    assert "- Rating: 4.4 of 5 (1,234 ratings)" in document.body and "Curries" in document.body
    assert document.metadata["places_search"]["provider"] == "google"
    assert "s3cret" not in repr((context.lines, context.stored))


async def test_google_is_asked_page_by_page_for_a_text(stage: MakeStage, site: Site, google: dict[str, Any]) -> None:
    def search(asked: Asked) -> Reply:
        page = int(json.loads(asked.body).get("pageToken", 0))
        places = [google_place(page * 20 + number) for number in range(20)]
        return answered({"places": places, "nextPageToken": str(page + 1)})

    site.routes["/v1/places:searchText"] = search
    wish = {"search_type": "text_search", "search_query": "thai food", "filter_min_rating": 0}
    result, context = await searched(stage, **google, **wish, max_results=45)
    assert result == {"found": 60, "saved": 45} and len(context.stored) == 45 and len(site.asked) == 3
    assert json.loads(site.asked[0].body) == {"textQuery": "thai food", "pageSize": 20}
    result, _ = await searched(stage, **google, **wish, max_results=500)
    assert result["found"] == 60 and len(site.asked) == 6, "pages without end are not followed without end"
    site.routes["/v1/places:searchText"] = answered({})
    result, _ = await searched(stage, **google, **wish)
    assert result == {"found": 0, "saved": 0}


async def test_a_rating_is_asked_for_in_halves_and_filtered_exactly(
    stage: MakeStage, site: Site, google: dict[str, Any]
) -> None:
    places = [google_place(1, rating=4.2), google_place(2, rating=4.4), google_place(3)]
    site.routes["/v1/places:searchText"] = answered({"places": places})
    _, context = await searched(
        stage, **google, search_type="text_search", search_query="x", filter_min_rating=4.3, filter_type="restaurant"
    )
    sent = json.loads(site.asked[0].body)
    assert (sent["minRating"], sent["includedType"], sent["strictTypeFiltering"]) == (4.0, "restaurant", True)
    assert titles(context) == ["Place 2"]


async def test_a_quota_is_waited_for_and_then_told(stage: MakeStage, site: Site, google: dict[str, Any]) -> None:
    error = {"error": {"code": 429, "message": "Quota exceeded for quota metric", "status": "RESOURCE_EXHAUSTED"}}
    storm = answered(error, 429, **{"Retry-After": "0"})
    site.routes["/v1/places:searchNearby"] = [storm, answered({"places": [google_place(1)]})]
    result, context = await searched(stage, **google, **HERE)
    assert result["saved"] == 1 and "Quota exceeded" in context.messages("warn")[0]
    site.routes["/v1/places:searchNearby"] = storm
    result, _ = await searched(stage, **google, **HERE)
    assert isinstance(result, PassingError) and "Quota exceeded" in str(result)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answered({"error": {"message": "API key not valid."}}, 400), "answered 400 Bad Request: API key not valid."),
        (
            answered({"error": {"message": "Places API (New) has not been used"}}, 403),
            "403 Forbidden: Places API (New)",
        ),
        (Reply("<html>", 403), "answered 403 Forbidden"),
        (answered([]), "no list of 'places'"),
        (answered({"places": {}}), "no list of 'places'"),
        (Reply('{"places": [', headers=JSON), "did not answer with JSON"),
        (to("http://localhost:1/", 307), "redirects what is sent to another host"),
    ],
)
async def test_what_google_refuses_is_told(
    stage: MakeStage, site: Site, google: dict[str, Any], reply: Reply, why: str
) -> None:
    site.routes["*"] = reply
    result, _ = await searched(stage, **google, **HERE)
    assert isinstance(result, PermanentError) and why in str(result)


async def test_places_of_the_wrong_shape_are_left_out(stage: MakeStage, site: Site, google: dict[str, Any]) -> None:
    wrong = [None, "x", {}, google_place(1, id=5), google_place(2, displayName="x"), google_place(3, location=[])]
    odd = google_place(4, types="restaurant", rating="good", userRatingCount=[], editorialSummary="x")
    site.routes["*"] = answered({"places": [*wrong, odd], "nextPageToken": 5})
    _, context = await searched(stage, **google, **HERE)
    assert titles(context) == ["Place 4"] and len(context.messages("warn")) == 6


async def test_without_a_key_the_step_says_what_to_set(stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_PLACES_API_KEY", raising=False)
    with pytest.raises(PermanentError, match="GOOGLE_PLACES_API_KEY is not set"):
        await searched(stage, provider="google", **HERE)


# OpenStreetMap


def test_and_so_does_its_definition_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_PLACES_API_KEY", raising=False)
    made_up = PlacesSearchSettings(lat=1.0, lng=2.0)
    google = PlacesSearchSettings(provider="google", lat=1.0, lng=2.0)
    found = PlacesSearch.obstacle(google)
    assert found and "GOOGLE_PLACES_API_KEY is not set" in found.reason and "provider" in found.settings
    assert PlacesSearch.obstacle(made_up) is None
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "key")
    assert PlacesSearch.obstacle(google) is None


async def test_overpass_is_asked_and_answers(stage: MakeStage, site: Site) -> None:
    elements = [
        {"type": "node", "id": 1, "lat": HERE["lat"], "lon": HERE["lng"],
         "tags": {"amenity": "restaurant", "name": "Node", "addr:street": "Street", "addr:housenumber": "1",
                  "addr:city": "Town", "cuisine": "thai", "contact:phone": "1"}},
        {"type": "way", "id": 2, "center": {"lat": HERE["lat"] + 0.001, "lon": HERE["lng"]},
         "tags": {"amenity": "restaurant", "name": "Way", "website": "https://a.example"}},
        {"type": "node", "id": 3, "lat": HERE["lat"], "lon": HERE["lng"], "tags": {"amenity": "restaurant"}},
        {"type": "node", "id": "4", "lat": HERE["lat"], "lon": HERE["lng"], "tags": {"name": "x"}},
        None,
    ]  # fmt: skip
    site.routes["/api"] = answered({"version": 0.6, "elements": elements})
    settings = {"provider": "overpass", "endpoint": site.url("/api"), **HERE, "filter_type": "restaurant"}
    result, context = await searched(stage, **settings)
    assert result == {"found": 2, "saved": 2} and titles(context) == ["Node", "Way"]
    assert parse_qs(site.asked[0].body.decode())["data"] == [
        "[out:json][timeout:25];nwr(around:2000,-37.916700,145.183300)[name]"
        '[~"^(amenity|shop|tourism|leisure|office|healthcare|craft)$"~"^restaurant$"];out center;'
    ]
    document = context.stored["https://www.openstreetmap.org/node/1"]
    assert "- Address: 1 Street, Town" in document.body and "- Type: restaurant, thai" in document.body


async def test_a_query_cannot_leave_its_place_in_the_question(stage: MakeStage) -> None:
    settings = PlacesSearchSettings(
        provider="overpass", search_type="text_search", search_query='a"];out;\\ .*', **HERE, allow_hosts=[]
    )
    assert question(settings.wish()).endswith(r'["name"~"a\"\\];out;\\\\ \\.\\*",i];out center;')


async def test_an_overpass_server_that_gives_up_is_a_passing_failure(stage: MakeStage, site: Site) -> None:
    settings = {"provider": "overpass", "endpoint": site.url("/api"), **HERE}
    remark = 'runtime error: Query timed out in "query" at line 1 after 26 seconds.'
    site.routes["/api"] = answered({"elements": [], "remark": remark})
    result, _ = await searched(stage, **settings)
    assert isinstance(result, PassingError) and "Query timed out" in str(result)
    site.routes["/api"] = [Reply(status=504, headers={"Retry-After": "0"}), answered({"elements": []})]
    result, _ = await searched(stage, **settings)
    assert result == {"found": 0, "saved": 0}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "lat and lng are missing"),
        ({"lat": 1.0}, "lat and lng belong together"),
        ({"search_type": "text_search"}, "search_query is missing"),
        ({"search_type": "text_search", "search_query": "x", "provider": "overpass"}, "lat and lng are missing"),
        ({**HERE, "provider": "overpass", "filter_min_rating": 3.5}, "OpenStreetMap has no ratings"),
        ({**HERE, "provider": "google", "source": "x"}, "source is for the provider geojson only"),
        ({**HERE, "filter_type": '"]'}, "should match pattern"),
        ({"lat": 91.0, "lng": 0.0}, "less than or equal to 90"),
        ({**HERE, "radius": 0.0}, "greater than 0"),
    ],
)
def test_wrong_settings_are_refused_at_load(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PlacesSearchSettings.model_validate(wrong)
