"""Telling text from binary, and reading text whatever its encoding."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What old source files are written in. Left to all encodings there are, a few accents pass for Urdu or Polish.
_LEGACY = ["cp1252", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp1251", "koi8_r"]
_SAMPLE = 64 * 1024
_CONTROL = bytes(set(range(0x20)) - set(b"\t\n\r\f\b\x1b")) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    encoding: str
    certain: bool
    """False when the encoding is a guess."""


def decode(content: bytes) -> Text | None:
    """The text of a file, or None when it is binary. The text has no null characters."""
    text = _by_mark(content) or _without_mark(content)
    return None if text is None or "\0" in text.text else text


def _by_mark(content: bytes) -> Text | None:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    return None


def _without_mark(content: bytes) -> Text | None:
    if b"\0" in content:
        return _strictly(content, encoding) if (encoding := _utf_16_without_mark(content)) else None
    return _strictly(content, "utf-8") or _guessed(content)


def _strictly(content: bytes, encoding: str) -> Text | None:
    try:
        return Text(content.decode(encoding), encoding, certain=True)
    except UnicodeDecodeError:
        return None


def _utf_16_without_mark(content: bytes) -> str | None:
    """In UTF-16, text that is mostly ASCII has its zeros on one side of each pair of bytes."""
    sample = content[:_SAMPLE]
    high, low = sample[0::2].count(0), sample[1::2].count(0)
    most = len(sample) * 0.4
    if len(content) % 2 == 0 and min(high, low) == 0 and max(high, low) > most:
        return "utf-16-le" if low else "utf-16-be"
    return None


def _guessed(content: bytes) -> Text | None:
    sample = content[:_SAMPLE]
    controls = len(sample) - len(sample.translate(None, _CONTROL))
    if controls * 50 > len(sample):
        return None
    best = from_bytes(sample, cp_isolation=_LEGACY).best()
    for encoding in (best.encoding if best else "cp1252", "cp1252"):
        if text := _strictly(content, encoding):
            return Text(text.text, encoding, certain=False)
    return Text(content.decode("latin-1"), "latin-1", certain=False)
