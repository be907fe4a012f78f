"""CMakeLists.txt, by the grammar of cmake-language(7): commands with arguments, which may be quoted or bracketed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.steps.manifests.build_info import LONGEST, BuildInfo, Dependency, ManifestError

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z_]\w*")
_OPENING = re.compile(r"\[(=*)\[")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_UNQUOTED = re.compile(r'(?:[^\s()#"\\]|\\.)(?:[^\s()#"\\]|\\.|"(?:[^"\\]|\\.)*")*', re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}")

_LIBRARY_KINDS = {"STATIC", "SHARED", "MODULE", "OBJECT", "INTERFACE", "UNKNOWN", "IMPORTED", "ALIAS"}
_LANGUAGES = {"C": "C", "CXX": "C++", "CUDA": "CUDA", "Fortran": "Fortran", "OBJC": "Objective-C", "Swift": "Swift"}
_STANDARDS = {"CMAKE_CXX_STANDARD": "C++", "CMAKE_C_STANDARD": "C"}


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    arguments: list[str]
    line: int


def read_cmake(text: str) -> BuildInfo:
    info = BuildInfo(build_tool="CMake")
    variables: dict[str, str] = {}
    languages: list[str] = []
    for command in _commands(text):
        arguments = [_filled(argument, variables) for argument in command.arguments]
        if not arguments:
            continue
        if command.name == "set":
            variables[arguments[0]] = ";".join(arguments[1:])[:LONGEST]
            if arguments[0] in _STANDARDS and len(arguments) > 1:
                info.language_version = f"{_STANDARDS[arguments[0]]}{arguments[1]}"
        elif command.name == "project":
            _add_project(info, arguments, languages)
            variables["PROJECT_NAME"], variables["PROJECT_VERSION"] = info.name, info.version
        elif command.name == "enable_language":
            languages += [_LANGUAGES.get(each, each) for each in arguments if each != "OPTIONAL"]
        else:
            _add(info, command.name, arguments)
    info.language = ", ".join(dict.fromkeys(languages)) or "C, C++"
    return info


def _add_project(info: BuildInfo, arguments: list[str], languages: list[str]) -> None:
    info.name = info.name or arguments[0]
    keyed = _keyed(arguments[1:], {"VERSION", "DESCRIPTION", "HOMEPAGE_URL", "LANGUAGES"})
    info.version = info.version or " ".join(keyed.get("VERSION", []))
    info.description = info.description or " ".join(keyed.get("DESCRIPTION", []))
    # Without a word before them, the arguments after the name are the languages.
    for each in keyed.get("LANGUAGES") or keyed[""]:
        if each != "NONE":
            languages.append(_LANGUAGES.get(each, each))


def _add(info: BuildInfo, name: str, arguments: list[str]) -> None:
    first, rest = arguments[0], arguments[1:]
    if "${" in first and name.startswith("add_"):
        return  # in a function: what it will be called is not known here
    if name == "cmake_minimum_required" and rest:
        info.dependencies.append(Dependency("cmake", f">={rest[0]}", "build"))
    elif name == "find_package":
        info.dependencies.append(_package(first, rest))
    elif name in ("fetchcontent_declare", "externalproject_add"):
        keyed = _keyed(rest, {"GIT_REPOSITORY", "GIT_TAG", "URL", "URL_HASH"})
        source = keyed.get("GIT_TAG") or keyed.get("URL") or keyed.get("GIT_REPOSITORY") or [""]
        info.dependencies.append(Dependency(first, source[0] if source else "", "run"))
    elif name == "pkg_check_modules":
        wanted = [each for each in rest if each not in ("REQUIRED", "QUIET", "IMPORTED_TARGET", "GLOBAL")]
        names = [re.split("[<>=]", each)[0] for each in wanted]
        info.dependencies += [Dependency(each, whole[len(each) :]) for each, whole in zip(names, wanted, strict=True)]
    elif name == "add_executable" and not {"IMPORTED", "ALIAS"} & set(rest[:1]):
        sources = [each for each in rest if each not in ("WIN32", "MACOSX_BUNDLE", "EXCLUDE_FROM_ALL")]
        info.entry_points[first] = sources[0] if sources else ""
        info.commands[first] = "executable"
    elif name == "add_library" and not {"IMPORTED", "ALIAS"} & set(rest[:2]):
        kind = rest[0].lower() if rest and rest[0] in _LIBRARY_KINDS else ""
        info.commands[first] = f"{kind} library".strip()
    elif name == "add_custom_target":
        info.commands[first] = "target"
    elif name == "add_test":
        info.commands[rest[0] if first == "NAME" and rest else first] = "test"
    elif name == "add_subdirectory":
        info.parts.append(first)


def _package(name: str, rest: list[str]) -> Dependency:
    version = rest[0] if rest and rest[0][:1].isdigit() else ""
    exact = "==" if "EXACT" in rest else ">="
    return Dependency(name, f"{exact}{version}" if version else "", "run" if "REQUIRED" in rest else "optional")


def _keyed(arguments: list[str], words: set[str]) -> dict[str, list[str]]:
    """The arguments by the word before them; "" those before the first."""
    keyed: dict[str, list[str]] = {"": []}
    word = ""
    for argument in arguments:
        if argument in words:
            word = argument
            keyed[word] = []
        else:
            keyed[word].append(argument)
    return keyed


def _filled(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text[:LONGEST])[:LONGEST]


def _commands(text: str) -> Iterator[Command]:
    at, line = 0, 1
    while at < len(text):
        end = _after_space(text, at)
        if end == at:
            name = _WORD.match(text, at)
            opening = _after_blanks(text, name.end()) if name else at
            if name is None or text[opening : opening + 1] != "(":
                raise ManifestError(f"{text[at : at + 20].split()[0]!r} is no command with arguments in (...)", line)
            arguments, end = _arguments(text, opening + 1, line)
            yield Command(name[0].lower(), arguments, line)
        line += text.count("\n", at, end)
        at = end


def _arguments(text: str, at: int, line: int) -> tuple[list[str], int]:
    """The arguments of a command, and the index after its closing parenthesis. Those in inner ones are its own."""
    arguments: list[str] = []
    depth = 1
    while depth:
        at = _after_space(text, at)
        if at >= len(text):
            raise ManifestError("a command's parenthesis is never closed", line)
        if text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            at += 1
        elif bracket := _bracket(text, at):
            arguments.append(bracket[0])
            at = bracket[1]
        elif found := _QUOTED.match(text, at) or _UNQUOTED.match(text, at):
            arguments.append(found[1] if found.re is _QUOTED else found[0])
            at = found.end()
        else:
            raise ManifestError("a quoted argument never ends", text.count("\n", 0, at) + 1)
    return arguments, at


def _after_space(text: str, at: int) -> int:
    """The index after white space and comments."""
    while at < len(text):
        if found := _SPACE.match(text, at):
            at = found.end()
        elif text[at] == "#":
            bracket = _bracket(text, at + 1)
            end = text.find("\n", at)
            at = bracket[1] if bracket else (end if end >= 0 else len(text))
        else:
            break
    return at


def _after_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    return at


def _bracket(text: str, at: int) -> tuple[str, int] | None:
    """What stands in [[...]] or [=[...]=], and the index after it; None where none begins."""
    opening = _OPENING.match(text, at)
    if opening is None:
        return None
    closing = f"]{opening[1]}]"
    end = text.find(closing, opening.end())
    if end < 0:
        raise ManifestError(f"{opening[0]} is never closed by {closing}", text.count("\n", 0, at) + 1)
    return text[opening.end() : end], end + len(closing)
