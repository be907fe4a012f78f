"""Who may ask, from where, and what a browser may do with the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from app.main import create_app
from app.settings import Settings
from app.web.security import HEADERS


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    settings = Settings(data=tmp_path_factory.mktemp("data"), allowed_hosts=("jobs.example",))
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.mark.parametrize("path", ["/queue", "/api/jobs", "/healthz", "/schema", "/static/vendor/hx-sse-4.0.1.min.js"])
@pytest.mark.parametrize("name", HEADERS)
def test_every_answer_carries_the_security_headers(client: TestClient[Any], path: str, name: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers.get_list(name) == [HEADERS[name]]


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing", "/api/jobs/0", "/api/jobs/4711"])
def test_refusals_carry_them_too(client: TestClient[Any], path: str) -> None:
    response = client.get(path)
    assert response.status_code in (400, 404)
    assert HEADERS.items() <= {name: response.headers.get(name) for name in HEADERS}.items()


def test_the_policy_allows_nothing_but_our_own(client: TestClient[Any]) -> None:
    policy = client.get("/queue").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    for directive in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "localhost:9",
        "LOCALHOST",
        "localhost.",
        "[::1]:8000",
        "[::1]",
        "jobs.example:443",
    ],
)
def test_a_known_host_is_answered(client: TestClient[Any], host: str) -> None:
    assert client.get("/api/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "jobs.example.evil", "localhost@evil", "", "::1"],
)
def test_an_unknown_host_is_told_which_ones_are_known(client: TestClient[Any], host: str) -> None:
    response = client.get("/api/jobs", headers={"Host": host})
    assert response.status_code == 421
    for known in ("127.0.0.1", "localhost", "jobs.example", "STEPGLASS_ALLOWED_HOSTS"):
        assert known in response.json()["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_an_unknown_host_is_refused_at_every_address(client: TestClient[Any]) -> None:
    for path in ("/queue", "/nothing", "/api/events", "/queue/stream", "/static/x"):
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 421


def post(client: TestClient[Any], **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/api/jobs/4711/cancellation", headers=sent).status_code


LET_IN = 404  # there is no such job: the request came through


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "https://127.0.0.1:8000"},  # a proxy ends TLS
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:8000"},
        {"Origin": "http://jobs.example", "Host": "jobs.example"},
    ],
)
def test_our_own_pages_and_programs_may_change_things(client: TestClient[Any], headers: dict[str, str]) -> None:
    assert post(client, **headers) == LET_IN


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "something-new"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://127.0.0.1:8000.evil.example"},
        {"Origin": "http://127.0.0.1:8000@evil.example"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    ],
)
def test_pages_of_other_sites_may_not(client: TestClient[Any], headers: dict[str, str]) -> None:
    assert post(client, **headers) == 403


@pytest.mark.parametrize("path", ["/api/jobs", "/jobs", "/nothing", "/queue"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_address_takes_changes_from_other_sites(client: TestClient[Any], method: str, path: str) -> None:
    response = client.request(method, path, headers={"Origin": "http://evil.example"})
    assert response.status_code == 403
    assert "may not change anything here" in response.text


def test_other_sites_may_link_here(client: TestClient[Any]) -> None:
    assert client.get("/queue", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_nothing_is_loaded_from_elsewhere(client: TestClient[Any]) -> None:
    for path in ("/queue", "/schema"):
        page = client.get(path).text
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page
        assert "<style" not in page
        assert " style=" not in page


@pytest.mark.parametrize("path", ["/queue", "/api/jobs", "/healthz", "/nothing"])
def test_head_is_answered_like_get_without_the_content(client: TestClient[Any], path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/queue", "/schema", "/nothing", "/jobs/99999999999999999999999"])
def test_every_page_says_which_moment_it_belongs_to(client: TestClient[Any], path: str) -> None:
    page = client.get(path, headers={"Accept": "text/html"})
    assert page.status_code in (200, 404)
    assert re.search(r'<body data-revision="[0-9]+">', page.text)
