"""What a manifest says, in the same words for each kind of manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

MOST = 2000
"""Entries of a list that are kept: no manifest written by a person has as many."""
LONGEST = 500
"""Characters of one text that are kept."""


class ManifestError(Exception):
    """The manifest is malformed. `line` is counted from 1; None when it is not known."""

    def __init__(self, reason: str, line: int | None = None, text: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.text = text
        """What is at fault, as it stands in the manifest; it tells the line where the parser does not."""

    def line_in(self, manifest: str) -> int | None:
        at = manifest.find(self.text) if self.text else -1
        return self.line or (manifest.count("\n", 0, at) + 1 if at >= 0 else None)


@dataclass(frozen=True, slots=True)
class Dependency:
    name: str
    constraint: str = ""
    """Which versions, as it is written; "" means any. Of what has no version, where it comes from."""
    scope: str = "run"
    """What it is needed for: run, build, test, development, optional, peer, indirect, workspace; Maven's and Gradle's
    own words where they say more."""
    group: str = ""
    """The extra, dependency group, profile or platform it is for."""


@dataclass(slots=True)
class BuildInfo:
    build_tool: str
    """ "" when the manifest only configures other tools."""
    language: str = ""
    name: str = ""
    version: str = ""
    """ "dynamic" when the build tool works it out."""
    description: str = ""
    language_version: str = ""
    """What it needs, such as ">=3.11", an edition or a standard."""
    dependencies: list[Dependency] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    """Scripts and targets, and what they run, or what is said about them."""
    entry_points: dict[str, str] = field(default_factory=dict)
    """Programs that it installs or starts, and where in the code they begin."""
    base_images: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Workspace members, modules, subdirectories: what is built together with it."""

    def facts(self) -> dict[str, Any]:
        """As metadata; texts and lists without end are cut."""
        facts: dict[str, Any] = _cut(asdict(self))
        return facts


def requirement(text: str, scope: str = "run", group: str = "") -> Dependency:
    """A dependency from a requirement of PEP 508, such as `httpx[http2]>=0.28; python_version < "3.13"`."""
    wanted = text.partition(";")[0] if " @ " not in text else text.partition(" ;")[0]
    end = next((at for at, char in enumerate(wanted) if not (char.isalnum() or char in "._-")), len(wanted))
    name, rest = wanted[:end], wanted[end:].strip()
    if not name[:1].isalnum():
        raise ManifestError(
            f"{text[:80]!r} is not a requirement; it should begin with the name of a package", text=text
        )
    if rest.startswith("["):
        extras, _, rest = rest.partition("]")
        name += f"{extras}]"
    return Dependency(name, rest.strip().removeprefix("(").removesuffix(")").removeprefix("@").strip(), scope, group)


def requirements(texts: list[str], scope: str = "run", group: str = "") -> Iterator[Dependency]:
    return (requirement(text, scope, group) for each in texts if (text := each.strip()) and not text.startswith("#"))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
    if isinstance(value, dict):
        return {_cut(key): _cut(each) for key, each in list(value.items())[:MOST]}
    return [_cut(each) for each in value[:MOST]] if isinstance(value, list) else value
