"""What a request gets that cannot be granted: a page for people, one JSON shape for programs, one sentence in both."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Template

from app.queue.bulk_reading import UnknownSet
from app.queue.database import ReadFailed
from app.queue.log_reading import BadPlace
from app.queue.places import BadCursor
from app.queue.snapshot import UnknownDocument, UnknownJob
from app.queue.store.start import AlreadyRunning, DefinitionDisabled
from app.queue.writer import OutcomeUnknown, WriteFailed
from app.web import dom
from app.web.access import NoSuchDefinition, NotStartable
from app.web.json_shapes import Error

log = structlog.get_logger(__name__)

WAYS_OUT = {
    HTTPStatus.BAD_REQUEST: "The address asks for something that cannot be. Nothing was changed.",
    HTTPStatus.NOT_FOUND: "If a link led you here, what it meant is gone. The queue shows all there is.",
    HTTPStatus.CONFLICT: "Nothing was changed: the job is not in a state for that. What it does now is on its page.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Nothing was changed. Go back, put right what is named here, and send it again.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The fault is ours, not yours. Nothing that was acknowledged is lost; try again.",
    HTTPStatus.SERVICE_UNAVAILABLE: "What was acknowledged before is safe. Once that is put right, try again.",
}
"""What a person may make of it, for the page."""

RETRY_AFTER = "5"
"""Seconds, for programs: by then it is known whether the trouble is over."""

AnyRequest = Request[Any, Any, Any]


class Conflict(Exception):
    """The job is not in a state for this; the message says why, `url` where to look."""

    def __init__(self, detail: str, url: str) -> None:
        super().__init__(detail)
        self.url = url


class Refused(Exception):
    """A request that is not let in, with the status it is answered with."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def exception_handlers() -> dict[int | type[Exception], Any]:
    """For Litestar: every exception becomes an answer."""
    return {Exception: answer}


def error_answers(*codes: int) -> dict[int, ResponseSpec]:
    """For the OpenAPI description: the errors that a call may be answered with, besides 400."""
    return {code: described(Error, HTTPStatus(code).phrase) for code in (400, *codes)}


def described(shape: type, meaning: str) -> ResponseSpec:
    """For the OpenAPI description: one more answer that a call may give."""
    return ResponseSpec(shape, description=meaning, generate_examples=False)


def answer(request: AnyRequest, exception: Exception) -> Response[Any]:
    """The response to a request that ended with this exception."""
    status, error = _explain(exception)
    if status >= 500:
        fault = None if status == HTTPStatus.SERVICE_UNAVAILABLE else exception  # then the storage has told already
        log.error("request failed", method=request.method, path=request.scope["path"], status=status, exc_info=fault)
    headers = exception.headers if isinstance(exception, HTTPException) else None
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": RETRY_AFTER}
    if _wants_page(request):
        context = {
            "status": int(status),
            "title": status.phrase,
            "error": error,
            "way_out": WAYS_OUT.get(status, ""),
            "revision": revision_of(request),
        }
        return Template("errors.html", context=context, status_code=status, headers=headers)
    return Response(error, status_code=status, headers=headers, media_type=MediaType.JSON)


def revision_of(request: AnyRequest) -> int:
    """The revision of the latest commit heard of; 0 before the server works."""
    access = request.app.state.get("access")
    return access.monitor.revision if access else 0


def _explain(exception: Exception) -> tuple[HTTPStatus, Error]:
    match exception:
        case UnknownJob():
            return _error(HTTPStatus.NOT_FOUND, "no_such_job", exception)
        case UnknownDocument():
            return _error(HTTPStatus.NOT_FOUND, "no_such_document", exception)
        case UnknownSet():
            return _error(HTTPStatus.NOT_FOUND, "no_such_bulk_action", exception)
        case NoSuchDefinition():
            return _error(HTTPStatus.NOT_FOUND, "no_such_definition", exception)
        case NotStartable():
            return _error(HTTPStatus.UNPROCESSABLE_ENTITY, "not_startable", exception, problems=exception.problems)
        case AlreadyRunning():
            url = f"/jobs/{exception.manager_id}"
            return _error(HTTPStatus.CONFLICT, "already_running", exception, url=url)
        case DefinitionDisabled():
            return _error(HTTPStatus.CONFLICT, "disabled", exception, url=dom.definition_url(exception.definition))
        case Conflict():
            return _error(HTTPStatus.CONFLICT, "conflict", exception, url=exception.url)
        case BadCursor() | BadPlace():
            return _error(HTTPStatus.BAD_REQUEST, "bad_place", exception)
        case OutcomeUnknown():
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "unknown", exception)
        case WriteFailed():
            sentence = f"the database {exception}; nothing was lost, try again"
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "not_written", sentence)
        case ReadFailed():
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "not_read", f"the database {exception}")
        case Refused():
            return _error(exception.status, "refused", exception)
        case ValidationException():
            return _invalid(exception)
        case HTTPException() if exception.status_code < 500:
            return _refused_by_framework(exception)
    sentence = "something went wrong on the server; its log says what"
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", sentence)


def _error(
    status: HTTPStatus,
    error: str,
    detail: object,
    problems: Mapping[str, str] | None = None,
    url: str | None = None,
) -> tuple[HTTPStatus, Error]:
    return status, Error(error, str(detail), dict(problems) if problems else None, url)


def _invalid(exception: ValidationException) -> tuple[HTTPStatus, Error]:
    """A value of the wrong shape: in the address it is a bad request, in the body it cannot be processed."""
    found = [each for each in exception.extra or [] if isinstance(each, dict)]
    problems = {_key(each): str(each.get("message", "")) for each in found}
    in_body = bool(found) and all(each.get("source") == "body" for each in found)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if in_body else HTTPStatus.BAD_REQUEST
    sentence = "; ".join(f"{key}: {message}" for key, message in problems.items()) or exception.detail
    return _error(status, "invalid", sentence, problems=problems)


def _key(problem: dict[str, Any]) -> str:
    """Litestar says `data` when it means the body as a whole."""
    whole_body = problem.get("source") == "body" and problem.get("key") == "data"
    return "body" if whole_body else str(problem.get("key", ""))


def _refused_by_framework(exception: HTTPException) -> tuple[HTTPStatus, Error]:
    status = HTTPStatus(exception.status_code)
    sentences = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take that method",
    }
    return _error(status, status.name.lower(), sentences.get(status, exception.detail))


def _wants_page(request: AnyRequest) -> bool:
    """Whether a person is asking: /api and the like always answer in JSON."""
    if request.scope["path"].startswith(("/api/", "/healthz", "/schema")) or request.app.template_engine is None:
        return False
    accepts = request.headers.get("accept", "*/*")
    return "text/html" in accepts or "application/json" not in accepts
