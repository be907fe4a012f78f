"""package.json."""

from __future__ import annotations

from typing import Any

from app.steps.manifests.build_info import BuildInfo, Dependency
from app.steps.manifests.tables import Table, json_table

_SCOPES = {
    "dependencies": "run",
    "devDependencies": "development",
    "peerDependencies": "peer",
    "optionalDependencies": "optional",
}


def read_package_json(text: str) -> BuildInfo:
    data = json_table(text)
    needed = [
        Dependency(name, str(wanted), scope)
        for key, scope in _SCOPES.items()
        for name, wanted in data.table(key).values.items()
    ]
    return BuildInfo(
        build_tool=data.text("packageManager").partition("@")[0] or "npm",
        language="TypeScript" if any(each.name == "typescript" for each in needed) else "JavaScript",
        name=data.text("name"),
        version=data.text("version"),
        description=data.text("description"),
        language_version=_node(data.values.get("engines")),
        dependencies=needed,
        commands=data.pairs("scripts"),
        entry_points=_entry_points(data),
        parts=_workspaces(data),
    )


def _node(engines: Any) -> str:
    """Which Node it needs; npm ignores lists and texts, which old packages have there."""
    wanted = engines.get("node") if isinstance(engines, dict) else None
    return wanted if isinstance(wanted, str) else ""


def _entry_points(data: Table) -> dict[str, str]:
    programs = data.values.get("bin")
    found = data.pairs("bin") if isinstance(programs, dict) else {}
    if isinstance(programs, str):
        found[data.text("name").rpartition("/")[2] or "bin"] = programs
    main = data.values.get("main")
    return found | ({"main": main} if isinstance(main, str) else {})


def _workspaces(data: Table) -> list[str]:
    if isinstance(data.values.get("workspaces"), dict):
        return data.table("workspaces").texts("packages")
    return data.texts("workspaces")
