"""What comes from elsewhere is untouched, and nothing else runs in the browser."""

from __future__ import annotations

import re
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from app.resources import static_dir, templates_dir

VENDOR = static_dir() / "vendor"
PACKAGES = tomllib.loads((VENDOR / "vendored.toml").read_text())["package"]
HASHES = {file["file"]: file["sha256"] for package in PACKAGES for file in package["file"]}

INLINE = {
    "inline script": re.compile(r"<script(?![^>]*\bsrc=)", re.IGNORECASE),
    "inline event handler": re.compile(r"<[^>]*\s(?:on[a-z]+|hx-on[^\s=>]*)\s*=", re.IGNORECASE),
    "inline style": re.compile(r"<style\b|<[^>]*\sstyle\s*=", re.IGNORECASE),
    "script address": re.compile(r"javascript:", re.IGNORECASE),
}


def written_by_us() -> list[Path]:
    files = [*templates_dir().rglob("*"), *static_dir().rglob("*")]
    return [path for path in files if path.is_file() and VENDOR not in path.parents]


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_vendored_file_is_as_it_was_published(name: str) -> None:
    assert sha256((VENDOR / name).read_bytes()).hexdigest() == HASHES[name]


def test_every_vendored_file_is_listed() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {*HASHES, "vendored.toml"}


def test_every_vendored_package_says_its_version_and_licence() -> None:
    for package in PACKAGES:
        assert package["version"] and package["licence"]
        assert any(file["published_as"].upper().startswith("LICENSE") for file in package["file"])


def test_there_is_no_javascript_of_our_own() -> None:
    assert [path for path in written_by_us() if path.suffix in {".js", ".mjs", ".ts"}] == []


@pytest.mark.parametrize("what", sorted(INLINE))
def test_templates_carry_nothing_inline(what: str) -> None:
    pages = [path for path in written_by_us() if path.suffix in {".html", ".svg", ".jinja"}]
    assert [str(path) for path in pages if INLINE[what].search(path.read_text())] == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("inline script", "<script>alert(1)</script>"),
        ("inline event handler", '<a href="/"\n onclick="x()">'),
        ("inline event handler", '<p hx-on:click="x()">'),
        ("inline style", '<p class="a" style="color: red">'),
        ("inline style", "<style>p {}</style>"),
        ("script address", '<a href="javascript:x()">'),
    ],
)
def test_the_search_finds_what_it_looks_for(what: str, text: str) -> None:
    assert INLINE[what].search(text)
    assert not INLINE[what].search(
        '<script src="/static/vendor/htmx.js"></script><p class="style" data-on="1">on = 1</p>'
    )
