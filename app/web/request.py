"""The request, as our handlers get it."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.exceptions import ClientException


class StepglassRequest(Request[Any, Any, Any]):
    """Says what is wrong with a body that is no JSON, also where the decoder fails in its own way."""

    async def json(self) -> Any:
        try:
            return await super().json()
        except UnicodeDecodeError as error:
            raise ClientException(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
        except RecursionError:
            raise ClientException("the body has too much nested in it") from None
