"""What a request gets that cannot be granted: a page for people, one JSON shape for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from app.main import create_app
from app.settings import Settings

PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    app = create_app(Settings(data=tmp_path_factory.mktemp("data")))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_a_person_gets_a_page_with_a_way_out(client: TestClient[Any]) -> None:
    response = client.get("/nothing", headers=PAGE)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "404 Not Found" in response.text
    assert "there is nothing at this address" in response.text
    assert 'href="/queue"' in response.text


def test_a_job_that_does_not_exist_has_a_page_that_says_so(client: TestClient[Any]) -> None:
    response = client.get("/jobs/4711", headers=PAGE)
    assert response.status_code == 404
    assert "there is no job 4711; it may have been deleted" in response.text


def test_the_api_answers_programs_even_when_a_browser_asks(client: TestClient[Any]) -> None:
    response = client.get("/api/nothing", headers=PAGE)
    assert response.json() == {"error": "not_found", "detail": "there is nothing at this address"}


def test_a_program_that_asks_for_json_gets_json_everywhere(client: TestClient[Any]) -> None:
    response = client.get("/nothing", headers={"Accept": "application/json"})
    assert response.json()["error"] == "not_found"


@pytest.mark.parametrize("path", ["/queue", "/api/jobs/stats", "/healthz"])
def test_a_method_that_an_address_does_not_take(client: TestClient[Any], path: str) -> None:
    response = client.delete(path, headers=PAGE)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert "this address does not take that method" in response.text


def test_what_came_from_outside_is_shown_as_text(client: TestClient[Any]) -> None:
    response = client.get("/queue", headers={**PAGE, "Host": "<script>alert(1)</script>"})
    assert response.status_code == 421
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert(1)" in response.text


def test_a_fault_of_ours_is_admitted_without_details(
    client: TestClient[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(client.app.state.access.catalog, "definitions", broken)
    response = client.get("/api/definitions")
    assert response.status_code == 500
    assert response.json() == {
        "error": "internal_error",
        "detail": "something went wrong on the server; its log says what",
    }
    assert "the secret of the house" in capsys.readouterr().out
