"""build.gradle, settings.gradle and their Kotlin forms: programs, of which the usual declarations are read.

Nothing is run: what a script works out, such as a version taken from a variable of another file, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.steps.manifests.build_info import MOST, BuildInfo, Dependency, ManifestError

_SCOPES = {
    "api": "run",
    "compile": "run",
    "compileOnly": "build",
    "compileOnlyApi": "build",
    "implementation": "run",
    "runtimeOnly": "run",
    "annotationProcessor": "build",
    "kapt": "build",
    "ksp": "build",
    "classpath": "build",
    "developmentOnly": "development",
}
_NAMED = {"group": "name", "name": "name", "version": "version", "description": "description"}
_WRAPPERS = {"platform", "enforcedPlatform", "testFixtures"}
_ENDINGS = ("Implementation", "Api", "CompileOnly", "RuntimeOnly")
"""Of configurations for a part of the code, such as debugImplementation."""
_DEEPEST = 200
_PAIRS = {"{": "}", "(": ")", "[": "]"}
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"\d[\w.]*")
_BLANK = re.compile(r"[ \t\r\f]+")
# In Groovy a regular expression may stand between slashes; after these, a slash does not divide.
_REGEX = re.compile(r"/(?:[^/\\\n]|\\.)+/")
_REGEX_AFTER = {"(", ",", "=", "[", "{", "~", "!", ":", ";", "\n", "return"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """word, text, number, end (of a line) or a sign itself."""
    value: str
    line: int
    place: tuple[str, ...] = ()
    """The words before the braces around it, the outermost first."""
    begins: bool = False
    """Whether it is the first word of a statement."""


def read_gradle(text: str) -> BuildInfo:
    info = BuildInfo(build_tool="Gradle", language="Java")
    tokens = list(_placed(_tokens(text)))
    for at, token in enumerate(tokens):
        # In the settings many projects have names; that of the whole is rootProject.name.
        if token.kind == "word" and (token.value != "name" or (at > 1 and tokens[at - 2].value == "rootProject")):
            _read_word(info, token, _statement(tokens, at + 1, MOST if token.begins else 24))
    return info


def _read_word(info: BuildInfo, token: Token, line: list[Token]) -> None:
    inner = token.place[-1] if token.place else ""
    texts = [each.value for each in line if each.kind == "text"]
    if inner == "plugins":
        if token.begins:
            _add_plugin(info, token.value, texts, all(each.value != "false" for each in line))
    elif inner == "dependencies":
        if token.begins and _scope(token.value):
            info.dependencies += _dependencies(token.value, line, texts)
    elif token.value in _NAMED and not token.place:
        if texts and line[0].kind in ("=", "text"):
            setattr(info, _NAMED[token.value], texts[0])
    elif token.value in ("include", "includeBuild") and not token.place:
        info.parts += texts
    elif token.value in ("mainClass", "mainClassName") and texts:
        info.entry_points["main"] = texts[0]
    elif token.value in ("sourceCompatibility", "jvmToolchain", "languageVersion"):
        versions = [each.value for each in line if each.kind in ("number", "text") or "VERSION_" in each.value]
        info.language_version = versions[0].removeprefix("VERSION_") if versions else info.language_version
    elif token.value in ("register", "create", "task") and (not token.place or inner == "tasks"):
        _add_task(info, token.value, line)


def _statement(tokens: list[Token], at: int, most: int) -> list[Token]:
    """The tokens from there to the end of the line, `most` of them; in parentheses, or after a comma, it goes on."""
    depth, found = 0, list[Token]()
    while at < len(tokens) and len(found) < most:
        token = tokens[at]
        at += 1
        depth += (token.kind in ("(", "[")) - (token.kind in (")", "]"))
        goes_on = depth > 0 or (found and found[-1].kind == ",")
        if token.kind in ("{", "}") or depth < 0 or (token.kind in ("end", ";") and not goes_on):
            break
        if token.kind != "end":
            found.append(token)
    return found


def _add_plugin(info: BuildInfo, word: str, texts: list[str], applied: bool) -> None:
    """`apply false` leaves a plugin to the projects inside."""
    if word not in ("id", "kotlin"):
        texts = [word] if word != "alias" else []  # java and `java-library` are words of their own
    if not texts:
        return
    name = f"org.jetbrains.kotlin.{texts[0]}" if word == "kotlin" else texts[0]
    if applied and "kotlin" in name:
        info.language = "Kotlin"
    elif applied and name in ("groovy", "scala"):
        info.language = name.capitalize()
    info.dependencies.append(Dependency(name, texts[1] if len(texts) > 1 else "", "plugin"))


def _scope(configuration: str) -> str:
    """What a configuration is for: testImplementation is for tests, and so is whatever begins so; "" for none."""
    if configuration.startswith(("test", "androidTest", "integrationTest")) and configuration != "testFixtures":
        return "test"
    ending = next((each for each in _ENDINGS if configuration.endswith(each)), "")
    return _SCOPES.get(configuration) or _SCOPES.get(ending[:1].lower() + ending[1:], "")


def _dependencies(configuration: str, line: list[Token], texts: list[str]) -> Iterator[Dependency]:
    scope = _scope(configuration)
    words = [each.value for each in line if each.kind == "word"]
    if "project" in words and texts:
        yield Dependency(texts[0], "of the workspace", scope, configuration)
    elif {"name", "group"} <= set(words) and len(texts) >= 2:
        yield Dependency(":".join(texts[:2]), texts[2] if len(texts) > 2 else "", scope, configuration)
    elif words[:1] == ["kotlin"] and texts:
        version = texts[1] if len(texts) > 1 else ""
        yield Dependency(f"org.jetbrains.kotlin:kotlin-{texts[0]}", version, scope, configuration)
    elif words[:1] == ["projects"] and not texts:
        yield Dependency(":" + ":".join(words[1:]), "of the workspace", scope, configuration)
    elif words and words[0] not in _WRAPPERS and not texts:
        yield Dependency(".".join(words), "named elsewhere", scope, configuration)
    else:
        for text in texts:
            group, _, rest = text.partition(":")
            name, _, version = rest.partition(":")
            if name:
                yield Dependency(f"{group}:{name}", version, scope, configuration)


def _add_task(info: BuildInfo, word: str, line: list[Token]) -> None:
    named = next((each for each in line if each.kind == "text" or (word == "task" and each.kind == "word")), None)
    if named:
        info.commands.setdefault(named.value, "task")


def _placed(tokens: Iterator[Token]) -> Iterator[Token]:
    """The tokens with the blocks they stand in. Raises ManifestError where brackets do not match."""
    opened: list[tuple[str, int, str]] = []
    first = ""
    for token in tokens:
        if token.kind in _PAIRS:
            opened.append((token.kind, token.line, first))
            if len(opened) > _DEEPEST:
                raise ManifestError(f"its brackets are nested more than {_DEEPEST} deep", token.line)
        elif token.kind in _PAIRS.values():
            if not opened or _PAIRS[opened[-1][0]] != token.kind:
                raise ManifestError(f"{token.kind} closes nothing that is open", token.line)
            opened.pop()
        place = tuple(name for sign, _, name in opened if sign == "{")
        yield replace(token, place=place, begins=token.kind == "word" and not first)
        if token.kind in ("{", "}", ";", "end"):
            first = ""
        elif token.kind == "word":
            first = first or token.value
    if opened:
        raise ManifestError(f"{opened[-1][0]} is never closed", opened[-1][1])


def _tokens(text: str) -> Iterator[Token]:
    at, line, before = 0, 1, "\n"
    while at < len(text):
        token, end = _token(text, at, line, before)
        if token:
            yield token
            before = token.value if token.kind in ("word", "end") else token.kind
        line += text.count("\n", at, end)
        at = end


def _token(text: str, at: int, line: int, before: str) -> tuple[Token | None, int]:
    if found := _BLANK.match(text, at):
        return None, found.end()
    if text.startswith("//", at) or (text.startswith("#!", at) and at == 0):
        end = text.find("\n", at)
        return None, end if end >= 0 else len(text)
    if text.startswith("/*", at):
        return None, _after(text, "*/", at + 2, line, "a comment")
    for quotes in ('"""', "'''", '"', "'", "`"):
        if text.startswith(quotes, at):
            end = _after_text(text, at + len(quotes), quotes, line)
            value = text[at + len(quotes) : end - len(quotes)]
            return Token("word" if quotes == "`" else "text", value, line), end
    if text[at] == "/" and before in _REGEX_AFTER and (regex := _REGEX.match(text, at)):
        return Token("text", regex[0][1:-1], line), regex.end()
    if text[at] == "\n":
        return Token("end", "\n", line), at + 1
    if found := _WORD.match(text, at):
        return Token("word", found[0], line), found.end()
    if found := _NUMBER.match(text, at):
        return Token("number", found[0], line), found.end()
    return Token(text[at], text[at], line), at + 1


def _after(text: str, closing: str, at: int, line: int, what: str) -> int:
    end = text.find(closing, at)
    if end < 0:
        raise ManifestError(f"{what} is never ended", line)
    return end + len(closing)


def _after_text(text: str, at: int, quotes: str, line: int) -> int:
    """The index after the closing quotes. In ${...} there may be texts with quotes again."""
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text.startswith("${", at) and "'" not in quotes:
            depth += 1
            at += 1
        elif depth and text[at] == "}":
            depth -= 1
        elif not depth and text.startswith(quotes, at):
            return at + len(quotes)
        elif text[at] == "\n" and len(quotes) == 1:
            break
        at += 1
    raise ManifestError("a text is never ended", line)
