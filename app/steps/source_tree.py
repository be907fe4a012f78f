"""Walking a folder of source files as git sees it, and reading files that may change or vanish meanwhile."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from app.work.step_type import PermanentError

Warn = Callable[[str], None]
Rules = tuple[tuple[str, GitIgnoreSpec], ...]
"""Ignore rules with the directory they stand in (ending in a slash); the innermost last."""

_MAX_IGNORE_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    path: str
    """Absolute."""
    relative: str
    """Below the folder that was walked, with slashes."""
    size: int
    """In bytes, when it was listed."""


class SourceTree:
    """The regular files of a folder, in the order of their paths, without what git ignores.

    Symbolic links are not followed: what they reach inside the folder is found under its own name, and what is outside
    is none of the folder's. So a loop of links is no danger. Nothing that happens to a file or directory during the
    walk ends it: `warn` is told, naming the path.
    """

    def __init__(self, folder: str, exclude: Sequence[str] = (), warn: Warn = lambda message: None) -> None:
        """`exclude`: more patterns as in a .gitignore. Raises PermanentError when there is no such folder."""
        self.folder = str(Path(folder).resolve())
        self.unreadable: set[str] = set()
        """Absolute paths of directories that could not be listed; filled by `files`."""
        self._exclude = globs(tuple(exclude))
        self._warn = warn
        if not Path(self.folder).is_dir():
            raise PermanentError(f"the folder {self.folder!r} does not exist or is not a folder; check the path")

    def files(self, under: str = "") -> Iterator[SourceFile]:
        """The files of the folder, or of a directory in it."""
        start = f"{self.folder}/{under}".rstrip("/")
        waiting: list[tuple[str, Rules]] = [(start, self._rules_above(start))]
        while waiting:
            directory, rules = waiting.pop()
            entries = self._listed(directory)
            if any(entry.name == ".gitignore" for entry in entries):
                rules = (*rules, *self._rules_in(f"{directory}/.gitignore", directory))
            inner: list[tuple[str, Rules]] = []
            for entry in entries:
                if self._is_wanted_directory(entry, rules):
                    inner.append((entry.path, rules))
                elif file := self._wanted_file(entry, rules):
                    yield file
            waiting.extend(reversed(inner))

    def excluded(self, relative: str) -> bool:
        """Whether the patterns of `exclude` leave out a file, by itself or by a directory around it."""
        return self._exclude.match_file(relative)

    def out_of_sight(self, path: str) -> bool:
        """Whether the path is below a directory that could not be listed, so that nothing is known about it."""
        return any(path.startswith(f"{directory}/") for directory in self.unreadable)

    def _listed(self, directory: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.unreadable.add(directory)
            self._warn(f"{printable(directory)}: directory skipped, it cannot be listed ({error.strerror})")
            return []

    def _is_wanted_directory(self, entry: os.DirEntry[str], rules: Rules) -> bool:
        if entry.name == ".git" or not _is_directory(entry):
            return False
        return self._is_nameable(entry) and not self._is_left_out(f"{entry.path}/", rules)

    def _wanted_file(self, entry: os.DirEntry[str], rules: Rules) -> SourceFile | None:
        try:
            # Sockets, pipes and devices are no files, and reading one may wait for ever.
            if not entry.is_file(follow_symlinks=False) or entry.name == ".git":
                return None
            if not self._is_nameable(entry) or self._is_left_out(entry.path, rules):
                return None
            size = entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            self._warn(f"{printable(entry.path)}: file skipped ({error.strerror})")
            return None
        return SourceFile(entry.path, entry.path[len(self.folder) + 1 :], size)

    def _is_nameable(self, entry: os.DirEntry[str]) -> bool:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            self._warn(f"{printable(entry.path)}: skipped, its name is not UTF-8; rename it to have it included")
            return False
        return True

    def _is_left_out(self, path: str, rules: Rules) -> bool:
        return self._exclude.match_file(path[len(self.folder) + 1 :]) or _is_ignored(path, rules)

    def _rules_above(self, start: str) -> Rules:
        """The rules of the directories around `start`, up to the root of the repository that the folder is in."""
        root = _repository_root(self.folder)
        rules = self._rules_between(root, self.folder) if root else ()
        if _is_ignored(f"{self.folder}/", rules):
            rules = ()  # a folder that git ignores but a person names is wanted
        return (*rules, *self._rules_between(self.folder, start))

    def _rules_between(self, outer: str, inner: str) -> Rules:
        """The rules that stand in `outer` and in the directories from there to `inner`, which is not included."""
        rules = self._rules_in(f"{outer}/.git/info/exclude", outer)
        directory = outer
        for name in Path(inner).relative_to(outer).parts:
            rules = (*rules, *self._rules_in(f"{directory}/.gitignore", directory))
            directory = f"{directory}/{name}"
        return rules

    def _rules_in(self, file: str, directory: str) -> Rules:
        try:
            lines = read_file(file, _MAX_IGNORE_FILE).decode("utf-8-sig", "surrogateescape").splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            self._warn(f"{printable(file)}: ignore rules skipped, they cannot be read ({error.strerror})")
            return ()
        patterns = [pattern for line in lines if (pattern := self._pattern(line, file))]
        return ((f"{directory}/", GitIgnoreSpec(patterns)),)

    def _pattern(self, line: str, file: str) -> GitIgnoreSpecPattern | None:
        try:
            return GitIgnoreSpecPattern(line)
        except (ValueError, re.error):
            self._warn(f"{printable(file)}: {line!r} is not a pattern; the line is skipped")
            return None


def read_file(path: str, limit: int) -> bytes:
    """The content of a regular file, at most `limit` + 1 bytes of it. Raises OSError, also for anything but a file."""
    # Between listing and reading, the path may have become a link or a pipe: neither is followed nor waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is not a regular file", path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=64)
def globs(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """Patterns in the language of .gitignore, compiled once per process. Raises ValueError naming a bad one."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(GitIgnoreSpecPattern(pattern))
        except (ValueError, re.error) as error:
            raise ValueError(f"{pattern!r} is not a path pattern ({error}); write it as in a .gitignore") from None
    return GitIgnoreSpec(compiled)


def printable(text: str) -> str:
    """The text, or its `repr` when it could break or disguise a line. No two texts become the same."""
    return text if text.isprintable() and not text.startswith(("'", '"')) else repr(text)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_ignored(path: str, rules: Rules) -> bool:
    """The innermost file of rules that says anything about the path decides."""
    for directory, spec in reversed(rules):
        decision = spec.check_file(path[len(directory) :]).include
        if decision is not None:
            return decision
    return False


def _repository_root(folder: str) -> str | None:
    return next((str(place) for place in (Path(folder), *Path(folder).parents) if (place / ".git").exists()), None)
