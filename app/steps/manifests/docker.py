"""Dockerfile: instructions, one to a line that may be continued, and here-documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.steps.manifests.build_info import LONGEST, BuildInfo, ManifestError

_INSTRUCTIONS = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"}
    | {"ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_HERE = re.compile(r"(?:^|(?<=\s))\d*<<-?([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::[-+]([^}]*))?\}|(\w+))")
_FLAG = re.compile(r"--(\w+)(?:=(\S+))?\s+")


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    about: str
    line: int


def read_dockerfile(text: str) -> BuildInfo:
    info = BuildInfo(build_tool="Docker")
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    begun = False
    for each in _instructions(text):
        if each.word == "FROM":
            begun = True
            info.entry_points, info.ports = {}, []  # only the last stage becomes the image
            _add_stage(info, each, arguments, stages)
        elif not begun and each.word != "ARG":
            raise ManifestError(f"{each.word} stands before the first FROM", each.line)
        elif each.word == "ARG":
            name, _, value = each.about.partition("=")
            arguments.setdefault(name.strip(), value.strip().strip("\"'"))
        elif each.word in ("COPY", "ADD", "RUN"):
            _add_source(info, each, arguments, stages)
        elif each.word in ("ENTRYPOINT", "CMD"):
            info.entry_points[each.word.lower()] = _program(each.about)
        elif each.word == "EXPOSE":
            info.ports += each.about.split()
        elif each.word == "LABEL":
            _add_labels(info, each.about)
    if not begun:
        raise ManifestError("has no FROM, which an image needs", 1)
    return info


def _instructions(text: str) -> Iterator[Instruction]:
    lines = text.splitlines()
    escape = next((found[1] for line in lines[:5] if (found := _ESCAPE.match(line))), "\\")
    at = 0
    while at < len(lines):
        begin, at, content = _continued(lines, at, escape)
        word, _, about = content.partition(" ")
        word = word.upper()
        if word and word not in _INSTRUCTIONS:
            raise ManifestError(f"{word!r} is no instruction of a Dockerfile", begin)
        if word in ("RUN", "COPY", "ADD"):
            at = _after_here_documents(lines, at, about, begin)
        if word:
            yield Instruction(word, about.strip(), begin)


def _continued(lines: list[str], at: int, escape: str) -> tuple[int, int, str]:
    """The line that an instruction begins with, counted from 1, the index after its last, and what it says."""
    begin, parts = at + 1, list[str]()
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if line.startswith("#") or not line:
            continue  # comments and empty lines may stand between the lines of one instruction
        begin = begin if parts else at
        parts.append(line.removesuffix(escape).rstrip())
        if not line.endswith(escape):
            break
    return begin, at, " ".join(parts).strip()


def _after_here_documents(lines: list[str], at: int, about: str, begin: int) -> int:
    for found in _HERE.finditer(about):
        end = next((number for number in range(at, len(lines)) if lines[number].strip("\t") == found[2]), None)
        if end is None:
            raise ManifestError(f"the here-document {found[2]} never ends", begin)
        at = end + 1
    return at


def _add_stage(info: BuildInfo, each: Instruction, arguments: dict[str, str], stages: set[str]) -> None:
    _, rest = _flags(each.about)
    words = _filled(rest, arguments).split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise ManifestError("FROM takes an image, and perhaps AS and a name", each.line)
    if words[0].lower() not in stages:
        _add_image(info, words[0])
    if len(words) == 3:
        stages.add(words[2].lower())


def _add_source(info: BuildInfo, each: Instruction, arguments: dict[str, str], stages: set[str]) -> None:
    """COPY --from=image takes files of another image."""
    image = _filled(_flags(each.about)[0].get("from", ""), arguments)
    if image and not image.isdigit() and image.lower() not in stages:
        _add_image(info, image)


def _add_image(info: BuildInfo, image: str) -> None:
    if image not in info.base_images:
        info.base_images.append(image)


def _add_labels(info: BuildInfo, about: str) -> None:
    for key, kept in (("title", "name"), ("version", "version"), ("description", "description")):
        found = re.search(rf"""org\.opencontainers\.image\.{key}["']?=("[^"]*"|'[^']*'|\S+)""", about)
        if found:
            setattr(info, kept, found[1].strip("\"'"))


def _flags(about: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while found := _FLAG.match(about):
        flags[found[1]] = found[2] or ""
        about = about[found.end() :]
    return flags, about


def _filled(text: str, arguments: dict[str, str]) -> str:
    """With the defaults of ARG where they are known."""

    def value(found: re.Match[str]) -> str:
        return (arguments.get(found[1] or found[3]) or found[2] or found[0])[:LONGEST]

    return _VARIABLE.sub(value, text[:LONGEST])[:LONGEST]


def _program(about: str) -> str:
    """The exec form as one writes it in a shell."""
    try:
        words = json.loads(about)
    except (ValueError, RecursionError):
        return about
    return " ".join(map(str, words)) if isinstance(words, list) else about
