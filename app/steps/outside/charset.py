"""The text of an answer, whatever its server says about the charset."""

from __future__ import annotations

import codecs
import re

from app.steps.text_decoding import Text, decode

_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_META = re.compile(rb"<meta[^>]{0,400}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.IGNORECASE)
_META_WITHIN = 2048
# What a charset means on the web, where it is more than its name says (as the WHATWG's encoding standard has it).
_AS_READ = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_NOT_A_CHARSET = {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}


def text_of(content: bytes, declared: str | None, markup: bool = False) -> Text | None:
    """The text of an answer, or None for one that is binary. A mark at its beginning counts most, then what the server
    `declared`, then, in `markup`, what a <meta> says, if only the bytes can be read that way; else it is guessed."""
    if not content.startswith(_BOMS):
        for label in (declared, _in_meta(content) if markup else None):
            if label and (text := _read_as(content, label)):
                return text
    text = decode(content)
    if text is None and markup:
        return Text(content.decode("utf-8", "replace").replace("\0", "\ufffd"), "utf-8", certain=False)
    return text


def _read_as(content: bytes, label: str) -> Text | None:
    try:
        codec = codecs.lookup(label)
        if not codec._is_text_encoding or codec.name in _NOT_A_CHARSET:  # such as "zip", which is a codec too
            return None
        encoding = _AS_READ.get(codec.name, codec.name)
        text = content.decode(encoding)
    except (LookupError, ValueError):
        return None
    return None if "\0" in text else Text(text, encoding, certain=True)


def _in_meta(content: bytes) -> str | None:
    found = _META.search(content[:_META_WITHIN])
    if found is None:
        return None
    label = found[1].decode("ascii")
    return "utf-8" if label.lower().startswith("utf-16") else label  # a page whose <meta> can be read is not UTF-16
