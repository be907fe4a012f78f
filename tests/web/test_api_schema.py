"""The OpenAPI description against the API itself: nothing that is asked makes it fail, each answer is as described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from litestar.testing import TestClient
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.settings import Settings
from tests.web.histories import write_history

ADDRESS = "http://127.0.0.1"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    data = tmp_path_factory.mktemp("data")
    write_history(data)
    with TestClient(create_app(Settings(data=data)), base_url=ADDRESS) as client:
        yield client


# All calls, except the stream that never ends.
schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi_schema.to_schema()).exclude(path="/api/events")


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_call_is_as_described(case: schemathesis.Case, client: TestClient[Any]) -> None:
    request = case.as_transport_kwargs(base_url=ADDRESS)
    request.pop("cookies")  # nothing here uses any
    if isinstance(request.get("data"), str | bytes):
        request["content"] = request.pop("data")
    response = client.request(**request)
    case.validate_response(response, checks=CHECKS)


def test_everything_is_described(client: TestClient[Any]) -> None:
    description = client.get("/schema/openapi.json").json()
    assert set(description["paths"]) == {
        "/api/jobs",
        "/api/jobs/stats",
        "/api/jobs/{job_id}",
        "/api/jobs/{job_id}/structure",
        "/api/jobs/{job_id}/tree",
        "/api/jobs/{job_id}/logs",
        "/api/jobs/{job_id}/cancellation",
        "/api/jobs/{job_id}/attempts",
        "/api/actions",
        "/api/jobs/{job_id}/actions",
        "/api/jobs/{job_id}/retries",
        "/api/jobs/{job_id}/retries/preview",
        "/api/jobs/{job_id}/deletion/preview",
        "/api/jobs/{job_id}/reruns",
        "/api/jobs/{job_id}/acknowledgement",
        "/api/bulk",
        "/api/bulk/{token}",
        "/api/bulk/{token}/confirmation",
        "/api/jobs/{job_id}/pause",
        "/api/jobs/{job_id}/priority",
        "/api/queue/pause",
        "/api/pauses",
        "/api/definitions/{definition_id}/pause",
        "/api/definitions",
        "/api/definitions/{definition_id}",
        "/api/documents",
        "/api/documents/{document_id}",
        "/api/definitions/{definition_id}/switch",
        "/api/definitions/{definition_id}/schedule/pause",
        "/api/schedules",
        "/api/system",
        "/api/system/owners",
        "/api/events",
        "/healthz",
    }
    page = client.get("/schema").text
    for path in description["paths"]:
        assert path in page
