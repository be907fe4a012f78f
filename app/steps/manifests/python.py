"""pyproject.toml (PEP 518, 621 and 735, Poetry's own tables) and setup.cfg."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from typing import Any

from app.steps.manifests.build_info import BuildInfo, Dependency, ManifestError, requirements
from app.steps.manifests.tables import Table, toml

_BACKENDS = {
    "flit_core": "flit",
    "mesonpy": "meson-python",
    "pdm": "pdm",
    "poetry": "poetry",
    "scikit_build_core": "scikit-build-core",
    "setuptools": "setuptools",
    "uv_build": "uv",
}
_TASKS = (("pdm", "scripts"), ("poe", "tasks"), ("taskipy", "tasks"))


def read_pyproject(text: str) -> BuildInfo:
    data = toml(text)
    project, build, tool = data.table("project"), data.table("build-system"), data.table("tool")
    poetry = tool.table("poetry")
    version = "dynamic" if "version" in project.texts("dynamic") else project.text("version")
    info = BuildInfo(
        build_tool=_backend(build, data),
        language="Python",
        name=project.text("name") or poetry.text("name"),
        version=version or poetry.text("version"),
        description=project.text("description") or poetry.text("description"),
        language_version=project.text("requires-python"),
        entry_points=project.pairs("scripts") | project.pairs("gui-scripts") | poetry.pairs("scripts"),
        commands=dict(_tasks(tool)),
        parts=tool.table("uv").table("workspace").texts("members"),
    )
    info.dependencies += requirements(project.texts("dependencies"))
    extras = project.table("optional-dependencies")
    for extra in extras:
        info.dependencies += requirements(extras.texts(extra), "optional", extra)
    info.dependencies += _groups(data.table("dependency-groups"))
    info.dependencies += requirements(build.texts("requires"), "build")
    _add_poetry(info, poetry)
    return info


def _backend(build: Table, data: Table) -> str:
    backend = build.text("build-backend").partition(".")[0].partition(":")[0]
    if backend:
        return _BACKENDS.get(backend, backend)
    # PEP 517: without a backend it is setuptools; without a project there is nothing to build.
    return "setuptools" if "build-system" in data or "project" in data else ""


def _groups(groups: Table) -> Iterator[Dependency]:
    for group in groups:
        entries = groups.values[group]
        if not isinstance(entries, list):
            raise groups.fault(group, "a list of requirements", entries)
        texts = [entry for entry in entries if isinstance(entry, str)]  # others include another group
        yield from requirements(texts, "development", group)


def _tasks(tool: Table) -> Iterator[tuple[str, str]]:
    for name, key in _TASKS:
        tasks = tool.table(name).table(key)
        for task, runs in tasks.values.items():
            said = runs.get("cmd") or runs.get("shell") if isinstance(runs, dict) else runs
            yield task, said if isinstance(said, str) else ""


def _add_poetry(info: BuildInfo, poetry: Table) -> None:
    needed = poetry.table("dependencies")
    python = needed.values.get("python")
    info.language_version = info.language_version or (python if isinstance(python, str) else "")
    info.dependencies += _poetry_dependencies(needed, "run", "")
    info.dependencies += _poetry_dependencies(poetry.table("dev-dependencies"), "development", "dev")
    groups = poetry.table("group")
    for group in groups:
        info.dependencies += _poetry_dependencies(groups.table(group).table("dependencies"), "development", group)


def _poetry_dependencies(needed: Table, scope: str, group: str) -> Iterator[Dependency]:
    for name, wanted in needed.values.items():
        if name == "python":
            continue
        optional = isinstance(wanted, dict) and wanted.get("optional") is True
        yield Dependency(name, constraint_of(wanted), "optional" if optional else scope, group)


def constraint_of(wanted: Any) -> str:
    """What a dependency's value in TOML asks for: a text, or a table with a version or a source."""
    if isinstance(wanted, dict):
        for key in ("version", "git", "path", "url", "registry"):
            if isinstance(wanted.get(key), str):
                return str(wanted[key]) if key == "version" else f"{key} {wanted[key]}"
        return "of the workspace" if wanted.get("workspace") is True else ""
    return wanted if isinstance(wanted, str) else ""


def read_setup_cfg(text: str) -> BuildInfo:
    parser = _parsed(text)
    metadata, options = _section(parser, "metadata"), _section(parser, "options")
    version = metadata.get("version", "")
    info = BuildInfo(
        build_tool="setuptools" if metadata or options else "",
        language="Python",
        name=metadata.get("name", ""),
        version="dynamic" if version.startswith(("attr:", "file:")) else version,
        description=metadata.get("description", metadata.get("summary", "")),
        language_version=options.get("python_requires", ""),
    )
    info.dependencies += requirements(_lines(options.get("install_requires", "")))
    info.dependencies += requirements(_lines(options.get("setup_requires", "")), "build")
    info.dependencies += requirements(_lines(options.get("tests_require", "")), "test")
    for extra, wanted in _section(parser, "options.extras_require").items():
        info.dependencies += requirements(_lines(wanted), "optional", extra)
    points = _section(parser, "options.entry_points")
    for line in _lines(points.get("console_scripts", "") + "\n" + points.get("gui_scripts", "")):
        name, _, begins = line.partition("=")
        info.entry_points[name.strip()] = begins.strip()
    return info


def _parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise ManifestError("has a line before the first [section]", error.lineno) from None
    except configparser.ParsingError as error:
        raise ManifestError("has a line that is neither a [section] nor key = value", error.errors[0][0]) from None
    except configparser.DuplicateSectionError as error:
        raise ManifestError(f"has the section [{error.section}] twice", error.lineno) from None
    except configparser.DuplicateOptionError as error:
        raise ManifestError(f"has {error.option} twice in [{error.section}]", error.lineno) from None
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    found = parser.items(name) if parser.has_section(name) else []
    return {key.replace("-", "_"): (value or "").strip() for key, value in found}


def _lines(value: str) -> list[str]:
    """The lines of a value, without those that name a file to read it from."""
    return [line for each in value.splitlines() if (line := each.strip()) and not line.startswith(("#", "file:"))]
