"""Makefile: targets with what they run, read line by line as GNU make does. Nothing is expanded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.steps.manifests.build_info import BuildInfo, ManifestError

_CONDITIONS = {"ifeq", "ifneq", "ifdef", "ifndef"}
_WORDS = {"include", "-include", "sinclude", "vpath", "export", "unexport", "override", "private", "undefine", "load"}
_WORDS |= {"-load"}
_ASSIGNMENT = re.compile(r"(?:(?:export|override|private|unexport)\s+)*([^\s:#=+?!]+)\s*(?:[:?+!]|::|:::)?=\s*(.*)$")
_DEFINE = re.compile(r"(?:(?:export|override|private)\s+)*define\b")
_HELP = re.compile(r"##\s*(.*)$")


def read_makefile(text: str) -> BuildInfo:
    info = BuildInfo(build_tool="Make")
    for targets, said in _rules(text, info):
        for target in targets:
            if not target.startswith(".") and not set("%$") & set(target):
                info.commands[target] = info.commands.get(target) or said
    return info


def _rules(text: str, info: BuildInfo) -> Iterator[tuple[list[str], str]]:
    """The targets of each rule, and its help or its first recipe line."""
    rule: tuple[list[str], str] | None = None
    open_lines: list[tuple[str, int]] = []
    prefix = "\t"
    for number, line in _logical_lines(text):
        word = line.split(None, 1)[0] if line.strip() else ""
        if open_lines and open_lines[-1][0] == "define":
            if word == "endef":
                open_lines.pop()
            elif _DEFINE.match(line.strip()):
                open_lines.append(("define", number))
        elif rule and line.startswith(prefix):
            rule = (rule[0], rule[1] or line[1:].strip().lstrip("@-+"))
        elif not word or word.startswith("#"):
            continue
        elif _DEFINE.match(line.strip()) and "=" not in line.partition("define")[0]:
            open_lines.append(("define", number))
        elif word.partition("(")[0] in _CONDITIONS:
            open_lines.append((word, number))
        elif word in ("else", "endif", "endef"):
            _close(open_lines, word, number)
        elif found := _assignment(line):
            if found[0] == ".RECIPEPREFIX":
                prefix = found[1][:1] or "\t"
            elif found[0].upper() in ("VERSION", "NAME", "PROJECT", "PROJECT_NAME") and "$" not in found[1]:
                _add_named(info, found[0].upper(), found[1])
        elif word in _WORDS or word.startswith(("$", "!", ".include", ".if", ".el", ".end", ".for")):
            continue
        else:
            if rule:
                yield rule
            rule = _rule(line, number)
    if rule:
        yield rule
    if open_lines:
        raise ManifestError(f"{open_lines[-1][0]} is never ended", open_lines[-1][1])


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that continue them, and the number of the first."""
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        begun = begun if parts else number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield begun, " ".join([*parts, line.lstrip() if parts else line])
        parts = []
    if parts:
        yield begun, " ".join(parts)


def _assignment(line: str) -> tuple[str, str] | None:
    """The name and the value of a variable that a line sets, outside of rules."""
    found = _ASSIGNMENT.match(line.strip())
    return (found[1], found[2].partition(" #")[0].strip()) if found else None


def _add_named(info: BuildInfo, name: str, value: str) -> None:
    if name == "VERSION":
        info.version = info.version or value
    else:
        info.name = info.name or value


def _close(open_lines: list[tuple[str, int]], word: str, number: int) -> None:
    if not open_lines or word == "endef":
        raise ManifestError(f"{word} has nothing before it that it could belong to", number)
    if word == "endif":
        open_lines.pop()


def _rule(line: str, number: int) -> tuple[list[str], str]:
    content = line.partition(" #")[0]
    before, colon, after = _at_colon(content)
    if not colon:
        reason = "is neither a target, nor an assignment, nor a directive"
        hint = "; a line of a recipe begins with a tab, not with spaces" if line.startswith(" ") else ""
        raise ManifestError(f"{content.strip()[:60]!r} {reason}{hint}", number)
    said = _HELP.search(line)
    recipe = after.partition(";")[2].strip() if "=" not in after else ""
    return before.split(), said[1].strip() if said else recipe


def _at_colon(content: str) -> tuple[str, str, str]:
    """Split at the first colon that stands outside of $(...) and ${...}."""
    depth = 0
    for at, char in enumerate(content):
        if char in "({":
            depth += 1
        elif char in ")}":
            depth -= 1
        elif char == ":" and depth <= 0:
            return content[:at].rstrip("&"), ":", content[at + 1 :].lstrip(":")
    return content, "", ""
