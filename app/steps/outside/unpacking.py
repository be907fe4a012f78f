"""The contents of an answer, unpacked piece by piece, and never more of it than was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from app.work.step_type import PermanentError

_EITHER_HEADER = zlib.MAX_WBITS | 32
_GZIP_MARK = b"\x1f\x8b"


class TooLarge(Exception):
    """There is more than the limit."""


class Unpacker:
    """Takes the bytes of an answer as they come, `limit` bytes at most, before and after unpacking: a few kilobytes
    can unpack to gigabytes, and gigabytes to nothing."""

    def __init__(self, encoding: str, limit: int) -> None:
        """`encoding`: the Content-Encoding. Raises PermanentError for one that was not asked for."""
        codings = [coding for part in encoding.lower().split(",") if (coding := part.strip()) not in ("", "identity")]
        if codings not in ([], ["gzip"], ["x-gzip"], ["deflate"]):
            raise PermanentError(f"the answer is encoded as {encoding[:60]!r}, which was not asked for")
        self._packed = bool(codings)
        self._deflate = codings == ["deflate"]
        self._limit = limit
        self._taken = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._stream = zlib.decompressobj(_EITHER_HEADER)

    def expect(self, length: int) -> None:
        """Raises TooLarge when the bytes that are announced are too many."""
        if length > self._limit:
            raise TooLarge

    def take(self, data: bytes) -> None:
        """Raises TooLarge, or zlib.error for bytes that are no such encoding."""
        self._taken += len(data)
        if self._taken > self._limit:
            raise TooLarge
        for part in self._unpacked(data) if self._packed else [data]:
            self._parts.append(part)
            self._size += len(part)
            if self._size > self._limit:
                raise TooLarge

    def content(self) -> bytes:
        """Raises zlib.error when the packed bytes break off."""
        if self._packed and self._taken and not self._stream.eof:
            raise zlib.error("it breaks off")
        return b"".join(self._parts)

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:  # gzip may be several streams in a row
                self._stream = zlib.decompressobj(_EITHER_HEADER)
            yield self._stream_part(data)
            data = self._stream.unconsumed_tail or self._stream.unused_data

    def _stream_part(self, data: bytes) -> bytes:
        room = self._limit - self._size + 1
        first = not self._size and self._taken == len(data)
        try:
            return self._stream.decompress(data, room)
        except zlib.error:
            if not (self._deflate and first):
                raise
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers leave out the header of deflate
            return self._stream.decompress(data, room)


def gunzipped(content: bytes, limit: int) -> bytes:
    """The contents of a gzip file; anything else as it is. Raises TooLarge, or zlib.error for a broken one."""
    if not content.startswith(_GZIP_MARK):
        return content
    unpacker = Unpacker("gzip", limit)
    unpacker.take(content)
    return unpacker.content()
