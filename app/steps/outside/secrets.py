"""Secrets: a definition names environment variables, and their values never stand in it, in a log or in a result."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from app.work.step_type import PermanentError

SecretName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
"""The name of an environment variable."""


def secret(name: str) -> str:
    """Raises PermanentError when the variable is not set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise PermanentError(f"the environment variable {name} is not set; set it where the server is started")
    return value


def secrets(names: Iterable[str]) -> dict[str, str]:
    """Their values by name. Raises PermanentError naming the first that is not set."""
    return {name: secret(name) for name in names}


def mentioned(text: str, names: Iterable[str]) -> list[str]:
    """Those of the names that the text refers to as $NAME."""
    return [name for name in names if re.search(rf"\${name}\b", text, re.ASCII)]


def with_secrets(text: str, values: Mapping[str, str]) -> str:
    """The text with the values in place of $NAME; what names no secret is left as it is."""
    return re.sub(r"\$([A-Za-z_][A-Za-z0-9_]*)", lambda found: values.get(found[1], found[0]), text)
