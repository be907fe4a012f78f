"""go.mod, whose grammar is a line: a word and what it is about, or a block of such lines in parentheses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.steps.manifests.build_info import BuildInfo, Dependency, ManifestError

_WORDS = {"module", "go", "toolchain", "godebug", "require", "exclude", "replace", "retract", "tool", "ignore"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|[^\s"`]+')


def read_go_mod(text: str) -> BuildInfo:
    info = BuildInfo(build_tool="Go", language="Go")
    for line, word, about, comment in _directives(text):
        if word == "module":
            info.name = _only(line, word, about)
        elif word == "go":
            info.language_version = _only(line, word, about)
        elif word == "require":
            info.dependencies.append(_required(line, about, comment))
        elif word == "tool":
            info.dependencies.append(Dependency(_only(line, word, about), scope="build"))
    if not info.name:
        raise ManifestError("has no module line, which Go needs", 1)
    return info


def _directives(text: str) -> Iterator[tuple[int, str, list[str], str]]:
    """The line's number, its word, what the word is about, and the comment after it."""
    block, opened = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        content, _, comment = _without_comment(line)
        tokens = [token.strip('"`') for token in _TOKEN.findall(content.replace("(", " ( ").replace(")", " ) "))]
        if not tokens:
            continue
        if block:
            if tokens == [")"]:
                block = ""
            else:
                yield number, block, tokens, comment
        elif tokens[0] not in _WORDS:
            raise ManifestError(f"{tokens[0]!r} is no word of go.mod", number)
        elif tokens[1:] == ["("]:
            block, opened = tokens[0], number
        else:
            yield number, tokens[0], tokens[1:], comment
    if block:
        raise ManifestError(f"the parenthesis after {block} is never closed", opened)


def _without_comment(line: str) -> tuple[str, str, str]:
    return line.partition("//") if '"' not in line and "`" not in line else line.partition(" //")


def _only(line: int, word: str, about: list[str]) -> str:
    if len(about) != 1:
        raise ManifestError(f"{word} takes one word, but has {len(about)}", line)
    return about[0]


def _required(line: int, about: list[str], comment: str) -> Dependency:
    if len(about) != 2 or not about[1].startswith("v"):
        raise ManifestError("a requirement is a module and a version such as v1.2.3", line)
    return Dependency(about[0], about[1], "indirect" if comment.strip().startswith("indirect") else "run")
