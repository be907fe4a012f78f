"""The style sheet: one file per component in static/css, served as one."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256

from litestar import MediaType, Response, get

from app.resources import static_dir

PARTS = (
    "tokens",
    "page",
    "controls",
    "status",
    "counts",
    "statistics",
    "runs",
    "logs",
    "looking_back",
    "liveness",
    "print",
)

_COMMENT = re.compile(rb"/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(rb"\s+")
_AROUND = re.compile(rb" ?([{};,]) ?")


@cache
def _sheet() -> bytes:
    """Without what only its writers need. No quoted text in it has more than one space in a row."""
    written = b"\n".join((static_dir() / "css" / f"{part}.css").read_bytes() for part in PARTS)
    return (
        _AROUND.sub(rb"\1", _SPACE.sub(b" ", _COMMENT.sub(b"", written)))
        .replace(b";}", b"}")
        .replace(b": ", b":")
        .replace(b" 0.", b" .")
        .replace(b":0.", b":.")
        .strip()
    )


@cache
def stylesheet_url() -> str:
    """Its address, which changes with its content, so that browsers may keep it for good."""
    return f"/stylesheet/{sha256(_sheet()).hexdigest()[:12]}.css"


@get("/stylesheet/{name:str}", include_in_schema=False)
async def stylesheet() -> Response[bytes]:
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_sheet(), media_type=MediaType.CSS, headers=headers)
