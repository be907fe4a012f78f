"""http_request: sends one HTTP request, and keeps what it answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from app.steps.document_facts import with_facts
from app.steps.outside.addresses import AllowHosts
from app.steps.outside.client import Answer, Limits, Outside, Request, shown
from app.steps.outside.secrets import SecretName, mentioned, secrets, with_secrets
from app.steps.outside.trouble import patiently
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, WorkItem

SOURCE_TYPE = "http"
MAX_RESULT = 100_000
"""Characters of a body that a work item's result holds; longer ones belong into a document."""

_REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
_OUR_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade"}


class HttpRequestSettings(Settings):
    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | dict[str, Any] | list[Any] = ""
    """A text is sent as it is, a table or list as JSON."""
    secrets: list[SecretName] = Field(default_factory=list)
    """Environment variables whose values stand for $NAME in the headers, the body and the query of the URL."""
    expected_status: list[int] = Field(default_factory=list)
    """Such as [200, 404]; none means 200 to 299."""
    save_as: Literal["result", "document"] = "result"
    """Where the body of the answer goes."""
    tags: list[str] = Field(default_factory=list)
    """Of the document."""
    max_size: int = Field(10 << 20, ge=1, le=1 << 30)
    """In bytes, unpacked; more than that is refused."""
    max_redirects: int = Field(5, ge=0, le=20)
    request_seconds: float = Field(30.0, gt=0, le=3600)
    """How long one request may take, from its beginning to the last byte of the answer."""
    retries: int = Field(2, ge=0, le=10)
    """How often it is sent again when the server is in trouble; POST and PATCH only when it did nothing with them."""
    max_wait: float = Field(60.0, ge=0, le=3600)
    """The longest wait, in seconds, that a server may ask for with Retry-After."""
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            _check_header(name, value)
        return headers

    @model_validator(mode="after")
    def _keeps_secrets_out_of_the_path(self) -> Self:
        # The path is what errors and logs show of a URL.
        if found := mentioned(self.url.partition("?")[0], self.secrets):
            raise ValueError(f"${found[0]} may stand in the query of the url, not before it; or send it as a header")
        return self


class HttpRequest(StepType[HttpRequestSettings]):
    """One work item: the request."""

    name = "http_request"
    summary = "Sends one HTTP request; the answer becomes the result or a document."
    settings_type = HttpRequestSettings
    page_may_use = False
    timeout = 3600.0

    async def plan(self, context: Context[HttpRequestSettings]) -> AsyncIterator[WorkItem]:
        _request(context.settings)  # what is wrong with it fails the step before anything is sent
        yield WorkItem(f"{context.settings.method} {shown(context.settings.url)}")

    async def run(self, context: Context[HttpRequestSettings], item: WorkItem) -> dict[str, Any]:
        """The status, url, media_type and size of the answer, and its body unless a document holds that."""
        settings = context.settings
        request = _request(settings)
        limits = Limits(settings.request_seconds, settings.max_size, settings.max_redirects)
        async with Outside(settings.allow_hosts) as outside:

            async def attempt() -> Answer:
                return (await outside.fetch(request, limits)).check(settings.expected_status)

            answer = await patiently(
                attempt,
                lambda line: context.log(line, "warn"),
                retries=settings.retries,
                longest_wait=settings.max_wait,
                repeatable=settings.method in _REPEATABLE,
            )
        context.log(f"{item.name}: {answer.told_status}, {len(answer.content):,} bytes of {answer.media_type or '?'}")
        facts = {
            "status": answer.status,
            "url": shown(answer.url),
            "media_type": answer.media_type,
            "size": len(answer.content),
        }
        if settings.save_as == "result":
            return {**facts, "body": _body(answer)}
        _save(context, answer, facts)
        return facts


def _request(settings: HttpRequestSettings) -> Request:
    """Raises PermanentError for a secret that is not set, or cannot be sent."""
    values = secrets(settings.secrets)
    headers = {name: with_secrets(value, values) for name, value in settings.headers.items()}
    for name, value in headers.items():
        try:
            _check_header(name, value)
        except ValueError:
            raise PermanentError(f"the header {name} cannot hold the secret in it: use letters of ASCII") from None
    if not isinstance(settings.body, str) and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    body = settings.body if isinstance(settings.body, str) else json.dumps(settings.body, ensure_ascii=False)
    return Request(
        with_secrets(settings.url, values), settings.method, headers, with_secrets(body, values).encode("utf-8")
    )


def _check_header(name: str, value: str) -> None:
    if name.lower() in _OUR_HEADERS:
        raise ValueError(f"{name!r} is set by the program itself; take it out")
    if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{name!r} is not the name of a header; use letters, digits and -")
    if not value.isascii() or (value and not value.isprintable()):
        raise ValueError(f"the value of {name!r} must be printable ASCII")


def _body(answer: Answer) -> Any:
    """What a result holds of a body: the value of JSON, the text of a text, None for what is binary."""
    if answer.media_type == "application/json" or answer.media_type.endswith("+json"):
        body: Any = answer.json() if answer.content else None
    else:
        text = answer.text()
        body = text.text if text else None
    if len(answer.content) > MAX_RESULT:
        raise PermanentError(
            f'the answer has {len(answer.content):,} bytes, a result holds {MAX_RESULT:,}; set save_as = "document"'
        )
    return body


def _save(context: Context[HttpRequestSettings], answer: Answer, facts: dict[str, Any]) -> None:
    settings = context.settings
    text = answer.text()
    stored = context.document(settings.url)
    document = Document(
        address=settings.url,
        title=shown(settings.url),
        body=text.text if text else "",
        source_type=SOURCE_TYPE,
        tags=stored.tags if stored else (),
        metadata=stored.metadata if stored else {},
        content_hash=sha256(answer.content).hexdigest(),
    )
    facts = {**facts, "binary": text is None, "encoding": text.encoding if text else None}
    context.save_document(with_facts(document, HttpRequest.name, facts, settings.tags))
