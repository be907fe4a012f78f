"""Which model is asked, where and how: the settings that step types with a model share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from app.steps.models.usage import Prices
from app.steps.outside.addresses import AllowedHosts, AllowHosts, is_public
from app.steps.outside.client import checked_url
from app.steps.outside.secrets import secret
from app.work.step_type import PermanentError, Settings

ENDPOINT = "STEPGLASS_MODEL_ENDPOINT"
MODEL = "STEPGLASS_MODEL"
KEY = "STEPGLASS_MODEL_KEY"
"""The server's own model: environment variables of who runs the server."""
NEEDED = ("endpoint", "model", "api_key", "allow_hosts")
"""The settings that decide whether there is a model to ask."""


class ModelSettings(Settings):
    endpoint: str = ""
    """The address of an API that speaks as OpenAI's does, such as "http://localhost:11434/v1"; none: the server's."""
    model: str = Field("", max_length=200)
    """Such as "gpt-4.1-mini"; none: the server's."""
    api_key: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", max_length=200)
    """The environment variable that holds the key. The server's key only goes to the server's endpoint."""
    answer_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    """How the endpoint is told which answer is wanted; older ones know less."""
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int = Field(2000, ge=1, le=1_000_000)
    """Of one answer."""
    input_price: float = Field(0.0, ge=0, le=1_000_000)
    """Per million tokens; for the costs that the step shows."""
    output_price: float = Field(0.0, ge=0, le=1_000_000)
    requests_per_minute: int = Field(0, ge=0, le=1_000_000)
    """0: as many as the endpoint bears."""
    request_seconds: float = Field(120.0, gt=0, le=3600)
    retries: int = Field(4, ge=0, le=20)
    max_wait: float = Field(120.0, ge=0, le=3600)
    """The longest wait, in seconds, that the endpoint may ask for."""
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @property
    def prices(self) -> Prices:
        return Prices(self.input_price, self.output_price)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that can be asked."""

    url: str
    """Of its chat completions."""
    model: str
    key: str
    key_variable: str
    """The environment variable that holds the key, or should."""
    allow_hosts: tuple[str, ...]


def endpoint_of(settings: ModelSettings) -> Endpoint:
    """Raises PermanentError saying what to configure."""
    servers = os.environ.get(ENDPOINT, "").strip()
    own = not settings.endpoint or _base(settings.endpoint) == _base(servers)
    base = _base(settings.endpoint or servers)
    model = settings.model or os.environ.get(MODEL, "").strip()
    if not base:
        raise PermanentError(
            f"no language model is configured: set {ENDPOINT} and {MODEL} where the server is started, or `endpoint` "
            f"and `model` in the step"
        )
    if not model:
        raise PermanentError(
            f"no language model is named: set {MODEL} where the server is started, or `model` in the step"
        )
    if settings.api_key:
        key, variable = secret(settings.api_key), settings.api_key
    else:
        key, variable = (os.environ.get(KEY, "").strip(), KEY) if own else ("", "")
    if not key.isascii() or not key.isprintable():
        raise PermanentError(f"the environment variable {variable} holds what cannot be a key: it is not plain text")
    allowed = (*settings.allow_hosts, *([_host(servers, ENDPOINT)] if own and servers else ()))
    _check_reachable(base, allowed, "endpoint" if settings.endpoint else ENDPOINT)
    return Endpoint(f"{base}/chat/completions", model, key, variable, allowed)


def _base(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/chat/completions")


def _host(url: str, told: str) -> str:
    """Its host and port, as `allow_hosts` has them."""
    try:
        return checked_url(_base(url)).netloc.decode("ascii")
    except PermanentError as error:
        raise PermanentError(f"{told}: {error}") from None


def _check_reachable(base: str, allowed: tuple[str, ...], told: str) -> None:
    """Says at once what the client would say at every request, as far as no name has to be resolved for it."""
    _host(base, told)
    url = checked_url(base)
    host = url.host.strip("[]")
    literal = host.replace(".", "").isdecimal() or ":" in host
    private = host == "localhost" or host.endswith(".localhost") or (literal and not is_public(host))
    port = url.port or (443 if url.scheme == "https" else 80)
    if private and not AllowedHosts(allowed).names(url.host, port):
        raise PermanentError(f"{told}: {host} is not a public address, and is not reached unless allow_hosts names it")
