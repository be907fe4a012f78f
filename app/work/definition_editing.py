"""Editing definitions as text: what is opened, checked, and saved into a folder of one's own, as a whole or not at all.

What is to be saved names the text that it replaces. A file that says something else by then is left as it is: whoever
wrote it meanwhile, it was not read by the person who saves.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from app.work.definition_files import DefinitionFile, read_text
from app.work.definitions import DefinitionEntry, Definitions, entry_of
from app.work.page_rules import PageRules, digest_of
from app.work.problems import DefinitionError, Problem, printable
from app.work.registry import StepTypes

LARGEST = 400_000
"""Bytes of a text that the page takes."""


class NotEditable(Exception):
    """A definition cannot be edited here; the message says why, and what to do."""


class Changed(Exception):
    """The file is not what was opened. `now`: what it says; None if it is gone."""

    def __init__(self, path: Path, now: str | None) -> None:
        happened = "is gone" if now is None else "says something else"
        super().__init__(f"{printable(str(path))} {happened} since this text was opened")
        self.now = now
        self.base = "" if now is None else base_of(now)


@dataclass(frozen=True, slots=True)
class Opened:
    """A text to be edited. `base` names the text that a save replaces; "" when it makes a new file."""

    text: str
    base: str
    path: Path | None
    """Where it is saved; None for a definition that has no id yet."""
    copied_from: Path | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that was looked at: its problems, or what to save."""

    id: str
    path: Path
    problems: tuple[Problem, ...]
    steps: int = 0
    digest: str = ""


class Editing:
    """Edits the definitions in folders; new ones go into the first of them."""

    def __init__(
        self, definitions: Definitions, step_types: StepTypes, rules: PageRules, folders: tuple[Path, ...]
    ) -> None:
        self._definitions = definitions
        self._step_types = step_types
        self._rules = rules
        self._folders = folders
        self._saving = Lock()

    @property
    def folder(self) -> Path:
        """Where new definitions are saved."""
        return self._folders[0]

    def open(self, id: str) -> Opened | None:
        """The text of a definition, of a bundled one as a copy to be; None if there is none of that id. Raises
        NotEditable."""
        entry = self._entry(id)
        if entry is None:
            return None
        if entry.is_bundled:
            return Opened(entry.text, "", self.folder / f"{entry.id}.toml", copied_from=entry.path)
        text = self._text_of(entry)
        return Opened(text, base_of(text), entry.path)

    def check(self, text: str, id: str | None = None) -> Checked:
        """Looks at a text as a new definition, or with `id` as that one. The problems name lines of the text."""
        entry = self._entry(id) if id is not None else None
        own = entry if entry and not entry.is_bundled else None
        path = own.path if own else self.folder / f"{id or 'new'}.toml"
        if message := _refusal(text):
            return Checked("", path, (Problem(None, None, "", message),))
        found = entry_of(path, text, self._step_types, self._rules.of_page_text)
        if found.definition is None:
            return Checked(found.id, path, found.problems)
        file = DefinitionFile.of_text(path, text)
        problem = self._problem_of_id(file, found.id, id, own)
        if id is None:
            path = self.folder / f"{found.id}.toml"
        steps, digest = len(found.definition.steps), digest_of(file.table)
        return Checked(found.id, path, (problem,) if problem else (), steps, digest)

    def ensure_unchanged(self, checked: Checked, base: str) -> None:
        """Raises Changed or NotEditable where a save would."""
        self._unchanged(checked.path, base)

    def save(self, checked: Checked, text: str, base: str) -> None:
        """Writes a text that has no problems, in place of the one that `base` names. Raises Changed, NotEditable or
        OSError; then the file is as it was."""
        assert not checked.problems and checked.digest
        self._rules.add(checked.digest)
        with self._saving:
            now = self._unchanged(checked.path, base)
            _write(checked.path, text.replace("\n", "\r\n") if now and "\r\n" in now else text, replace=now is not None)

    def delete(self, id: str, base: str) -> None:
        """Removes a definition's file, if it is still what `base` names. Raises Changed, NotEditable or OSError."""
        entry = self._entry(id)
        if entry is None:
            return
        if entry.is_bundled:
            raise NotEditable(f"{entry.id} comes with Stepglass and cannot be deleted; disable it, and it does not run")
        with self._saving:
            self._text_of(entry)
            self._unchanged(entry.path, base)
            entry.path.unlink(missing_ok=True)
            _sync(entry.path.parent)

    def _entry(self, id: str) -> DefinitionEntry | None:
        """The file that a person means by an id: of several the one that runs."""
        named = [entry for entry in self._definitions.all() if entry.id == id]
        return min(named, key=lambda entry: not entry.valid, default=None)

    def _text_of(self, entry: DefinitionEntry) -> str:
        """Raises NotEditable."""
        shown = printable(str(entry.path))
        if entry.path.is_symlink():
            raise NotEditable(f"{shown} is a link to {printable(str(entry.path.resolve()))}; edit that file")
        if entry.path.parent not in self._folders:
            raise NotEditable(f"{shown} is not a file in a folder of definitions; name its folder by --definitions")
        try:
            text = read_text(entry.path)
        except DefinitionError as error:
            raise NotEditable(str(error)) from None
        if len(text.encode()) > LARGEST:
            raise NotEditable(f"{shown} has more than {LARGEST:,} bytes, the most that the page takes; edit the file")
        return text

    def _problem_of_id(
        self, file: DefinitionFile, found: str, id: str | None, own: DefinitionEntry | None
    ) -> Problem | None:
        if id is not None and found != id:
            return file.problem(("id",), f"{id!r} keeps its id; make a new definition for {found!r}")
        other = self._entry(found)
        if other and not other.is_bundled and (own is None or other.path != own.path):
            return file.problem(("id",), f"{found!r} is already the id of {printable(str(other.path))}; take another")
        return None

    def _unchanged(self, path: Path, base: str) -> str | None:
        """What the file says, if that is what `base` names; None if there is no file, and should be none."""
        if path.is_symlink():
            raise NotEditable(f"{printable(str(path))} is a link; edit the file that it leads to")
        now = _text_or_none(path)
        if (base_of(now) if now is not None else "") != base:
            raise Changed(path, now)
        return now


def base_of(text: str) -> str:
    """Names a text. Line ends are left aside: a browser sends its own."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8", "surrogatepass")).hexdigest()


def _refusal(text: str) -> str:
    """Why a text cannot be a file, whatever it says; empty if it can."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"has {text[error.start]!a}, which is half a character; take it out"
    if size > LARGEST:
        return f"is longer than {LARGEST:,} bytes, the most that the page takes; edit the file by hand"
    return ""


def _text_or_none(path: Path) -> str | None:
    try:
        return read_text(path)
    except DefinitionError as error:
        if not path.exists():
            return None
        raise NotEditable(str(error)) from None


def _write(path: Path, text: str, replace: bool) -> None:
    """The whole text or none of it, whatever happens meanwhile; it is on the disk when this returns."""
    temporary = path.parent / f".{path.stem[:100]}.{secrets.token_hex(6)}.tmp"
    mode = stat.S_IMODE(path.stat().st_mode) if replace else 0o666
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(file, "wb") as stream:
            if replace:
                os.fchmod(stream.fileno(), mode)
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            temporary.replace(path)
        else:
            _link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _sync(path.parent)


def _link(temporary: Path, path: Path) -> None:
    """Gives the file its name, unless somebody else has just taken it."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise Changed(path, _text_or_none(path)) from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
