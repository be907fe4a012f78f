"""The chat completions protocol: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.steps.models.pace import duration, used_up
from app.steps.models.settings import Endpoint, ModelSettings
from app.steps.models.usage import Usage
from app.steps.outside.client import Answer, Request, shown
from app.steps.outside.trouble import PassingError, retry_after
from app.steps.outside.untrusted import table, words
from app.steps.source_tree import printable
from app.work.step_type import PermanentError

Message = dict[str, str]
"""{"role": "system", "user" or "assistant", "content": ...}"""

_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")
_MOST_TOKENS = 10**12
_OPENAI = "https://api.openai.com/"


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    usage: Usage
    finished: str
    """Why it ended: "stop", "length", "content_filter"; "" where it is not said."""
    refusal: str = ""


def request(
    endpoint: Endpoint, settings: ModelSettings, messages: Sequence[Message], schema: dict[str, Any]
) -> Request:
    # The newer name, which OpenAI's newer models insist on, is not known to every other endpoint.
    limit = "max_completion_tokens" if endpoint.url.startswith(_OPENAI) else "max_tokens"
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": list(messages),
        limit: settings.max_output_tokens,
        **({} if settings.temperature is None else {"temperature": settings.temperature}),
        **_format(settings.answer_format, schema),
    }
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    return Request(endpoint.url, "POST", headers, json.dumps(body).encode())


def reply(endpoint: Endpoint, answer: Answer) -> Reply:
    """Raises PassingError or PermanentError for an answer that is none."""
    if not 200 <= answer.status < 300:
        raise _trouble(endpoint, answer)
    body = table(answer.json())
    usage = _usage(table(body.get("usage")))
    if "error" in body and not body.get("choices"):  # some endpoints tell their troubles with a 200
        told = f"{shown(endpoint.url)} answered with an error: {_detail(endpoint, answer)}"
        raise PassingError(told) if _code(body["error"]) in _PASSING else PermanentError(told)
    choices = body.get("choices")
    choice = table(choices[0]) if isinstance(choices, list) and choices else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise PermanentError(f"{shown(endpoint.url)} answered in a shape that is not known: no message in 'choices'")
    return Reply(
        _text(message.get("content")), usage, words(choice.get("finish_reason")), words(message.get("refusal"))
    )


def _format(answer_format: str, schema: dict[str, Any]) -> dict[str, Any]:
    match answer_format:
        case "json_schema":
            told = {"name": "answer", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": told}}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
    return {}


def _text(content: Any) -> str:
    """Of a message: a text, or parts of which some are texts."""
    if isinstance(content, list):
        return "".join(text for part in content if isinstance(text := table(part).get("text"), str))
    return content if isinstance(content, str) else ""


def _usage(told: dict[str, Any]) -> Usage:
    return Usage(1, _tokens(told.get("prompt_tokens")), _tokens(told.get("completion_tokens")))


def _tokens(value: Any) -> int:
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS
    return value if plausible else 0


def _trouble(endpoint: Endpoint, answer: Answer) -> Exception:
    detail = _detail(endpoint, answer)
    told = f"{shown(endpoint.url)} answered {answer.told_status}" + (f": {detail}" if detail else "")
    if answer.status in (401, 403):
        return PermanentError(f"{told}; {_about_key(endpoint)}")
    if answer.status == 404:
        return PermanentError(
            f"{told}; check `endpoint`, which often ends with /v1, and whether it has the model {endpoint.model!r}"
        )
    if any(code in _codes(answer) for code in _NO_MONEY):
        return PermanentError(f"{told}; the account of its key has nothing left to spend")
    if answer.status in _PASSING:
        return PassingError(told, _asked_to_wait(answer))
    if answer.status in (400, 422) and "response_format" in detail:
        told += '; set answer_format = "json_object" or "text" for an endpoint that does not know JSON schemas'
    return PermanentError(told)


def _asked_to_wait(answer: Answer) -> float | None:
    """Seconds; by the finest of the headers that say so."""
    asked = duration(f"{answer.headers.get('retry-after-ms', '')}ms")
    if asked is None:
        asked = retry_after(answer.headers.get("retry-after"))
    return used_up(answer.headers) if asked is None else asked


def _about_key(endpoint: Endpoint) -> str:
    if endpoint.key:
        return f"check the key in the environment variable {endpoint.key_variable}"
    if endpoint.key_variable:
        return f"set {endpoint.key_variable} to a key where the server is started"
    return "name the environment variable that holds a key in `api_key`"


def _detail(endpoint: Endpoint, answer: Answer) -> str:
    """What the endpoint says about it, without the key, which some repeat."""
    try:
        body = table(answer.json())
    except PermanentError:
        return ""
    error = body.get("error")
    said = words(table(error).get("message")) or words(error) or words(body.get("message")) or words(body.get("detail"))
    return printable((said.replace(endpoint.key, "***") if endpoint.key else said)[:400])


def _code(error: Any) -> int | None:
    code = table(error).get("code")
    return code if isinstance(code, int) else None


def _codes(answer: Answer) -> tuple[str, str]:
    try:
        error = table(table(answer.json()).get("error"))
    except PermanentError:
        return "", ""
    return words(error.get("code")), words(error.get("type"))
