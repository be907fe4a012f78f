"""Text is read whatever its encoding, and binary files are told apart."""

from __future__ import annotations

import codecs

import pytest

from app.steps.text_decoding import decode

TEXTS = {
    "cp1252": "naïve – “quoted”, café",  # noqa: RUF001
    "cp932": "// こんにちは世界。これは日本語のコメントです",
    "cp1251": "# Привет, мир, это комментарий",
    "gb18030": "# 这是中文注释，测试编码",  # noqa: RUF001
}


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        ("größe 日本\n".encode(), "größe 日本\n", "utf-8"),
        (codecs.BOM_UTF8 + b"marked", "marked", "utf-8-sig"),
        ("größe".encode("utf-16"), "größe", "utf-16"),
        (codecs.BOM_UTF16_BE + "größe".encode("utf-16-be"), "größe", "utf-16"),
        ("größe".encode("utf-32"), "größe", "utf-32"),
        ("print('hello')\n".encode("utf-16-le"), "print('hello')\n", "utf-16-le"),
        ("print('hello')\n".encode("utf-16-be"), "print('hello')\n", "utf-16-be"),
    ],
)
def test_unicode_is_read_for_certain(content: bytes, text: str, encoding: str) -> None:
    read = decode(content)
    assert read is not None
    assert (read.text, read.encoding, read.certain) == (text, encoding, True)


@pytest.mark.parametrize("encoding", TEXTS)
def test_older_encodings_are_guessed(encoding: str) -> None:
    read = decode(TEXTS[encoding].encode(encoding))
    assert read is not None
    assert (read.text, read.certain) == (TEXTS[encoding], False)


def test_what_no_guess_fits_is_read_all_the_same() -> None:
    read = decode(b"x = 1  # \x81\n")
    assert read is not None
    assert read.text.startswith("x = 1  # ") and not read.certain


@pytest.mark.parametrize(
    "content",
    [
        b"text with a \0 in it",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        bytes(range(1, 256)) * 10,
        codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"),
    ],
)
def test_binary_is_told_apart(content: bytes) -> None:
    assert decode(content) is None
