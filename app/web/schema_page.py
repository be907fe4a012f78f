"""/schema: the JSON API on one plain page, without scripts; the full description is at /schema/openapi.json."""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from app.web.errors import revision_of


class SchemaPage(OpenAPIRenderPlugin):
    """Lists every call with its parameters and answers."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        calls = [
            {"method": method.upper(), "path": path, **operation}
            for path, operations in openapi_schema["paths"].items()
            for method, operation in operations.items()
            if method in ("get", "post", "delete")
        ]
        engine = request.app.template_engine
        assert engine is not None
        return str(engine.get_template("schema.html").render(calls=calls, revision=revision_of(request))).encode()
