"""What failures have in common: their message without what is different every time."""

from __future__ import annotations

import re

LONGEST = 200
"""Characters of a pattern."""

_VARIABLE = re.compile(
    r"""
      (?P<url>\b[a-z][a-z0-9+.-]*://[^\s'"<>)\]]+)
    | (?P<path>(?<![\w<])(?:~|\.{1,2}|[\w.-]+)?(?:/[\w.@%+=~-]+){2,}/?)
    | (?P<id>\b(?:0x[0-9a-f]+|(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*)\b)
    | (?P<n>\d+(?:[.,:]\d+)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def pattern_of(message: str) -> str:
    """The first line with addresses, paths, ids and numbers replaced by what they are; never empty.

    "cannot read /srv/a/b.py: 404 after 1.5 s" becomes "cannot read <path>: <n> after <n> s".
    """
    lines = message.strip().splitlines()
    first = lines[0][: 4 * LONGEST] if lines else "failed without a message"
    return " ".join(_VARIABLE.sub(lambda found: f"<{found.lastgroup}>", first).split())[:LONGEST]
