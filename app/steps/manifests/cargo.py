"""Cargo.toml, of a package or of a workspace."""

from __future__ import annotations

from collections.abc import Iterator

from app.steps.manifests.build_info import BuildInfo, Dependency, ManifestError
from app.steps.manifests.python import constraint_of
from app.steps.manifests.tables import Table, toml

_SCOPES = {"dependencies": "run", "dev-dependencies": "development", "build-dependencies": "build"}


def read_cargo(text: str) -> BuildInfo:
    data = toml(text)
    if "package" not in data and "workspace" not in data:
        raise ManifestError("has neither a [package] nor a [workspace], which Cargo needs", 1)
    package, workspace = data.table("package"), data.table("workspace")
    info = BuildInfo(
        build_tool="Cargo",
        language="Rust",
        name=package.text("name"),
        version=_inherited(package, "version"),
        description=_inherited(package, "description"),
        language_version=_inherited(package, "rust-version") or _edition(package),
        entry_points={each.text("name"): each.text("path") for each in data.tables("bin")},
        parts=workspace.texts("members"),
    )
    info.dependencies += _dependencies(data, "")
    info.dependencies += _needed(workspace.table("dependencies"), "workspace", "")
    targets = data.table("target")
    for target in targets:
        info.dependencies += _dependencies(targets.table(target), target)
    return info


def _inherited(package: Table, key: str) -> str:
    """A text of the package, which may leave it to its workspace."""
    value = package.values.get(key)
    return "of the workspace" if isinstance(value, dict) and value.get("workspace") is True else package.text(key)


def _edition(package: Table) -> str:
    edition = _inherited(package, "edition")
    return f"edition {edition}" if edition else ""


def _dependencies(table: Table, target: str) -> Iterator[Dependency]:
    for key, scope in _SCOPES.items():
        yield from _needed(table.table(key), scope, target)


def _needed(table: Table, scope: str, target: str) -> Iterator[Dependency]:
    for name, wanted in table.values.items():
        optional = isinstance(wanted, dict) and wanted.get("optional") is True
        yield Dependency(name, constraint_of(wanted), "optional" if optional else scope, target)
